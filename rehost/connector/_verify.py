"""Read a run's snapshots back and compare them: with their manifests, and with the source while it stands still."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rehost.aws import Aws, AwsSettings
from rehost.connector._copy import Manifests
from rehost.connector._errors import NothingToVerify
from rehost.control import ControlPlane, Job, Run, RunDisk
from rehost.sources import ChangesUnknown, FrozenServer, Quiesce, SourceError, open_source
from rehost.transfer import MOST_IN_FLIGHT, ManifestInvalid, verify_against_source, verify_snapshot


@dataclass(frozen=True)
class VerifiedDisk:
    key: str
    bytes: int
    snapshot_id: str
    allocated_bytes: int
    sent_bytes: int  # by the run that made the snapshot
    blocks_read: int  # of the snapshot
    verified: bool  # the snapshot holds what its manifest says
    matches_source: bool | None  # None: not asked, or the source has changed since the run
    problem: str = ""


@dataclass(frozen=True)
class VerifiedServer:
    server: str
    run_id: str
    image_id: str | None
    disks: tuple[VerifiedDisk, ...]

    @property
    def ok(self) -> bool:
        return all(disk.verified and disk.matches_source is not False for disk in self.disks)


def verify_run(
    control: ControlPlane,
    job: Job,
    run: Run | None,
    *,
    state: Path,
    base: Path,
    with_source: bool,
    in_flight: int = MOST_IN_FLIGHT,
) -> VerifiedServer:
    """Verify `run`, or the newest completed one of `job`. A difference is a result; raises AwsError, ControlError, NothingToVerify."""
    run = run or control.runs.last_completed(job.id)
    if run is None:
        raise NothingToVerify(server=job.spec.server)
    aws = Aws(AwsSettings(job.spec.aws.get("region"), job.spec.aws.get("profile"), job.spec.aws.get("endpoint")))
    manifests = Manifests(state / "manifests")
    with ExitStack() as cleanup:
        frozen, reason = _frozen(job, base, cleanup) if with_source else (None, "")
        disks = []
        for disk in control.runs.disks(run.id):
            verified = _verify_disk(aws, manifests, disk, frozen, reason, in_flight)
            if verified.verified:
                control.runs.disk_verified(run.id, disk.index)
            disks.append(verified)
        if frozen is not None:
            frozen.check()
    return VerifiedServer(job.spec.server, run.id, run.image_id, tuple(disks))


def _frozen(job: Job, base: Path, cleanup: ExitStack) -> tuple[FrozenServer | None, str]:
    """A point in time of the source as it is now, or why there is none."""
    try:
        source = open_source(job.spec.source, base=base)
        cleanup.callback(source.close)
        frozen = source.freeze(job.spec.locator, quiesce=Quiesce.NONE, run=f"verify-{job.id}")
        cleanup.callback(frozen.release)
    except SourceError as error:
        return None, str(error)
    return frozen, ""


def _verify_disk(
    aws: Aws, manifests: Manifests, disk: RunDisk, frozen: FrozenServer | None, reason: str, in_flight: int
) -> VerifiedDisk:
    def result(blocks: int, verified: bool, matches: bool | None, problem: str) -> VerifiedDisk:
        return VerifiedDisk(
            disk.key,
            disk.size,
            disk.snapshot_id,
            disk.allocated_bytes,
            disk.sent_bytes,
            blocks,
            verified,
            matches,
            problem,
        )

    try:
        manifest = manifests.open(disk.snapshot_id)
    except ManifestInvalid as error:
        return result(0, False, None, str(error))
    with manifest:
        found = verify_snapshot(
            aws.ebs.blocks_of(disk.snapshot_id),
            aws.ebs.reader(disk.snapshot_id),
            manifest,
            in_flight=in_flight,
        )
        if not found.ok:
            first = found.mismatches[0]
            what = f"{found.mismatch_count} blocks differ from the manifest, the first at byte {first.offset} ({first.difference})"
            return result(found.blocks_read, False, None, what)
        source = next((each for each in frozen.disks if each.key == disk.key), None) if frozen else None
        if source is None:
            return result(found.blocks_read, True, None, reason)
        try:
            changed = next(iter(source.extents(disk.position)), None) is not None
        except ChangesUnknown as unknown:
            return result(found.blocks_read, True, None, f"not compared with the source: {unknown}")
        if changed:
            return result(found.blocks_read, True, None, "not compared with the source: it has changed since the run")
        compared = verify_against_source(source, source.extents(None), manifest, in_flight=in_flight)
        problem = "" if compared.ok else f"{compared.mismatch_count} blocks differ from the source"
        return result(found.blocks_read, True, compared.ok, problem)
