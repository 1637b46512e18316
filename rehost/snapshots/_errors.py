"""What stands in the way of a single upload or restore.

SnapshotsError
├── ParentUnsuitable     nothing can be built on the parent that was named
├── SnapshotUnsuitable   it cannot be read back
└── FileInTheWay         the file to restore into exists
"""

from __future__ import annotations

from rehost.errors import RehostError


class SnapshotsError(RehostError):
    """Root of this package's errors."""


class ParentUnsuitable(SnapshotsError):
    """Attributes: `parent`, `reason`."""

    template = "{parent} cannot be the parent: {reason}; leave --parent out to send the whole disk"


class SnapshotUnsuitable(SnapshotsError):
    """Attributes: `snapshot`, `reason`."""

    template = "{snapshot} cannot be read back: {reason}"


class FileInTheWay(SnapshotsError):
    """Attributes: `path`."""

    template = "{path} exists and is left alone; name another file, or let --force replace it"
