"""MachineImage: one completed run of a server, pinned, so that retention keeps its image and instances can be made of it."""

from __future__ import annotations

from pulumi.dynamic import CheckResult, CreateResult, DiffResult, ReadResult, UpdateResult

from providers._provider import Props, ProviderError, RehostProvider, diff, plain, said_plainly
from providers._stack import stack
from rehost.control import Image


class MachineImageProvider(RehostProvider):
    """It makes nothing in AWS: a run did. It pins the one that the spec names with `run`, or the newest there is when it is
    created; of a cutover, that of the final run, whatever else there is.
    """

    def check(self, _olds: Props, news: Props) -> CheckResult:
        return CheckResult(news, [])

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        return diff(olds, news, replaces=("stack", "server", "jobId", "run", "cutover"), updates=())

    def create(self, props: Props) -> CreateResult:
        image = said_plainly(f"server {props['server']}", lambda: _pin(plain(props)))
        outs = {**props, "imageId": image.image_id, "runId": image.run_id, "takenAt": image.created_at.isoformat()}
        return CreateResult(image.image_id, outs)

    def update(self, _id: str, olds: Props, news: Props) -> UpdateResult:
        return UpdateResult({**olds, **news})

    def read(self, id_: str, props: Props) -> ReadResult:
        here = stack()
        known = here.control.images.find(id_)
        if known is None or known.deleted_at is not None or here.aws.images.describe(id_) is None:
            return ReadResult("", {})
        return ReadResult(id_, props)

    def delete(self, id: str, props: Props) -> None:  # noqa: A002 - Pulumi's name
        """Unpins it; retention and the job's end decide what becomes of the image."""
        said_plainly(f"server {props['server']}", lambda: stack().control.images.unpin(id, _holder(props)))


def _holder(props: Props) -> str:
    return f"{props['stack']}/{props['server']}"


def _pin(props: Props) -> Image:
    """The run's image, or the newest that AWS still has. Pinning twice is harmless."""
    here = stack()
    run = _final_run(props) if props.get("cutover") else props.get("run")
    if run:
        image = here.control.images.by_run(run)
        if image is None:
            raise ProviderError(
                detail=f"run {run} made no image; `rehost status {props['server']}` lists the runs that did"
            )
        candidates = [image]
    else:
        candidates = here.control.images.list(props["jobId"])
    for image in candidates:
        if here.aws.images.describe(image.image_id) is not None:
            here.control.images.pin(image.image_id, _holder(props))
            return image
        here.control.images.gone(image.image_id)
    raise ProviderError(
        detail=f"AWS has no image of it any longer; make one with `rehost run {props['server']}`, then `pulumi up` again"
    )


def _final_run(props: Props) -> str:
    application = stack().control.applications.get(props["stack"], props["application"])
    run = application.final_runs.get(props["server"])
    if run is None:
        raise ProviderError(
            detail=f"the cutover of {props['application']} took no last run of it; `pulumi refresh`, then `up`"
        )
    return str(run)
