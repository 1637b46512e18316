"""Whether the application's wave lets it be cut over, and where applications stand as far as the control plane knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from rehost.control import Application, ControlPlane, Phase
from rehost.preflight._finding import Raw
from rehost.preflight._plan import ApplicationPlan
from rehost.waves import Standing, refusals

#: What an application that is not to be cut over yet is told: nothing is wrong with a window that has not opened.
_BEFORE = {"window-not-open": "info", "window-closed": "warning", "wave-before": "info"}


def standing_of(application: Application) -> Standing:
    """A cutover is under way from the moment its phase is entered until it is reached, or a failure of it was written down."""
    under_way = application.phase is Phase.CUTOVER and not application.is_reached and application.message is None
    reached = application.reached
    if reached == Phase.CUTOVER and not application.phase.is_cut_over:
        reached = str(application.phase)  # it went back
    return Standing(reached, under_way)


def standings_of(applications: Iterable[Application]) -> dict[str, Standing]:
    return {each.name: standing_of(each) for each in applications}


def standings(control: ControlPlane, stack: str | None) -> dict[str, Standing]:
    return standings_of(control.applications.list(stack=stack))


def waves(plan: ApplicationPlan, standings: Mapping[str, Standing], now: datetime) -> Iterator[Raw]:
    if not plan.waves:
        return
    known = {each.name: each for each in plan.waves}
    is_due = plan.phase in ("cutover", "complete")
    for each in refusals(plan.name, plan.waves[0], known, standings, now):
        if is_due or each.id in _BEFORE:
            # Due and too early is no error: the step is reviewed days before, and `pulumi up` refuses it until then.
            yield Raw(each.id, each.message, severity=None if is_due else _BEFORE[each.id], remedy=each.remedy)
