"""Which phase may follow which, and what is missing where one may not. Pure; a test goes through every pair.

nothing -> replicate, test        replicate -> test; -> cutover only with a reason to go without a test
test -> replicate, cutover        cutover -> test, replicate; -> complete once it is reached

To stay in a phase is always legal, but not with other servers in `cutover` and `complete`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum


class Phase(StrEnum):
    REPLICATE = "replicate"
    TEST = "test"
    CUTOVER = "cutover"
    COMPLETE = "complete"

    @property
    def is_launched(self) -> bool:
        """Whether the application's servers run as instances in it."""
        return self is not Phase.REPLICATE

    @property
    def is_cut_over(self) -> bool:
        return self in (Phase.CUTOVER, Phase.COMPLETE)


@dataclass(frozen=True)
class Standing:
    """Where an application stands: what the control plane knows of it, not what some state says."""

    phase: Phase
    is_reached: bool  # whether everything that its phase asks for came to a good end
    servers: frozenset[str] = field(default_factory=frozenset)
    tested: frozenset[str] = field(default_factory=frozenset)  # servers of the last test that came to a good end


def steps(standing: Standing | None) -> dict[Phase, str]:
    """The phases that may come next, each with the condition that holds of it ("" for none)."""
    match standing.phase if standing else None:
        case None:
            return {Phase.REPLICATE: "", Phase.TEST: ""}
        case Phase.REPLICATE:
            return {Phase.TEST: "", Phase.CUTOVER: "with `force: <reason>`, because it was not tested"}
        case Phase.TEST:
            return {
                Phase.REPLICATE: "",
                Phase.CUTOVER: "once its test has come to a good end, or with `force: <reason>`",
            }
        case Phase.CUTOVER:
            return {Phase.TEST: "", Phase.REPLICATE: "", Phase.COMPLETE: "once its cutover has come to a good end"}
        case _:
            return {}


def refusal(standing: Standing | None, to: Phase, *, servers: Collection[str], force: str | None) -> str | None:
    """Why the application may not go to `to` with these servers, and which phases it may go to; None where it may."""
    if standing is not None and standing.phase is to:
        return _other_servers(standing, servers)
    legal = steps(standing)
    if to not in legal:
        return f"it cannot go from {_name(standing)} to {to}; {_choice(standing, legal)}"
    if to is Phase.CUTOVER and not force:
        missing = _untested(standing, servers)
        if missing:
            return f"it cannot go from {_name(standing)} to cutover: {missing}; {_choice(standing, legal)}"
    if to is Phase.COMPLETE and standing is not None:
        if not standing.is_reached:
            missing = "not everything of its cutover came to a good end (`rehost status` says what is missing)"
            return f"it cannot go from cutover to complete: {missing}; {_choice(standing, legal)}"
        return _other_servers(standing, servers)
    return None


def _untested(standing: Standing | None, servers: Collection[str]) -> str | None:
    if standing is None or standing.phase is not Phase.TEST:
        return "its servers were not tested"
    if not standing.is_reached:
        return "its test has not come to a good end"
    untested = sorted(set(servers) - standing.tested)
    if untested:
        return f"{', '.join(untested)} {'was' if len(untested) == 1 else 'were'} not in the test"
    return None


def _other_servers(standing: Standing, servers: Collection[str]) -> str | None:
    if not standing.phase.is_cut_over or set(servers) == standing.servers:
        return None
    added, gone = sorted(set(servers) - standing.servers), sorted(standing.servers - set(servers))
    changes = [f"{', '.join(each)} {what}" for each, what in ((added, "came"), (gone, "went")) if each]
    back = "go back to test first" if standing.phase is Phase.CUTOVER else "put it into an application of its own"
    return f"its servers cannot change in {standing.phase} ({' and '.join(changes)}); {back}"


def _name(standing: Standing | None) -> str:
    return standing.phase if standing else "nothing"


def _choice(standing: Standing | None, legal: dict[Phase, str]) -> str:
    if not legal:
        return f"from {_name(standing)} there is no way on or back: its sources were given up"
    named = [f"{phase} ({condition})" if condition else str(phase) for phase, condition in legal.items()]
    return f"from {_name(standing)} it can go to {' or '.join(named)}"
