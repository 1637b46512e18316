"""Everything that can be known before a byte moves or an instance is launched, with what it means and what to do about it."""

from rehost.preflight._examine import Surroundings, examine
from rehost.preflight._facts import Facts
from rehost.preflight._finding import Finding, Raw, merged
from rehost.preflight._plan import ApplicationPlan, LaunchPlan, ServerPlan, plan_of, plans_of
from rehost.preflight._sources import Told, ask
from rehost.preflight._wave import standing_of, standings, standings_of

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
]
