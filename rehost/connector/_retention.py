"""What goes from AWS: images that retention no longer keeps, what failed runs left, and everything of a job that ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import timedelta

import structlog

from rehost.aws import RUN_TAG, SERVER_TAG, STACK_TAG, Aws, Owned
from rehost.connector._errors import RunStillActive
from rehost.connector._spreading import remove_image, revoke_unneeded, settle, unshare
from rehost.control import ControlPlane, Image, Job, RunState, WholeCopy, superseded

log = structlog.get_logger("rehost.connector")

#: How long the end of a job waits for its active run to stop before it goes on without it.
STOP_SECONDS = 60.0
#: How long the whole copy of a failed run is kept for the next one to make its image of, or to build on.
HOLD = timedelta(hours=24)


def retire_images(control: ControlPlane, aws: Aws, job: Job) -> list[str]:
    """Carry out the job's retention; returns the snapshots that went. Repeating it is harmless. Raises AwsError."""
    for line in settle(control, aws, job):
        log.info(line, server=job.spec.server)
    images = control.images.list(job.id)
    protected = control.images.pinned(job.id) | used_images(control, aws, job, images)
    gone = []
    for image in superseded(images, keep=int(job.spec.schedule.get("keep_images", 3)), protected=protected):
        gone += _remove(control, aws, job, image)
    revoke_unneeded(control, aws, job)
    gone += _reap(control, aws, job, held_copy(control, job))
    return gone


def held_copy(control: ControlPlane, job: Job) -> WholeCopy | None:
    """The newest copy of a job, if it belongs to a failed run and is young enough to be used again."""
    last = control.whole_copies.last(job.id)
    if last is None or last.state is not RunState.FAILED or control.now() - last.copied_at > HOLD:
        return None
    return last


def used_images(control: ControlPlane, aws: Aws, job: Job, images: Iterable[Image]) -> set[str]:
    """Which of the images somebody uses: the image itself, or a copy of it in another region."""
    originals = {image.image_id: image.image_id for image in images}
    for image in images:
        originals |= {copy["image_id"]: image.image_id for copy in (image.copies or {}).values()}
    used = set()
    for there in _places(control, aws, job):
        used |= {originals[found] for found in there.images.in_use(sorted(originals))}
    return used


def _places(control: ControlPlane, aws: Aws, job: Job) -> list[Aws]:
    """Every region in which the job ever made anything: its own, those of copies, and one that its stack has moved from."""
    return [aws.in_region(region) for region in dict.fromkeys((aws.region, *control.spreading.regions(job.id)))]


def remove_job(control: ControlPlane, aws: Aws, job_id: str, *, on_progress: Callable[[str], object]) -> None:
    """End a job and remove what its runs made, except images that somebody still uses. A retry is safe.

    Raises AwsError, RunStillActive.
    """
    job = control.jobs.find(job_id)
    if job is None:
        return
    control.jobs.begin_end(job_id)
    _await_stop(control, job, on_progress)
    images = control.images.list(job_id)
    used = used_images(control, aws, job, images)
    for image in images:
        if image.image_id in used:
            on_progress(f"image {image.image_id} stays: somebody uses it")
        else:
            _remove(control, aws, job, image)
    _reap(control, aws, job, held=None)
    revoke_unneeded(control, aws, job)
    control.jobs.ended(job_id)


def end_replication(control: ControlPlane, aws: Aws, job_id: str, *, on_progress: Callable[[str], object]) -> list[str]:
    """Remove what a job that has ended no longer needs: every image that nobody uses or pins, what failed runs left, and a
    run that is under way. The job and its images in use stay. A retry is safe. Returns the images that went.

    Raises AwsError, RunStillActive.
    """
    job = control.jobs.get(job_id)
    control.jobs.stop_runs(job_id, "its application is complete")
    _await_stop(control, job, on_progress)
    images = control.images.list(job_id)
    kept = used_images(control, aws, job, images) | control.images.pinned(job_id)
    superseded_ones = [image for image in images if image.image_id not in kept]
    for image in superseded_ones:
        _remove(control, aws, job, image)
    _reap(control, aws, job, held=None)
    revoke_unneeded(control, aws, job)
    return [image.image_id for image in superseded_ones]


def _remove(control: ControlPlane, aws: Aws, job: Job, image: Image) -> list[str]:
    """Deregister an image and its copies, and delete their snapshots: the run's own, and those that an import made."""
    if accounts := control.spreading.accounts(image.image_id):
        unshare(control, aws, job, image.image_id, image.copies or {}, accounts)
    for region, copy in (image.copies or {}).items():
        remove_image(aws.in_region(region), job, copy["image_id"], copy["snapshot_ids"])
    snapshots = list(image.snapshot_ids)
    for there in _places(control, aws, job):  # ids are unique everywhere, so only one of them has it
        snapshots = remove_image(there, job, image.image_id, snapshots)
    control.images.gone(image.image_id)
    return snapshots


def _reap(control: ControlPlane, aws: Aws, job: Job, held: WholeCopy | None) -> list[str]:
    """Remove what this job's runs left that ended without an image on record, in every region it ever used.

    Of the run whose copy is `held`, snapshots stay, and its image if there is one to be offered still.
    """
    gone = _reap_imports(control, aws, job)
    for there in _places(control, aws, job):
        owned = there.list_owned(job.spec.stack, {SERVER_TAG: job.spec.server})
        abandoned = [each for each in owned if _is_abandoned(control, job, each, held)]
        for each in _of(abandoned, "image"):
            there.images.deregister(each.id, stack=job.spec.stack)
        for each in _of(abandoned, "snapshot"):
            there.ebs.delete(each.id, stack=job.spec.stack)
            gone.append(each.id)
    return gone


def _reap_imports(control: ControlPlane, aws: Aws, job: Job) -> list[str]:
    """Import tasks of failed runs: cancelled, and the images of those that ended all the same taken away.

    Such an image carries no tags: it is known by its task, which does.
    """
    gone: list[str] = []
    for task in aws.imports.owned({STACK_TAG: job.spec.stack, SERVER_TAG: job.spec.server}):
        run = control.runs.find(task.tags.get(RUN_TAG, ""))
        if run is None or run.job_id != job.id or run.state is not RunState.FAILED:
            continue
        if task.progress.status == "active":
            aws.imports.cancel(task.id)
        view = aws.images.describe(task.progress.image_id) if task.progress.image_id else None
        if view is not None and STACK_TAG not in view.tags:
            aws.imports.claim(view.image_id, view.snapshot_ids, task.tags)
            gone += remove_image(aws, job, view.image_id, view.snapshot_ids)
    return gone


def _is_abandoned(control: ControlPlane, job: Job, owned: Owned, held: WholeCopy | None) -> bool:
    """Whether the run that made it is this job's and has failed. What no run of ours explains is left alone."""
    run_id = owned.tags.get(RUN_TAG)
    if not run_id or owned.kind not in ("image", "snapshot"):
        return False
    if held is not None and run_id == held.run_id and (owned.kind == "snapshot" or held.image_id):
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
