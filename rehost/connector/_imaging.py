"""From completed snapshots to an AMI: VM import or registration, and what can be asked of AWS beforehand."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from rehost.aws import Aws, DiskImage
from rehost.blocks import volume_gib
from rehost.connector._errors import ImportFailed, RunCancelled
from rehost.control import Job, Run, RunDisk
from rehost.transfer import StopSignal

POLL_SECONDS = (
    15.0  # AWS imports take tens of minutes; the sandbox's take a fraction of a second and start with short polls
)
IMPORT_HOURS = 12


def preflight(aws: Aws, job: Job) -> None:
    """Ask AWS beforehand what an image will need: the key, and the role of an import. Raises AwsError."""
    kms_key_arn(aws, job)
    image = job.spec.image
    if image["conversion"] == "import":
        aws.preflight.check_role(image.get("role") or "vmimport")


def kms_key_arn(aws: Aws, job: Job) -> str | None:
    """The ARN of the job's key: StartSnapshot takes neither an alias nor an id."""
    key = job.spec.image.get("kmsKey")
    return aws.preflight.key_arn(key) if key else None


def make_image(
    aws: Aws,
    job: Job,
    run: Run,
    disks: Sequence[RunDisk],
    *,
    tags: Mapping[str, str],
    on_progress: Callable[[str], None],
    stop: StopSignal,
) -> str:
    """The AMI of the run's snapshots. Repeating it finds the one that an earlier call made."""
    mapping = [DiskImage(device_name(disk.index), disk.snapshot_id, volume_gib(disk.size)) for disk in disks]
    if job.spec.image["conversion"] == "register":
        on_progress("register")
        image_id = _register(aws, job, run, mapping, tags)
    else:
        image_id = _import(aws, job, run, mapping, tags, on_progress, stop)
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


def image_name(job: Job, run: Run) -> str:
    """Unique for the run, so that registering twice finds the first. At most 128 characters (RegisterImage, `Name`)."""
    return f"rehost/{job.spec.stack}/{job.spec.server}"[: 127 - len(run.id)] + "/" + run.id


def _register(aws: Aws, job: Job, run: Run, disks: Sequence[DiskImage], tags: Mapping[str, str]) -> str:
    image = job.spec.image
    mode = image.get("bootMode", "auto")
    return aws.images.register(
        name=image_name(job, run),
        disks=disks,
        architecture=image.get("architecture", "x86_64"),
        boot_mode=None if mode == "auto" else {"bios": "legacy-bios"}.get(mode, mode),
        description=f"{job.spec.server}, {run.id}",
        tags=tags,
    )


def _import(
    aws: Aws,
    job: Job,
    run: Run,
    disks: Sequence[DiskImage],
    tags: Mapping[str, str],
    on_progress: Callable[[str], None],
    stop: StopSignal,
) -> str:
    image = job.spec.image
    task = aws.images.start_import(
        snapshots=[disk.snapshot_id for disk in disks],
        token=run.id,
        description=f"{job.spec.server}, {run.id}",
        role=image.get("role") or "vmimport",
        license_type={"aws": "AWS", "byol": "BYOL"}.get(image.get("license", "auto")),
        boot_mode={"bios": "legacy-bios", "uefi": "uefi"}.get(image.get("bootMode", "auto")),
        encrypted=bool(image.get("encrypt")),
        kms_key_arn=kms_key_arn(aws, job),
        tags=tags,
    )
    deadline = time.monotonic() + IMPORT_HOURS * 3600
    pause = 0.1
    while True:
        progress = aws.images.import_progress(task)
        if progress.image_id and progress.is_completed:
            aws.images.claim_import(progress.image_id, tags)
            return progress.image_id
        if progress.is_failed:
            raise ImportFailed(task=task, reason=progress.message or "AWS gave no reason")
        if stop.is_set():
            aws.images.cancel_import(task)
            raise RunCancelled(run=run.id)
        if time.monotonic() > deadline:
            raise ImportFailed(task=task, reason=f"it has not ended within {IMPORT_HOURS} hours")
        on_progress(f"import {progress.percent or 0} %, {progress.message or 'waiting'}")
        time.sleep(pause)
        pause = min(pause * 1.5, POLL_SECONDS)
