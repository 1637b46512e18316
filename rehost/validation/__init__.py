"""After a launch: checks of groups, and actions on instances. Results are kept in the control plane."""

from rehost.validation._actions import post_launch
from rehost.validation._check import Check, Outcome, Target, Tried, attempt
from rehost.validation._errors import ActionFailed, ChecksFailed, NoSuchStep, ValidationError
from rehost.validation._output import capped, redacted
from rehost.validation._round import Scene, validate
from rehost.validation._steps import Action, agent_script

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
