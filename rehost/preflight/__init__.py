"""Everything that can be known before a byte moves or an instance is launched, with what it means and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehost.late import names_of

if TYPE_CHECKING:
    from rehost.preflight._examine import Surroundings, examine
    from rehost.preflight._facts import Facts
    from rehost.preflight._finding import Finding, Raw, merged
    from rehost.preflight._plan import ApplicationPlan, LaunchPlan, ServerPlan, plan_of, plans_of, wave_from
    from rehost.preflight._sources import Told, ask
    from rehost.preflight._wave import standing_of, standings, standings_of

#: By module. They are imported when first used.
_HOMES = {
    "_examine": (
        "Surroundings",
        "examine",
    ),
    "_facts": ("Facts",),
    "_finding": (
        "Finding",
        "Raw",
        "merged",
    ),
    "_plan": (
        "ApplicationPlan",
        "LaunchPlan",
        "ServerPlan",
        "plan_of",
        "plans_of",
        "wave_from",
    ),
    "_sources": (
        "Told",
        "ask",
    ),
    "_wave": (
        "standing_of",
        "standings",
        "standings_of",
    ),
}
__getattr__ = names_of(__name__, _HOMES)

__all__ = [
    "ApplicationPlan",
    "Facts",
    "Finding",
    "LaunchPlan",
    "Raw",
    "ServerPlan",
    "Surroundings",
    "Told",
    "ask",
    "examine",
    "merged",
    "plan_of",
    "plans_of",
    "standing_of",
    "standings",
    "standings_of",
    "wave_from",
]
