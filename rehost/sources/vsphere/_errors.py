"""What can go wrong in talking to a vCenter, beyond what every source can report.

SourceError
├── TaskFailed       vCenter ended a task, or refused a call, with a fault
├── TaskTimedOut     a task has not ended in time                                (retryable)
├── ObjectGone       a managed object is no longer there
└── DiskUnreadable
    └── FlatFileMissing   the datastore does not serve a flat file over HTTPS
"""

from __future__ import annotations

from rehost.sources._errors import DiskUnreadable, SourceError


class TaskFailed(SourceError):
    """Attributes: `task`, `fault` (its type in the vSphere API), `reason` (in vCenter's words)."""

    template = "{task} failed: {reason} ({fault})"


class TaskTimedOut(SourceError):
    """Attributes: `task`, `seconds`. It may end yet."""

    template = "{task} has not ended within {seconds:.0f} s"
    retryable = True


class ObjectGone(SourceError):
    """Attributes: `object`, its id."""

    template = "{object} is no longer there"


class FlatFileMissing(DiskUnreadable):
    """Attributes as DiskUnreadable: on vSAN or vVols, or moved."""
