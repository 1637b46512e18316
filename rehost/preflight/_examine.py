"""All that preflight asks of one application, put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from rehost.aws import AccessDenied
from rehost.preflight import _capacity, _image, _launch, _wave
from rehost.preflight._facts import Facts
from rehost.preflight._finding import Finding, Raw, merged, weighed
from rehost.preflight._plan import ApplicationPlan, ServerPlan
from rehost.preflight._sources import compared
from rehost.waves import Standing


@dataclass
class Surroundings:
    """What all applications of one preflight share. `stack` None is every stack of this account.

    `sizes` and `told` are what the sources say, where they were asked: bytes of each disk, and facts, by server.
    """

    facts: Facts
    stack: str | None
    now: datetime
    standings: Mapping[str, Standing] = field(default_factory=dict)
    raws: Mapping[str, Sequence[Raw]] = field(default_factory=dict)
    sizes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    told: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    ledger: _capacity.Ledger = field(default_factory=_capacity.Ledger)


def examine(plan: ApplicationPlan, around: Surroundings) -> list[Finding]:
    """Every concern of the application, merged, the gravest first. Raises AwsError where AWS cannot be asked at all."""
    raws: list[Raw] = [raw for server in plan.servers for raw in around.raws.get(server.name, ())]
    raws += _wave.waves(plan, around.standings, around.now)
    raws += _image.disks(plan, around.sizes)
    refused: dict[str, Raw] = {}

    def ask(question: Callable[[], Iterable[Raw]]) -> None:
        try:
            raws.extend(list(question()))  # to the end, so that what it may not ask adds nothing by halves
        except AccessDenied as denied:
            text = f"{denied.operation} is not allowed to these credentials: {denied.attributes['message']}"
            refused.setdefault(str(denied.operation), Raw("cannot-ask", text))

    for check in (_image.import_roles, _image.keys, *(_launch.CHECKS if plan.name else ())):
        ask(partial(check, plan, around.facts))
    if plan.name:
        for server in plan.servers:
            if server.name in around.told:
                ask(partial(compared, server, around.told[server.name], around.facts))
        ask(lambda: _room(plan, around, ask))
        ask(partial(_capacity.names, plan, around.facts, around.stack))
    return merged(_weighed(plan, [*raws, *refused.values()]))


def _room(plan: ApplicationPlan, around: Surroundings, ask: Callable[[Callable[[], Iterable[Raw]]], None]) -> list[Raw]:
    needs, _waiting = _capacity.needs_of(plan, around.facts, around.stack, around.sizes)
    competing = around.ledger.enter(plan.name, needs)
    for check in (_capacity.addresses, _capacity.vcpus, _capacity.volumes, _capacity.snapshots):
        ask(partial(check, needs, competing, around.facts))
    return []


def _weighed(plan: ApplicationPlan, raws: Iterable[Raw]) -> Iterable[Finding]:
    by_name: dict[str, ServerPlan] = {server.name: server for server in plan.servers}
    for raw in raws:
        own = by_name[raw.server].ignore if raw.server else {}
        yield weighed(raw, plan.name, launches=plan.launches, ignore={**plan.ignore, **own})
