"""After a launch: checks of groups, and actions on instances. Results are kept in the control plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehost.late import names_of

if TYPE_CHECKING:
    from rehost.validation._actions import post_launch
    from rehost.validation._check import Check, Outcome, Target, Tried, attempt
    from rehost.validation._errors import ActionFailed, ChecksFailed, NoSuchStep, ValidationError
    from rehost.validation._output import capped, redacted
    from rehost.validation._round import Scene, validate
    from rehost.validation._steps import Action, agent_script

#: By module. They are imported when first used.
_HOMES = {
    "_actions": ("post_launch",),
    "_check": (
        "Check",
        "Outcome",
        "Target",
        "Tried",
        "attempt",
    ),
    "_errors": (
        "ActionFailed",
        "ChecksFailed",
        "NoSuchStep",
        "ValidationError",
    ),
    "_output": (
        "capped",
        "redacted",
    ),
    "_round": (
        "Scene",
        "validate",
    ),
    "_steps": (
        "Action",
        "agent_script",
    ),
}
__getattr__ = names_of(__name__, _HOMES)

__all__ = [
    "Action",
    "ActionFailed",
    "Check",
    "ChecksFailed",
    "NoSuchStep",
    "Outcome",
    "Scene",
    "Target",
    "Tried",
    "ValidationError",
    "agent_script",
    "attempt",
    "capped",
    "post_launch",
    "redacted",
    "validate",
]
