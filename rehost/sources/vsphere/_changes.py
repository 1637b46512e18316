"""Changed block tracking: QueryChangedDiskAreas, in pages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import structlog

from rehost.blocks import Extent
from rehost.sources._errors import ChangesUnknown
from rehost.sources._protocol import ChangePosition
from rehost.sources.vsphere._client import Client
from rehost.sources.vsphere._errors import TaskFailed

log = structlog.get_logger("rehost.sources.vsphere")

ALLOCATED = "*"
#: What vCenter answers where its record of changes is broken or gone.
_LOST = frozenset({"FileFault", "InvalidArgument", "NotFound", "GenericVmConfigFault", "NotSupported", "SystemError"})


@dataclass(frozen=True)
class Position:
    """Where a point in time stands in a disk's history: the change id of its snapshot, `UUID/number`, and the size."""

    change_id: str | None
    size: int  # bytes

    def __str__(self) -> ChangePosition:
        return json.dumps({"changeId": self.change_id, "size": self.size})

    @classmethod
    def parse(cls, text: ChangePosition) -> Position | None:
        try:
            told = json.loads(text)
            return cls(told["changeId"], int(told["size"]))
        except (ValueError, KeyError, TypeError):
            return None


def check_since(disk: str, since: ChangePosition, now: Position) -> str:
    """The change id to ask with. Raises ChangesUnknown where it cannot lead to an answer."""
    before = Position.parse(since)
    if before is None:
        raise ChangesUnknown(disk=disk, reason="the position that was stored is not one of vSphere")
    if now.change_id is None:
        raise ChangesUnknown(disk=disk, reason="changed block tracking is off")
    if before.change_id is None:
        raise ChangesUnknown(disk=disk, reason="changed block tracking was off when the previous run was made")
    if before.size != now.size:
        # VMware KB 2048201 and its successors: tracking is not to be trusted across a change of size.
        raise ChangesUnknown(disk=disk, reason=f"its size went from {before.size} to {now.size} bytes")
    if before.change_id.partition("/")[0] != now.change_id.partition("/")[0]:
        raise ChangesUnknown(disk=disk, reason="changed block tracking was reset")
    return before.change_id


def areas(
    client: Client, machine: Any, snapshot: Any, device_key: int, change_id: str, *, size: int, disk: str
) -> Iterator[Extent]:
    """What changed between the snapshot of `change_id` and `snapshot`, ascending; with `*`, what is allocated.

    An answer holds some 2,000 areas; the next question begins where it ended. Raises ChangesUnknown.
    """
    at = 0
    while at < size:
        try:
            answer = client.call(
                lambda start=at: machine.QueryChangedDiskAreas(snapshot, device_key, start, change_id),  # type: ignore[misc]
                f"asking what changed on {disk}",
            )
        except TaskFailed as error:
            if error.fault in _LOST:
                raise ChangesUnknown(
                    disk=disk, reason=f"vCenter has lost the record of changes: {error.reason}"
                ) from error
            raise
        end = answer.startOffset + answer.length
        if answer.length <= 0 or answer.startOffset > at:
            # An answer that does not advance, or leaves something out, would loop for ever or lose changes.
            raise ChangesUnknown(
                disk=disk,
                reason=f"vCenter's answer from byte {at} covers {answer.length} bytes from {answer.startOffset}",
            )
        previous = at
        for area in answer.changedArea or ():
            if area.length <= 0 or area.start < previous or area.start + area.length > size:
                reason = f"vCenter names an area of {area.length} bytes at {area.start} of a disk of {size}"
                raise ChangesUnknown(disk=disk, reason=reason)
            previous = area.start
            yield Extent(area.start, area.length)
        at = end
