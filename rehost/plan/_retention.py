"""Which images and snapshots go because of a change: by retention, with a job, or when an application is complete."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rehost.control import Image, superseded
from rehost.plan._known import Known, KnownServer
from rehost.plan._preview import CREATE, DELETE, REPLACE, Preview, Resource


@dataclass(frozen=True)
class Going:
    """Images of one server, with their snapshots, that go. `in_use`: those of them that stay because an instance uses them."""

    server: str
    why: str
    images: tuple[str, ...]
    snapshots: tuple[str, ...]
    in_use: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "server": self.server,
            "why": self.why,
            "images": list(self.images),
            "snapshots": list(self.snapshots),
            "stay_because_in_use": list(self.in_use),
        }


def going(
    jobs: Iterable[Resource], known: Known, used: Collection[str] | None = None, released: Collection[str] = ()
) -> list[Going]:
    """`used`: images that an instance uses, by AWS; None where AWS was not asked, and then they are counted among those that go.

    `released`: those that this change itself lets go, so that no pin of today keeps them.
    """
    found = []
    for job in jobs:
        server = str(job.inputs.get("server", job.name))
        here = known.of(server)
        here = replace(here, pinned=here.pinned - frozenset(released))
        for why, images in _of(job, here):
            stay = [each for each in images if used is not None and each.image_id in used]
            gone = [each for each in images if each not in stay]
            if images:
                snapshots = [snapshot for image in gone for snapshot in _snapshots(image)]
                ids = tuple(each.image_id for each in gone)
                found.append(Going(server, why, ids, tuple(snapshots), tuple(each.image_id for each in stay)))
    return found


def _of(job: Resource, here: KnownServer) -> Iterator[tuple[str, Sequence[Image]]]:
    if job.op == CREATE:
        return
    if job.op in (DELETE, REPLACE):
        yield "its job goes" if job.op == DELETE else "its job is replaced", here.images
    elif job.after.get("ended") and not job.before.get("ended"):
        yield "its replication ends", [each for each in here.images if each.image_id not in here.pinned]
    elif (was := _keep(job.before)) != (will := _keep(job.after)):
        before = {each.image_id for each in _after_next_run(here, was)}
        images = [each for each in _after_next_run(here, will) if each.image_id not in before]
        yield f"keepImages {was} → {will}, after its next run", images


def _after_next_run(here: KnownServer, keep: int) -> list[Image]:
    """Those that retention takes once there is one more: it is carried out at the end of a run."""
    if not here.images:
        return []
    newest = max(here.images, key=lambda image: image.number)
    following = replace(newest, image_id="", run_id="", snapshot_ids=(), copies=None, number=newest.number + 1)
    return superseded([*here.images, following], keep=keep, protected=here.pinned)


def _keep(inputs: Mapping[str, Any]) -> int:
    return int((inputs.get("schedule") or {}).get("keep_images", 3))


def _snapshots(image: Image) -> list[str]:
    copies = [snapshot for copy in (image.copies or {}).values() for snapshot in copy.get("snapshot_ids", ())]
    return [*image.snapshot_ids, *copies]


def candidates(preview: Preview, known: Known) -> list[str]:
    """Images that go unless an instance uses them: what AWS is to be asked about."""
    jobs = [each for each in preview.resources if each.kind == "ReplicationJob"]
    return sorted({image for each in going(jobs, known) for image in each.images})
