"""Where a point in time stands in a disk's history: its snapshot, which the next run's difference is told from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from rehost.sources._errors import ChangesUnknown
from rehost.sources._protocol import ChangePosition


@dataclass(frozen=True)
class Position:
    resource: str  # id of the snapshot or the disk restore point
    stamp: str  # what tells it from another one of its name
    family: str
    disk: str  # the managed disk's unique id
    size: int  # bytes

    def __str__(self) -> ChangePosition:
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: ChangePosition) -> Position | None:
        try:
            told = json.loads(text)
            found = cls(**{**told, "size": int(told["size"])})
        except (ValueError, KeyError, TypeError):
            return None
        texts = (found.resource, found.stamp, found.family, found.disk)
        return found if all(isinstance(each, str) for each in texts) else None


def restore_point_of(resource: str) -> str:
    """The restore point that a disk restore point belongs to; "" for a snapshot."""
    at = resource.lower().find("/diskrestorepoints/")
    return resource[:at] if at >= 0 else ""


def check_since(key: str, since: ChangePosition, now: Position) -> Position:
    """The position to ask from. Raises ChangesUnknown where it cannot lead to an answer."""
    before = Position.parse(since)
    if before is None:
        raise ChangesUnknown(disk=key, reason="the position that was stored is not one of Azure")
    if before.disk != now.disk:
        raise ChangesUnknown(disk=key, reason="another disk is in its place")
    if before.size != now.size:
        raise ChangesUnknown(disk=key, reason=f"its size went from {before.size} to {now.size} bytes")
    if not now.family or before.family != now.family:
        # Snapshots - Get: the difference can be asked only within one family.
        raise ChangesUnknown(
            disk=key, reason="its snapshots are of two families: one kind of point in time followed another"
        )
    return before
