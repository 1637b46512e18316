"""One image file becomes one EBS snapshot."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from rehost.aws import EbsDirect
from rehost.blocks import volume_gib
from rehost.errors import RehostError
from rehost.pacing import Limiter
from rehost.snapshots._manifests import ManifestFolder
from rehost.sources import FrozenDisk, ImagesSource, Quiesce
from rehost.transfer import MOST_IN_FLIGHT, Progress, StopSignal, copy_disk, open_partial, plan_copy

#: Blocks between two reports: 16 MiB, so that a slow link shows life, too.
_PIECE_BLOCKS = 32


@dataclass(frozen=True)
class UploadRequest:
    file: Path
    parent: str | None = None  # a snapshot; then only blocks that differ from it are sent
    description: str | None = None  # default: the file's name
    tags: Mapping[str, str] = field(default_factory=dict)
    encrypted: bool = False
    kms_key_arn: str | None = None
    in_flight: int = MOST_IN_FLIGHT
    throttle: float | None = None  # bytes a second


def upload_image(
    request: UploadRequest,
    ebs: EbsDirect,
    manifests: ManifestFolder,
    *,
    stop: StopSignal,
    on_progress: Callable[[Progress], None],
    on_note: Callable[[str], None],
) -> str:
    """Upload an image and return the id of its snapshot, which is sealed (EBS may call it pending for a while yet).

    Raises RehostError. Whatever is raised, no pending snapshot is left; if it cannot be deleted, `on_note` says so.
    """
    with ExitStack() as open_things:
        disk = _frozen(request.file, open_things)
        manifests.prepare()
        parent = None
        if request.parent is not None:
            parent, reason = manifests.of_parent(request.parent, disk.disk.size, ebs)
            open_things.callback(parent.close)
            if reason is not None:
                on_note(f"every block is sent, as nothing is known about the content of {request.parent}: {reason}")
        snapshot_id = ebs.start(
            volume_gib=volume_gib(disk.disk.size),
            token=uuid4().hex,
            description=request.description or request.file.name,
            tags=request.tags,
            parent=request.parent,
            encrypted=request.encrypted,
            kms_key_arn=request.kms_key_arn,
        )
        path = manifests.path(snapshot_id)
        try:
            partial = open_things.enter_context(
                open_partial(path, snapshot_id=snapshot_id, size=disk.disk.size, parent=parent)
            )
            limiter = Limiter(request.throttle) if request.throttle else None
            result = copy_disk(
                disk.disk,
                ebs.sink(snapshot_id),
                partial,
                plan_copy(disk.disk.extents(None), partial, full=True),
                in_flight=request.in_flight,
                piece_blocks=_PIECE_BLOCKS,
                stop=stop,
                on_piece=on_progress,
                flush_seconds=math.inf,  # a snapshot that was not finished is deleted: its records are of no use
                throttle=(lambda count, pause: limiter.take(count, None, pause)) if limiter else None,
            )
            disk.check()
            ebs.complete(snapshot_id, changed_blocks=result.written_blocks, checksum=result.checksum)
        except BaseException:
            _give_up(ebs, snapshot_id, path, on_note)
            raise
        try:
            partial.finish().close()
        except (OSError, RehostError) as problem:  # the snapshot is good all the same
            on_note(f"the manifest of {snapshot_id} was not kept, so a child of it will send every block: {problem}")
        return snapshot_id


def _give_up(ebs: EbsDirect, snapshot_id: str, manifest: Path, on_note: Callable[[str], None]) -> None:
    try:
        ebs.discard(snapshot_id)
    except RehostError as problem:
        on_note(f"{snapshot_id} is left pending, as it cannot be deleted: {problem}")
    with suppress(OSError):
        manifest.with_name(manifest.name + ".partial").unlink(missing_ok=True)


@dataclass(frozen=True)
class _Frozen:
    disk: FrozenDisk
    check: Callable[[], None]


def _frozen(file: Path, cleanup: ExitStack) -> _Frozen:
    path = Path(os.path.realpath(file))
    source = ImagesSource({"path": str(path.parent)}, base=path.parent)
    cleanup.callback(source.close)
    server = source.freeze({"disks": [path.name]}, quiesce=Quiesce.NONE, run=f"upload-{uuid4().hex}")
    cleanup.callback(server.release)
    return _Frozen(server.disks[0], server.check)
