"""From completed snapshots to an AMI: VM import or registration."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from rehost.aws import Aws, DiskImage, ImportRequest, NotFound
from rehost.blocks import volume_gib
from rehost.connector._causes import advice, is_own_fault
from rehost.connector._errors import ImportFailed, RunCancelled
from rehost.connector._image_settings import settings_of
from rehost.control import Job, Run, RunDisk
from rehost.transfer import StopSignal

FIRST_POLL_SECONDS = 0.1  # the sandbox's imports take a fraction of a second, AWS's tens of minutes
POLL_SECONDS = 15.0
IMPORT_HOURS = 12
#: How often an import is started anew in a run when AWS names a fault of its own ("ServerError: an internal error ...").
IMPORT_TRIES = 3


def kms_key_arn(aws: Aws, job: Job) -> str | None:
    """The ARN of the job's key: StartSnapshot takes neither an alias nor an id."""
    key = settings_of(job).kms_key
    return aws.preflight.key_arn(key) if key else None


def make_image(
    aws: Aws,
    job: Job,
    run: Run,
    disks: Sequence[RunDisk],
    *,
    taken_at: datetime,
    tags: Mapping[str, str],
    on_progress: Callable[[str], None],
    stop: StopSignal,
) -> str:
    """The AMI of the run's snapshots. Repeating it finds the one that an earlier call made. Raises AwsError, ImportFailed."""
    settings = settings_of(job)
    name, unique_name = settings.names(job, run.id, taken_at)
    if settings.has_name:
        tags = {**tags, "Name": name}
    if settings.is_import:
        image_id = _import(aws, job, run, disks, tags, on_progress, stop)
        if settings.imdsv2:
            aws.images.require_imdsv2(image_id)
    else:
        on_progress("register")
        image_id = aws.images.register(
            name=name,
            unique_name=unique_name,
            disks=[DiskImage(device_name(disk.index), disk.snapshot_id, volume_gib(disk.size)) for disk in disks],
            architecture=settings.architecture,
            boot_mode=settings.boot_mode,
            description=settings.description(job, run.id),
            tags=tags,
            ena=settings.ena,
            imdsv2=settings.imdsv2,
            tpm=settings.tpm,
            uefi_data=settings.uefi_data,
        )
    aws.images.wait_available(image_id)
    return image_id


def device_name(index: int) -> str:
    """EC2's names: the root as most Linux AMIs have it, data disks from /dev/sdf on (EC2 user guide, "Device names")."""
    if index == 0:
        return "/dev/sda1"
    letters = "fghijklmnop"
    if index <= len(letters):
        return f"/dev/sd{letters[index - 1]}"
    first, second = divmod(index - len(letters) - 1, 26)
    return f"/dev/xvd{chr(ord('b') + first)}{chr(ord('a') + second)}"


def _import(
    aws: Aws,
    job: Job,
    run: Run,
    disks: Sequence[RunDisk],
    tags: Mapping[str, str],
    on_progress: Callable[[str], None],
    stop: StopSignal,
) -> str:
    settings = settings_of(job)
    for attempt in range(1, IMPORT_TRIES + 1):
        task = aws.imports.start(
            ImportRequest(
                snapshots=[disk.snapshot_id for disk in disks],
                token=run.id if attempt == 1 else f"{run.id}/{attempt}",
                description=settings.description(job, run.id),
                role=settings.role,
                tags=tags,
                license_type=settings.license_type,
                boot_mode=settings.boot_mode,
                platform=settings.platform,
                encrypted=settings.encrypt,
                kms_key_arn=kms_key_arn(aws, job),
            )
        )
        image_id, reason = _follow(aws, task, run, on_progress, stop)
        if image_id:
            view = aws.images.describe(image_id)
            if view is None:
                raise NotFound(operation="DescribeImages", message=f"image {image_id} of import task {task} is gone")
            aws.imports.claim(image_id, view.snapshot_ids, tags)
            return image_id
        if not is_own_fault(reason):
            break
    raise ImportFailed(task=task, reason=reason, advice=advice(reason))


def _follow(
    aws: Aws, task: str, run: Run, on_progress: Callable[[str], None], stop: StopSignal
) -> tuple[str | None, str]:
    """Until the task has ended: its image, or AWS's reason for having none."""
    deadline = time.monotonic() + IMPORT_HOURS * 3600
    pause = FIRST_POLL_SECONDS
    while True:
        progress = aws.imports.progress(task)
        if progress.image_id and progress.is_completed:
            return progress.image_id, ""
        if progress.is_failed:
            return None, progress.message or "AWS gave no reason"
        if stop.is_set():
            aws.imports.cancel(task)
            raise RunCancelled(run=run.id)
        if time.monotonic() > deadline:
            aws.imports.cancel(task)
            return None, f"it has not ended within {IMPORT_HOURS} hours"
        on_progress(f"import {progress.percent or 0} %, {progress.message or 'waiting'}")
        time.sleep(pause)
        pause = min(pause * 1.5, POLL_SECONDS)
