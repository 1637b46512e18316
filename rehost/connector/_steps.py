"""What each step of a run does. Every one may be repeated after a crash at any point of it."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass, field

import structlog

from rehost import faults
from rehost.aws import RUN_TAG, Aws, AwsError, AwsSettings
from rehost.blocks import volume_gib
from rehost.connector._carry_on import carry_on, is_whole, matches
from rehost.connector._copy import Manifests, copy_frozen_disk
from rehost.connector._errors import CopyIncomplete, RunCancelled
from rehost.connector._image_settings import settings_of
from rehost.connector._imaging import kms_key_arn, make_image
from rehost.connector._metrics import Metrics
from rehost.connector._preflight import require_possible
from rehost.connector._retention import retire_images
from rehost.connector._settings import ConnectorSettings
from rehost.connector._spreading import Copied, copy_image, copy_tags, share_image
from rehost.connector._throttles import Throttles
from rehost.control import ControlPlane, Image, Job, Run, RunDisk, WholeCopy
from rehost.sources import FreezeLost, FrozenServer, Quiesce, Source, SourceError, Tidy, open_source

log = structlog.get_logger("rehost.connector")

_KEPT = ". What it copied is kept for a day: the next try makes its image of that"


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

    def stop_of(self, run_id: str) -> threading.Event:
        return self._held(run_id).stop

    def say(self, run_id: str, message: str) -> None:
        """Let the run's status say what it waits for; a database that is away has nothing to say it with."""
        run = self.control.runs.find(run_id)
        if run is not None:
            self.control.runs.stage(run_id, run.stage or "waiting", message)

    def freeze(self, run_id: str) -> int:
        """Check what can be checked, then take the point in time; returns the number of disks.

        A run that carries on with an earlier one's copy has no point in time of its own: its other steps find it whole.
        """
        run, job = self._load(run_id)
        if self._copy_of(run_id):
            return len(self.control.runs.disks(run_id))
        if run.freeze_token is None:
            self._stage(run, "preflight")
            aws = self.aws_for(job)
            aws.check_access()
            # A stack that moves to another region has things in both until retention has been there.
            self.control.spreading.touch(job.id, aws.region)
            if carry_on(self.control, aws, job, run):
                return len(self.control.runs.disks(run_id))
            held = self._held(run_id)
            held.source = held.source or self._open_source(job)
            sizes = [disk.size for disk in held.source.inspect(job.spec.locator).disks]
            require_possible(aws, settings_of(job), sizes)
            self._stage(run, "freeze")
            held.frozen = held.source.freeze(job.spec.locator, quiesce=Quiesce(job.spec.quiesce), run=run.id)
            self.control.runs.frozen(run.id, held.frozen.token, held.frozen.consistency.value)
            run, _ = self._load(run_id)
        faults.point("frozen")
        return len(self._frozen(run, job).disks)

    def start_snapshot(self, run_id: str, index: int) -> None:
        """Start the disk's EBS snapshot on top of the newest one there is, if that one still serves."""
        if self._copy_of(run_id):
            return
        run, job = self._load(run_id)
        aws = self.aws_for(job)
        disk = self._frozen(run, job).disks[index]
        self._stage(run, f"start {disk.key}")
        parent = self._parent(aws, job, disk.key, disk.size)
        image = job.spec.image
        snapshot_id = aws.ebs.start(
            volume_gib=volume_gib(disk.size),
            parent=parent.snapshot_id if parent else None,
            token=f"{run.id}/{disk.key}",
            description=f"rehost {job.spec.server} {disk.key} {run.id}",
            tags=copy_tags(job, run.id),
            encrypted=bool(image.get("encrypt")) and parent is None,
            kms_key_arn=kms_key_arn(aws, job) if parent is None else None,
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
        if self._copy_of(run_id):
            return
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
                self._maker(job, disk),
                ebs=self.aws_for(job).ebs,
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
        if self._copy_of(run_id):
            return
        run, job = self._load(run_id)
        disk = self._disk(run, index)
        frozen = self._frozen(run, job)
        # Not before this: a disk that changed while another one was read would make an image of two moments.
        frozen.check()
        if not self.manifests.path(disk.snapshot_id).exists():  # else an earlier life of this step got this far
            self._stage(run, f"complete {disk.key}")
            ebs = self.aws_for(job).ebs
            with ExitStack() as open_files:
                partial = self.manifests.partial(disk, open_files)
                ebs.complete(disk.snapshot_id, changed_blocks=partial.written_count, checksum=partial.linear_checksum())
                ebs.wait_completed(disk.snapshot_id)
                faults.point("snapshot-complete")
                partial.finish().close()
        self.control.runs.disk_completed(run.id, index)
        if index + 1 == len(frozen.disks):
            now = self.control.now()
            self.control.whole_copies.add(run.id, copied_at=now, taken_at=run.frozen_at or run.started_at or now)

    def release(self, run_id: str) -> None:
        """Give the point in time up: every disk is copied, or the run has failed. Repeating it is harmless."""
        run, job = self._load(run_id)
        if run.freeze_token is not None:
            own: dict[str, str] = {disk.key: disk.position for disk in self.control.runs.disks(run_id)}
            try:
                frozen = self._frozen(run, job)
                own = {disk.key: disk.position for disk in frozen.disks}
                frozen.release()
            except FreezeLost as gone:
                log.info("nothing is left to release", run=run_id, reason=str(gone))
            self._forget(run, job, own)
        self._held(run_id).close()
        faults.point("released")

    def _forget(self, run: Run, job: Job, own: dict[str, str]) -> None:
        """Let the source go of what it keeps for changes that nobody will ask for: since a run that failed, or that this one follows."""
        positions = own
        if self._copy_of(run.id) is not None:
            # This run has not ended: the last one that has is the one that it was built on.
            before = self.control.whole_copies.last(job.id)
            disks = self.control.runs.disks(before.run_id) if before and before.run_id != run.id else []
            positions = {disk.key: disk.position for disk in disks}
        source: object = self._held(run.id).source
        if not positions or not isinstance(source, Tidy):
            return
        try:
            source.forget(job.spec.locator, positions)
        except SourceError as error:
            log.warning("what the source keeps for earlier runs is not removed yet", run=run.id, reason=str(error))

    def make_image(self, run_id: str) -> None:
        run, job = self._load(run_id)
        copy = self._whole(run)
        key = settings_of(job).key
        if copy.image_id is None or copy.image_key != key:  # else it was made already, by this run or an earlier one
            self._stage(run, "image")
            image_id = make_image(
                self.aws_for(job),
                job,
                run,
                self.control.runs.disks(run_id),
                taken_at=copy.taken_at,
                tags=copy_tags(job, run.id),
                on_progress=lambda text: self._stage(run, "image", text),
                stop=self._held(run_id).stop,
            )
            faults.point("image-made")
            self.control.whole_copies.image(run.id, image_id, key)

    def spread(self, run_id: str) -> Copied:
        """Copies in further regions, and the accounts that may use it all."""
        run, job = self._load(run_id)
        image_id = self._whole(run).image_id or ""
        self._stage(run, "spread")
        copied = copy_image(
            self.control,
            self.aws_for(job),
            job,
            image_id,
            tags=copy_tags(job, run.id),
            on_progress=lambda text: self._stage(run, "spread", text),
        )
        share_image(self.control, self.aws_for(job), job, image_id, copied)
        faults.point("spread")
        return copied

    def record(self, run_id: str, copied: Copied) -> None:
        """COMPLETED, with its image."""
        run, job = self._load(run_id)
        copy = self._whole(run)
        if copy.image_id is not None:
            snapshots = tuple(disk.snapshot_id for disk in self.control.runs.disks(run_id))
            # A run that took an earlier one's copy over has no point in time of its own: the copy's is the image's.
            image = Image(
                copy.image_id,
                job.id,
                run.id,
                snapshots,
                self.control.now(),
                taken_at=copy.taken_at,
                copies=copied or None,
            )
            self.control.runs.complete(run.id, image)
        faults.point("run-recorded")

    def abandon(self, run_id: str, reason: str) -> None:
        """FAILED: the control plane says why, and nothing of the run stays in AWS but a whole copy, for a while."""
        run, job = self._load(run_id)
        copy = self._copy_of(run_id)
        try:
            if copy is None:
                for disk in self.control.runs.disks(run_id):
                    self.manifests.discard(disk.snapshot_id)
            self._discard_made(job, run, copy)
        except AwsError as error:
            # AWS is what failed, perhaps. The next run of this job, or its end, finds what is left by its tags.
            log.warning("what the run made could not be removed yet", run=run_id, error=str(error))
        self.control.runs.fail(run_id, f"{reason}{_KEPT if copy else ''}")

    def retire(self, run_id: str) -> None:
        """Let go of what retention no longer keeps, and of what failed runs could not remove."""
        _, job = self._load(run_id)
        try:
            for snapshot_id in retire_images(self.control, self.aws_for(job), job):
                self.manifests.discard(snapshot_id)
        except AwsError as error:
            log.warning("retention was not carried out; the next run tries again", run=run_id, error=str(error))
        self.leave(run_id)

    def _discard_made(self, job: Job, run: Run, copy: WholeCopy | None) -> None:
        aws, stack = self.aws_for(job), job.spec.stack
        owned = aws.list_owned(stack, {RUN_TAG: run.id})
        for each in owned:
            if each.kind == "image" and not (copy and copy.image_id == each.id):
                aws.images.deregister(each.id, stack=stack)
        for each in owned:
            if each.kind == "snapshot" and copy is None:
                aws.ebs.delete(each.id, stack=stack)

    def _parent(self, aws: Aws, job: Job, key: str, size: int) -> RunDisk | None:
        """The newest snapshot of this disk, if the next one can be built on it."""
        copy = self.control.whole_copies.last(job.id)
        disks = self.control.runs.disks(copy.run_id) if copy else []
        last = next((disk for disk in disks if disk.key == key), None)
        if last is None or last.size > size or not self.manifests.trusted(last.snapshot_id):
            return None
        view = aws.ebs.describe(last.snapshot_id)
        if not is_whole(view):
            log.info("the last snapshot is gone: reading the whole disk", snapshot=last.snapshot_id)
            return None
        if not matches(aws, job, view):
            log.info("the encryption has changed: reading the whole disk", snapshot=last.snapshot_id)
            return None
        return last

    def _maker(self, job: Job, disk: RunDisk) -> RunDisk | None:
        """The disk of the run that made the parent snapshot: it knows the position that the parent was copied at."""
        copy = self.control.whole_copies.last(job.id)
        disks = self.control.runs.disks(copy.run_id) if copy and disk.parent_snapshot_id else []
        return next((each for each in disks if each.snapshot_id == disk.parent_snapshot_id), None)

    def _copy_of(self, run_id: str) -> WholeCopy | None:
        return self.control.whole_copies.find(run_id)

    def _whole(self, run: Run) -> WholeCopy:
        copy = self._copy_of(run.id)
        if copy is None:
            raise CopyIncomplete(run=run.id)
        return copy

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

    def aws_for(self, job: Job) -> Aws:
        """AWS with the job's settings, made once for all jobs that share them."""
        wanted = job.spec.aws
        settings = AwsSettings(wanted.get("region"), wanted.get("profile"), wanted.get("endpoint"))
        with self._lock:
            if settings not in self._aws:
                self._aws[settings] = Aws(settings)
            return self._aws[settings]
