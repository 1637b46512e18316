"""Phase: the gate of an application. Everything else of it depends on it, so that nothing happens in a phase that may not be."""

from __future__ import annotations

from datetime import UTC, datetime

from pulumi.dynamic import CheckFailure, CheckResult, CreateResult, DiffResult, ReadResult, UpdateResult

from providers._going_back import has_instances, sources_back
from providers._holding import once_free
from providers._plan import plan
from providers._provider import Props, ProviderError, RehostProvider, diff, failure, plain, said_plainly
from providers._stack import Stack, stack
from providers._windows import closed, is_over
from rehost.control import Application, Phase, refusal


class PhaseProvider(RehostProvider):
    def check(self, olds: Props, news: Props) -> CheckResult:
        here, before, wanted = stack(), plain(olds), plain(news)
        standing = here.control.applications.find(wanted["stack"], wanted["application"])
        phase = Phase(wanted["phase"])
        failures = _failures(standing, phase, wanted)
        if standing is not None and standing.phase is phase:
            entry = standing.entry
        else:
            entry = (standing.entry if standing else 0) + 1
        # Neither is an input of anybody's. The words stand here so that a preview says them before anyone approves; the
        # number, so that what follows knows a phase that was left and entered again.
        news = {**news, "entry": entry}
        if before and before.get("entry") == entry and before.get("phase") == phase:
            news["plan"] = before.get("plan", [])
        else:
            news["plan"] = plan(here, standing, wanted)
        return CheckResult(news, failures)

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        updates = ("phase", "entry", "servers", "force", "wave", "window", "power")
        return diff(olds, news, replaces=("stack", "application"), updates=updates)

    def create(self, props: Props) -> CreateResult:
        said_plainly(f"application {props['application']}", lambda: _enter(stack(), plain(props)))
        return CreateResult(f"{props['stack']}/{props['application']}", props)

    def update(self, _id: str, _olds: Props, news: Props) -> UpdateResult:
        said_plainly(f"application {news['application']}", lambda: _enter(stack(), plain(news)))
        return UpdateResult(news)

    def read(self, id_: str, props: Props) -> ReadResult:
        application = stack().control.applications.find(props["stack"], props["application"])
        if application is None:
            return ReadResult("", {})
        return ReadResult(id_, {**props, "phase": str(application.phase), "entry": application.entry})

    def delete(self, _id: str, props: Props) -> None:
        here = stack()

        def end() -> None:
            sources_back(here, props["stack"], props["application"])
            here.control.applications.ended(props["stack"], props["application"])

        said_plainly(f"application {props['application']}", end)


def _failures(standing: Application | None, phase: Phase, props: Props) -> list[CheckFailure]:
    problem = refusal(
        standing.standing if standing else None, phase, servers=props["servers"], force=props.get("force")
    )
    if problem:
        return [failure("phase", f"application {props['application']}: {problem}")]
    enters = standing is None or standing.phase is not phase
    if phase is Phase.CUTOVER and enters and is_over(props.get("window"), datetime.now(UTC)):
        return [failure("phase", f"application {props['application']}: {closed(props['window'], datetime.now(UTC))}")]
    return []


def _enter(here: Stack, props: Props) -> None:
    """Enter the phase, or stay in it; on the way back from a cutover that launched nothing, give back its sources."""
    applications, where = here.control.applications, (props["stack"], props["application"])
    phase = Phase(props["phase"])
    before = applications.find(*where)
    if phase is Phase.CUTOVER and (before is None or before.phase is not phase):
        shut = closed(props.get("window"), datetime.now(UTC))
        if shut:
            raise ProviderError(detail=shut)
    entered = once_free(
        props["application"],
        lambda: applications.enter(
            *where, phase, servers=props["servers"], force=props.get("force"), wave=props.get("wave")
        ),
    )
    # With instances, the deletion of Cutover does it, when they are gone.
    if not phase.is_cut_over and entered.sources and not has_instances(here, entered):
        sources_back(here, *where)
