"""What goes from AWS: images that retention no longer keeps, what failed runs left, and everything of a job that ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from rehost.aws import RUN_TAG, SERVER_TAG, Aws, Owned
from rehost.connector._errors import RunStillActive
from rehost.control import ControlPlane, Image, Job, RunState, superseded

#: How long the end of a job waits for its active run to stop before it goes on without it.
STOP_SECONDS = 60.0


def retire_images(control: ControlPlane, aws: Aws, job: Job) -> list[str]:
    """Carry out the job's retention; returns the snapshots that went. Repeating it is harmless. Raises AwsError."""
    images = control.images.list(job.id)
    protected = control.images.pinned(job.id) | aws.images.in_use([image.image_id for image in images])
    gone = []
    for image in superseded(images, keep=int(job.spec.schedule.get("keep_images", 3)), protected=protected):
        gone += _remove(control, aws, job, image)
    gone += _reap(control, aws, job)
    return gone


def remove_job(control: ControlPlane, aws: Aws, job_id: str, *, on_progress: Callable[[str], object]) -> None:
    """End a job and remove what its runs made, except images that somebody's instance still uses. A retry is safe.

    Raises AwsError, RunStillActive.
    """
    job = control.jobs.find(job_id)
    if job is None:
        return
    control.jobs.begin_end(job_id)
    _await_stop(control, job, on_progress)
    images = control.images.list(job_id)
    used = aws.images.in_use([image.image_id for image in images])
    for image in images:
        if image.image_id in used:
            on_progress(f"image {image.image_id} stays: an instance uses it")
        else:
            _remove(control, aws, job, image)
    _reap(control, aws, job)
    control.jobs.ended(job_id)


def _remove(control: ControlPlane, aws: Aws, job: Job, image: Image) -> list[str]:
    """Deregister an image and delete its snapshots: the run's own, and those that an import made of them."""
    held = aws.images.deregister(image.image_id, stack=job.spec.stack)
    snapshots = list(dict.fromkeys((*held, *image.snapshot_ids)))
    for snapshot in snapshots:
        aws.ebs.delete(snapshot, stack=job.spec.stack)
    control.images.gone(image.image_id)
    return snapshots


def _reap(control: ControlPlane, aws: Aws, job: Job) -> list[str]:
    """Remove images and snapshots of this job's runs that ended without an image on record."""
    known = {image.run_id for image in control.images.list(job.id)}
    owned = aws.list_owned(job.spec.stack, {SERVER_TAG: job.spec.server})
    abandoned = [
        each for each in owned if each.kind in ("image", "snapshot") and _is_abandoned(control, job, each, known)
    ]
    for each in _of(abandoned, "image"):
        aws.images.deregister(each.id, stack=job.spec.stack)
    snapshots = [each.id for each in _of(abandoned, "snapshot")]
    for snapshot in snapshots:
        aws.ebs.delete(snapshot, stack=job.spec.stack)
    return snapshots


def _is_abandoned(control: ControlPlane, job: Job, owned: Owned, known: set[str]) -> bool:
    """Whether the run that made it is this job's and has failed. What no run of ours explains is left alone."""
    run_id = owned.tags.get(RUN_TAG)
    if not run_id or run_id in known:
        return False
    run = control.runs.find(run_id)
    return run is not None and run.job_id == job.id and run.state is RunState.FAILED


def _of(owned: Iterable[Owned], kind: str) -> list[Owned]:
    return [each for each in owned if each.kind == kind]


def _await_stop(control: ControlPlane, job: Job, on_progress: Callable[[str], object]) -> None:
    """Until the active run has stopped; one whose connector is gone is ended here."""
    deadline = time.monotonic() + STOP_SECONDS
    said = False
    while True:
        active = [run for run in control.runs.list(job.id, limit=5) if run.state is RunState.ACTIVE]
        if not active:
            return
        live = {connector.id for connector in control.connectors.healthy()}
        for run in active:
            if run.connector_id not in live:
                control.runs.fail(run.id, "its job was ended")
        if any(run.connector_id in live for run in active):
            if not said:
                on_progress("waiting for its run to stop")
                said = True
            if time.monotonic() > deadline:
                raise RunStillActive(run=active[0].id, connector=active[0].connector_id, seconds=STOP_SECONDS)
            time.sleep(0.2)
