"""What each step of a run does. Every one may be repeated after a crash at any point of it."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass, field

import structlog

from rehost import faults
from rehost.aws import RUN_TAG, SERVER_TAG, STACK_TAG, Aws, AwsError, AwsSettings
from rehost.blocks import volume_gib
from rehost.connector import _imaging
from rehost.connector._copy import Manifests, copy_frozen_disk
from rehost.connector._errors import RunCancelled
from rehost.connector._metrics import Metrics
from rehost.connector._retention import retire_images
from rehost.connector._settings import ConnectorSettings
from rehost.connector._throttles import Throttles
from rehost.control import ControlPlane, Image, Job, Run, RunDisk
from rehost.sources import FreezeLost, FrozenServer, Quiesce, Source, open_source

log = structlog.get_logger("rehost.connector")


@dataclass
class _Active:
    """What this process holds of a run under way; all of it can be made anew from the control plane."""

    stop: threading.Event = field(default_factory=threading.Event)
    source: Source | None = None
    frozen: FrozenServer | None = None

    def close(self) -> None:
        if self.frozen:
            self.frozen.close()
        if self.source:
            self.source.close()
        self.frozen = self.source = None


class RunSteps:
    """The steps, bound to this connector's control plane and settings."""

    def __init__(self, control: ControlPlane, settings: ConnectorSettings) -> None:
        self.control, self.settings = control, settings
        self.manifests = Manifests(settings.state / "manifests")
        self.throttles = Throttles()
        self.metrics = Metrics()
        self.metrics.watch_runs(lambda: len(self.active))
        self.active: dict[str, _Active] = {}
        self._aws: dict[AwsSettings, Aws] = {}
        self._lock = threading.Lock()

    def enter(self, run_id: str) -> None:
        self.active[run_id] = _Active()

    def leave(self, run_id: str) -> None:
        held = self.active.pop(run_id, None)
        if held:
            held.close()

    def cancel(self, run_id: str) -> None:
        """Make the run stop at its next block or poll."""
        if held := self.active.get(run_id):
            held.stop.set()

    def freeze(self, run_id: str) -> int:
        """Check what can be checked, then take the point in time; returns the number of disks."""
        run, job = self._load(run_id)
        if run.freeze_token is None:
            self._stage(run, "preflight")
            aws = self._aws_for(job)
            aws.check_access()
            _imaging.preflight(aws, job)
            self._stage(run, "freeze")
            held = self._held(run_id)
            held.source = self._open_source(job)
            held.frozen = held.source.freeze(job.spec.locator, quiesce=Quiesce(job.spec.quiesce), run=run.id)
            self.control.runs.frozen(run.id, held.frozen.token, held.frozen.consistency.value)
            run, _ = self._load(run_id)
        faults.point("frozen")
        return len(self._frozen(run, job).disks)

    def start_snapshot(self, run_id: str, index: int) -> None:
        """Start the disk's EBS snapshot on top of the one of the last completed run, if that one still serves."""
        run, job = self._load(run_id)
        aws = self._aws_for(job)
        disk = self._frozen(run, job).disks[index]
        self._stage(run, f"start {disk.key}")
        parent = self._parent(aws, job, disk.key, disk.size)
        image = job.spec.image
        snapshot_id = aws.ebs.start(
            volume_gib=volume_gib(disk.size),
            parent=parent.snapshot_id if parent else None,
            token=f"{run.id}/{disk.key}",
            description=f"rehost {job.spec.server} {disk.key} {run.id}",
            tags=_tags(job, run),
            encrypted=bool(image.get("encrypt")) and parent is None,
            kms_key_arn=_imaging.kms_key_arn(aws, job) if parent is None else None,
        )
        faults.point("snapshot-started")
        self.control.runs.put_disk(
            run.id,
            RunDisk(
                index=index,
                key=disk.key,
                size=disk.size,
                snapshot_id=snapshot_id,
                parent_snapshot_id=parent.snapshot_id if parent else None,
                position=disk.position,
                blocks_total=0,
            ),
        )

    def copy(self, run_id: str, index: int) -> None:
        """Copy what differs from the parent, from the last checkpoint on."""
        run, job = self._load(run_id)
        disk = self._disk(run, index)
        self._stage(run, f"copy {disk.key}")
        frozen = self._frozen(run, job).disks[index]
        with (
            self.throttles.following(job, self.control.jobs.find),
            self.metrics.copy(job.spec.stack, job.spec.server, disk.key) as tell,
        ):
            copy_frozen_disk(
                frozen,
                disk,
                self._last(job, disk.key),
                ebs=self._aws_for(job).ebs,
                control=self.control,
                run_id=run.id,
                manifests=self.manifests,
                in_flight=self.settings.in_flight,
                stop=self._held(run_id).stop,
                throttle=lambda count, pause: self.throttles.wait(job, disk.key, count, pause),
                on_progress=tell,
            )
        faults.point("copied")

    def complete_snapshot(self, run_id: str, index: int) -> None:
        """Seal the snapshot with its aggregate checksum, and bind the manifest to it."""
        run, job = self._load(run_id)
        disk = self._disk(run, index)
        # Not before this: a disk that changed while another one was read would make an image of two moments.
        self._frozen(run, job).check()
        if not self.manifests.path(disk.snapshot_id).exists():  # else an earlier life of this step got this far
            self._stage(run, f"complete {disk.key}")
            ebs = self._aws_for(job).ebs
            with ExitStack() as open_files:
                partial = self.manifests.partial(disk, open_files)
                ebs.complete(disk.snapshot_id, changed_blocks=partial.written_count, checksum=partial.linear_checksum())
                ebs.wait_completed(disk.snapshot_id)
                faults.point("snapshot-complete")
                partial.finish().close()
        self.control.runs.disk_completed(run.id, index)

    def release(self, run_id: str) -> None:
        """Give the point in time up: every disk is copied, or the run has failed. Repeating it is harmless."""
        run, job = self._load(run_id)
        if run.freeze_token is not None:
            try:
                self._frozen(run, job).release()
            except FreezeLost as gone:
                log.info("nothing is left to release", run=run_id, reason=str(gone))
        self._held(run_id).close()
        faults.point("released")

    def make_image(self, run_id: str) -> None:
        run, job = self._load(run_id)
        self._stage(run, "image")
        image_id = _imaging.make_image(
            self._aws_for(job),
            job,
            run,
            self.control.runs.disks(run_id),
            tags=_tags(job, run),
            on_progress=lambda text: self._stage(run, "image", text),
            stop=self._held(run_id).stop,
        )
        faults.point("image-made")
        self.control.runs.image_made(run.id, image_id)

    def record(self, run_id: str) -> None:
        """COMPLETED, with its image."""
        run, job = self._load(run_id)
        if run.image_id is not None:
            snapshots = tuple(disk.snapshot_id for disk in self.control.runs.disks(run_id))
            image = Image(run.image_id, job.id, run.id, snapshots, self.control.now())
            self.control.runs.complete(run.id, image)
        faults.point("run-recorded")

    def abandon(self, run_id: str, reason: str) -> None:
        """FAILED: nothing of the run stays in AWS, and the control plane says why it failed."""
        run, job = self._load(run_id)
        for disk in self.control.runs.disks(run_id):
            self.manifests.discard(disk.snapshot_id)
        try:
            self._discard_made(job, run)
        except AwsError as error:
            # AWS is what failed, perhaps. The next run of this job, or its end, finds what is left by its tags.
            log.warning("what the run made could not be removed yet", run=run_id, error=str(error))
        self.control.runs.fail(run_id, reason)

    def retire(self, run_id: str) -> None:
        """Let go of what retention no longer keeps, and of what failed runs could not remove."""
        _, job = self._load(run_id)
        try:
            for snapshot_id in retire_images(self.control, self._aws_for(job), job):
                self.manifests.discard(snapshot_id)
        except AwsError as error:
            log.warning("retention was not carried out; the next run tries again", run=run_id, error=str(error))
        self.leave(run_id)

    def _discard_made(self, job: Job, run: Run) -> None:
        aws, stack = self._aws_for(job), job.spec.stack
        owned = aws.list_owned(stack, {RUN_TAG: run.id})
        for each in owned:
            if each.kind == "image":
                aws.images.deregister(each.id, stack=stack)
        for each in owned:
            if each.kind == "snapshot":
                aws.ebs.delete(each.id, stack=stack)

    def _parent(self, aws: Aws, job: Job, key: str, size: int) -> RunDisk | None:
        """The last run's snapshot of this disk, if the next one can be built on it."""
        last = self._last(job, key)
        if last is None or last.size > size or not self.manifests.trusted(last.snapshot_id):
            return None
        view = aws.ebs.describe(last.snapshot_id)
        if view is None or view.state != "completed":
            log.info("the last snapshot is gone: reading the whole disk", snapshot=last.snapshot_id)
            return None
        image = job.spec.image
        wanted = _imaging.kms_key_arn(aws, job)
        if bool(image.get("encrypt")) != view.encrypted or (wanted and wanted != view.kms_key_id):
            log.info("the encryption has changed: reading the whole disk", snapshot=last.snapshot_id)
            return None
        return last

    def _last(self, job: Job, key: str) -> RunDisk | None:
        run = self.control.runs.last_completed(job.id)
        disks = self.control.runs.disks(run.id) if run else []
        return next((disk for disk in disks if disk.key == key), None)

    def _disk(self, run: Run, index: int) -> RunDisk:
        return next(disk for disk in self.control.runs.disks(run.id) if disk.index == index)

    def _load(self, run_id: str) -> tuple[Run, Job]:
        run = self.control.runs.get(run_id)
        return run, self.control.jobs.get(run.job_id)

    def _held(self, run_id: str) -> _Active:
        return self.active.setdefault(run_id, _Active())

    def _stage(self, run: Run, stage: str, message: str | None = None) -> None:
        if self._held(run.id).stop.is_set():
            raise RunCancelled(run=run.id)
        self.control.runs.stage(run.id, stage, message)
        log.info(stage, run=run.id, detail=message)

    def _open_source(self, job: Job) -> Source:
        return open_source(job.spec.source, base=self.settings.base)

    def _frozen(self, run: Run, job: Job) -> FrozenServer:
        """The run's point in time, found again by its token where this process does not hold it."""
        held = self._held(run.id)
        if held.frozen is None:
            if run.freeze_token is None:
                raise FreezeLost(detail="it was never taken")
            held.source = held.source or self._open_source(job)
            held.frozen = held.source.reopen(run.freeze_token)
        return held.frozen

    def _aws_for(self, job: Job) -> Aws:
        wanted = job.spec.aws
        settings = AwsSettings(wanted.get("region"), wanted.get("profile"), wanted.get("endpoint"))
        with self._lock:
            if settings not in self._aws:
                self._aws[settings] = Aws(settings)
            return self._aws[settings]


def _tags(job: Job, run: Run) -> dict[str, str]:
    spec = job.spec
    return {"Name": spec.server, **spec.tags, STACK_TAG: spec.stack, SERVER_TAG: spec.server, RUN_TAG: run.id}
