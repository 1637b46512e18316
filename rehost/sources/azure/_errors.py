"""What can go wrong in talking to Azure, beyond what every source can report.

SourceError
├── CallRefused        Azure refused a call, or an operation that it had begun failed
├── OperationTimedOut  an operation has not ended in time                           (retryable)
└── ResourceGone       a resource is not, or no longer, there
"""

from __future__ import annotations

from rehost.sources._errors import SourceError


class CallRefused(SourceError):
    """Attributes: `doing`, `code` (Azure's name of the error), `reason` (Azure's words)."""

    template = "{doing} failed: {reason} ({code})"


class OperationTimedOut(SourceError):
    """Attributes: `doing`, `seconds`. It may end yet."""

    template = "{doing} has not ended within {seconds:.0f} s"
    retryable = True


class ResourceGone(SourceError):
    """Attributes: `resource`, its name; `doing`."""

    template = "{doing}: {resource} is not there"
