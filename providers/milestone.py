"""Milestone: everything of an application's phase has come to a good end. It depends on all of it, and records it."""

from __future__ import annotations

from uuid import uuid4

from pulumi.dynamic import CheckResult, CreateResult, DiffResult, ReadResult, UpdateResult

from providers._power import await_power
from providers._provider import Props, ProviderError, RehostProvider, diff, plain, said_plainly
from providers._stack import Stack, stack
from rehost.control import Application, Phase
from rehost.errors import RehostError


class MilestoneProvider(RehostProvider):
    def check(self, _olds: Props, news: Props) -> CheckResult:
        return CheckResult(news, [])

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        updates = ("phase", "entry", "jobs", "images", "instances", "cutover")
        return diff(olds, news, replaces=("stack", "application"), updates=updates)

    def create(self, props: Props) -> CreateResult:
        said_plainly(f"application {props['application']}", lambda: _reach(stack(), plain(props)))
        return CreateResult(f"{props['stack']}/{props['application']}", props)

    def update(self, _id: str, _olds: Props, news: Props) -> UpdateResult:
        said_plainly(f"application {news['application']}", lambda: _reach(stack(), plain(news)))
        return UpdateResult(news)

    def read(self, id_: str, props: Props) -> ReadResult:
        return ReadResult(id_, props)  # it stands for a moment that has passed

    def delete(self, _id: str, _props: Props) -> None:
        """Nothing exists of it outside the state."""


def _reach(here: Stack, props: Props) -> None:
    applications, where = here.control.applications, (props["stack"], props["application"])
    phase = Phase(props["phase"])
    try:
        _check_instances(here, props)
        if phase is Phase.CUTOVER:
            _check_sources(here, applications.get(*where))
        if phase is Phase.COMPLETE:
            for instance in props["instances"].values():
                here.aws.instances.protect_completed(instance, stack=props["stack"])
        if not applications.reached(*where, phase, images=_images(here, props)):
            raise ProviderError(
                detail=f"it is not in {phase} any more: somebody else moved it; `pulumi refresh`, then `up`"
            )
    except RehostError as error:
        applications.failed(*where, str(error))
        raise
    standing = applications.get(*where)
    took = f"; its outage took {standing.outage_seconds:.0f} s" if standing.outage_seconds and phase.is_cut_over else ""
    print(f"{props['application']} has reached {phase}{took}", flush=True)


def _images(here: Stack, props: Props) -> dict[str, dict[str, str]]:
    """By server, what its instance was launched from."""
    found = {server: here.control.images.find(image) for server, image in props.get("images", {}).items()}
    return {server: {"run": image.run_id, "image": image.image_id} for server, image in found.items() if image}


def _check_instances(here: Stack, props: Props) -> None:
    gone = {
        server: instance
        for server, instance in props.get("instances", {}).items()
        if here.aws.instances.describe(instance) is None
    }
    if gone:
        told = ", ".join(f"{instance} of {server}" for server, instance in sorted(gone.items()))
        raise ProviderError(
            detail=f"{told} was terminated by somebody; `pulumi refresh`, then `pulumi up` launches it again"
        )


def _check_sources(here: Stack, application: Application) -> None:
    """Whether the sources that the cutover stopped still stand still: what was written to them since is in no image."""
    asked = {}
    for server, what in application.sources.items():
        if what.get("action"):
            here.ensure_connector(here.control.jobs.get(what["job"]).spec.source_name)
            asked[server] = here.control.power.request(
                what["job"], "look", token=f"look-{uuid4().hex}", run_id=application.final_runs.get(server)
            )
    changed, unsure = [], []
    for server, request in sorted(await_power(here, asked).items()):
        result = request.result
        if result.get("changed") or result.get("power") == "on":
            changed.append(server)
        elif request.state == "FAILED" or result.get("changed") is None:
            unsure.append(f"{server}: {request.message}")
    for each in unsure:
        print(each, flush=True)
    if changed:
        raise ProviderError(
            detail=f"somebody powered on or wrote to {', '.join(changed)} after its last run: that is not in the instances. "
            "Go back by reverting the change of phase, then `pulumi up`, and cut over again; nothing of the source is lost"
        )
