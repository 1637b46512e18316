"""What only SMB can go wrong with; the rest are the package's own: rehost/sources/_errors.py.

SourceError
└── NotEncrypted   the server would send disks over the network for all to read
"""

from __future__ import annotations

from rehost.sources._errors import SourceError


class NotEncrypted(SourceError):
    """Attributes: `place`, `reason` (ends with what to do). Nothing was sent that could be read."""

    template = "the source {place} is not read: {reason}"
