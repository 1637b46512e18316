"""What goes wrong in a script: errors that PowerShell itself has, and what this interpreter does not know.

PowerShellError     a terminating error, which a script may catch
Unsupported         this interpreter's own ignorance: no script can catch it, so that no test passes because of it
Flow                break, continue, return
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class ErrorInfo:
    """An ErrorRecord. `exception`: the .NET type's full name."""

    message: str
    error_id: str  # FullyQualifiedErrorId
    category: str = "NotSpecified"
    exception: str = "System.Management.Automation.RuntimeException"
    activity: str = ""
    target: Any = None
    hresult: int = -2146233087


class PowerShellError(Exception):
    def __init__(self, info: ErrorInfo) -> None:
        super().__init__(info.message)
        self.info = info


class Unsupported(Exception):
    def __init__(self, what: str) -> None:
        super().__init__(f"the stand-in's PowerShell does not know {what}")


class Stopped(Exception):
    """The client stopped the pipeline, or the host went down."""


class Flow(Exception):
    """Leaves a block: `kind` is break, continue or return."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


def runtime_error(message: str, error_id: str, category: str = "InvalidOperation", **more: Any) -> PowerShellError:
    return PowerShellError(ErrorInfo(message, error_id, category, **more))


def command_not_found(name: str) -> PowerShellError:
    """As Windows says it of a cmdlet that its version does not have."""
    return PowerShellError(
        ErrorInfo(
            f"The term '{name}' is not recognized as the name of a cmdlet, function, script file, or operable program. "
            "Check the spelling of the name, or if a path was included, verify that the path is correct and try again.",
            "CommandNotFoundException",
            "ObjectNotFound",
            "System.Management.Automation.CommandNotFoundException",
            target=name,
        )
    )
