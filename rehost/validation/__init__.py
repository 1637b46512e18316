"""After a launch: checks of groups, and actions on instances. Results are kept in the control plane."""

from rehost.validation._check import Check, Outcome, Target, Tried, attempt
from rehost.validation._errors import ActionFailed, ChecksFailed, NoSuchStep, ValidationError
from rehost.validation._output import capped, redacted
from rehost.validation._round import Scene, validate

__all__ = [
    "ActionFailed",
    "Check",
    "ChecksFailed",
    "NoSuchStep",
    "Outcome",
    "Scene",
    "Target",
    "Tried",
    "ValidationError",
    "attempt",
    "capped",
    "redacted",
    "validate",
]
