"""A run that makes its image of what an earlier one copied: an import that failed does not copy again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeGuard

import structlog

from rehost.aws import Aws, SnapshotView
from rehost.connector._image_settings import settings_of
from rehost.connector._retention import held_copy
from rehost.connector._spreading import copy_tags
from rehost.control import ControlPlane, Job, Run, RunKind, WholeCopy

log = structlog.get_logger("rehost.connector")

#: How a run's token begins that was asked for because another one failed: by `rehost retry`, and by a second `pulumi up`.
RETRY_TOKENS = ("after ", "retry")


def carry_on(control: ControlPlane, aws: Aws, job: Job, run: Run) -> bool:
    """Make the newest whole copy this run's own, if it is a failed run's and still what this run is to bring.

    Its snapshots get this run's tag; the failed run keeps its history. Repeating it after a crash goes on with it. Raises
    AwsError.
    """
    earlier = held_copy(control, job)
    if earlier is None or earlier.run_id == run.id:
        return False
    begun = bool(control.runs.disks(run.id))  # an earlier life of this step decided so
    disks = control.runs.disks(earlier.run_id)
    if not begun and not _is_wanted(control, job, run, earlier):
        return False
    views = [view for disk in disks if is_whole(view := aws.ebs.describe(disk.snapshot_id))]
    if not disks or len(views) != len(disks) or not all(matches(aws, job, view) for view in views):
        return False
    for disk in disks:
        control.runs.put_disk(run.id, disk)
    tags = copy_tags(job, run.id)
    image = earlier.image_id if earlier.image_key == settings_of(job).key else None
    for disk in disks:
        aws.ebs.set_tags(disk.snapshot_id, tags, stack=job.spec.stack)
    if image and (made := aws.images.describe(image)) is not None and made.state == "available":
        aws.images.set_tags(image, {key: value for key, value in tags.items() if key != "Name"}, stack=job.spec.stack)
    elif earlier.image_id:
        aws.images.deregister(earlier.image_id, stack=job.spec.stack)
        image = None
    control.whole_copies.add(run.id, copied_at=earlier.copied_at, taken_at=earlier.taken_at)
    control.whole_copies.image(run.id, image, earlier.image_key if image else None)
    log.info("carrying on with an earlier run's copy", run=run.id, earlier=earlier.run_id, image=image)
    return True


def is_whole(view: SnapshotView | None) -> TypeGuard[SnapshotView]:
    """Whether a snapshot is there and complete."""
    return view is not None and view.state == "completed"


def matches(aws: Aws, job: Job, view: SnapshotView) -> bool:
    """Whether a snapshot is encrypted as the job wants it: a child has its parent's key (StartSnapshot)."""
    settings = settings_of(job)
    always, default = aws.preflight.encryption()
    wanted = settings.encrypt or always
    if wanted != view.encrypted:
        return False
    # Without a key in the spec it is the account's default one, not whichever the last run had.
    return not wanted or aws.preflight.key_arn(settings.kms_key or default) == view.kms_key_id


def _is_wanted(control: ControlPlane, job: Job, run: Run, earlier: WholeCopy) -> bool:
    """Whether the earlier point in time is the one to bring: a retry's is; a run that somebody asks for wants a new one.

    A scheduled run takes it while the schedule would not have taken another one yet.
    """
    if run.kind is RunKind.FINAL:
        return False  # its moment is the one after the source was stopped
    if run.kind is RunKind.AUTOMATIC:
        return control.now() - earlier.taken_at < _fresh_for(job.spec.schedule)
    return control.runs.token(run.id).startswith(RETRY_TOKENS)


def _fresh_for(schedule: Any) -> timedelta:
    """How long a point in time counts as the newest one that the schedule asks for."""
    if schedule.get("run_once"):
        return timedelta(hours=24)
    if schedule.get("every_seconds"):
        return timedelta(seconds=int(schedule["every_seconds"]))
    return timedelta(hours=1)
