"""What can go wrong in talking to a Hyper-V host, beyond what every source can report.

SourceError
├── ScriptFailed     a script ended with an error of PowerShell's or WMI's
├── MachineGone      the host does not have the virtual machine (any more)
├── NotEncrypted     a host answered in clear where each message has to be encrypted
└── TooSlow          a merge of disks has not ended in time            (retryable)
"""

from __future__ import annotations

from rehost.sources._errors import SourceError


class ScriptFailed(SourceError):
    """Attributes: `place`, `script`, `reason` (in the host's words), `kind` (its error id)."""

    template = "{place}: {script} failed: {reason}"


class MachineGone(SourceError):
    """Attributes: `place`, `machine` (its id)."""

    template = "the virtual machine {machine} is not on {place}"


class NotEncrypted(SourceError):
    """Attributes: `place`, `reason`. What was answered is not looked at."""

    template = "{place} is not talked to: {reason}"


class TooSlow(SourceError):
    """Attributes: `task`, `seconds`. It may end yet."""

    template = "{task} has not ended within {seconds:.0f} s"
    retryable = True


#: Return values that the WMI pages of Hyper-V document (CreateSnapshot and its like; Msvm_ImageManagementService).
VALUES = {
    1: "Not Supported",
    2: "Failed",
    3: "Timeout",
    4: "Invalid Parameter",
    5: "Invalid State",
    6: "Invalid Type",
    32768: "Failed",
    32769: "Access Denied",
    32770: "Not Supported",
    32771: "Status is unknown",
    32772: "Timeout",
    32773: "Invalid parameter",
    32774: "System is in use",
    32775: "Invalid state for this operation",
    32776: "Incorrect data type",
    32777: "System is not available",
    32778: "Out of memory",
    32779: "File not found",
}


def told(failed: str, code: int) -> str:
    """What an answer's `failed` and `code` say, with the documented name of the value."""
    name = VALUES.get(code)
    if name is None:
        return f"{failed} ({code})" if code else failed
    return f"{failed}: {name} ({code})"
