"""Resilient Change Tracking: Msvm_ImageManagementService.GetVirtualDiskChanges, in pages.

https://learn.microsoft.com/windows/win32/hyperv_v2/msvm-imagemanagementservice-getvirtualdiskchanges
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from rehost.blocks import Extent
from rehost.sources._errors import ChangesUnknown
from rehost.sources._protocol import ChangePosition
from rehost.sources.hyperv._errors import ScriptFailed, told
from rehost.sources.hyperv._host import Host

#: Bytes that one question is about: an answer names every changed range, and has to fit into a few envelopes of WSMan's.
PAGE = 64 * 1024**3
_SECTOR = 4096  # bytes; the largest that a virtual disk has


@dataclass(frozen=True)
class Position:
    """Where a point in time stands in a disk's history."""

    tracking: str  # its Resilient Change Tracking id; empty where changes are not tracked
    disk: str  # WMI's id of the disk
    run: str  # that made the reference point
    size: int  # bytes

    def __str__(self) -> ChangePosition:
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: ChangePosition) -> Position | None:
        try:
            told = json.loads(text)
            return cls(str(told["tracking"]), str(told["disk"]), str(told["run"]), int(told["size"]))
        except (ValueError, KeyError, TypeError):
            return None


def check_since(disk: str, since: ChangePosition, now: Position) -> Position:
    """The position to ask with. Raises ChangesUnknown where it cannot lead to an answer."""
    before = Position.parse(since)
    if before is None:
        raise ChangesUnknown(disk=disk, reason="the position that was stored is not one of Hyper-V")
    if not before.tracking:
        raise ChangesUnknown(disk=disk, reason="changes were not tracked when the previous run was made")
    if before.size != now.size:
        raise ChangesUnknown(disk=disk, reason=f"its size went from {before.size} to {now.size} bytes")
    return before


def areas(host: Host, path: str, tracking: str, *, size: int, disk: str) -> Iterator[Extent]:
    """What differs between the file at `path` and the moment of a tracking id, ascending. Raises ChangesUnknown."""
    at = 0
    while at < size:
        wanted = min(PAGE, size - at)
        if wanted == size:
            # The page on ByteLength: "This must be less than the size of the Virtual Disk."
            wanted = max(_SECTOR, (size - 1) // _SECTOR * _SECTOR)
        try:
            # As texts: PowerShell makes uint64 of them, whatever their size.
            answer = host.run("changes", Path=path, Since=tracking, Offset=str(at), Length=str(wanted))
        except ScriptFailed as error:
            raise ChangesUnknown(disk=disk, reason=f"{host.name} cannot tell: {error.attributes['reason']}") from error
        if answer["failed"]:
            reason = f"{host.name} has lost the record of changes: {told(answer['failed'], int(answer['code']))}"
            raise ChangesUnknown(disk=disk, reason=reason)
        processed = int(answer["processed"] or 0)
        if processed <= 0 or processed > wanted:
            # An answer that does not advance would be asked for ever.
            raise ChangesUnknown(
                disk=disk, reason=f"{host.name} looked through {processed} of {wanted} bytes from byte {at}"
            )
        offsets = [int(each) for each in answer["offsets"] or () if each is not None]
        lengths = [int(each) for each in answer["lengths"] or () if each is not None]
        yield from _checked(offsets, lengths, range(at, at + processed), size, disk, host.name)
        at += processed


def _checked(offsets: list[int], lengths: list[int], page: range, size: int, disk: str, host: str) -> Iterator[Extent]:
    """What lies within the page; the rest of an area that goes on is in the next answer again."""
    if len(offsets) != len(lengths):
        raise ChangesUnknown(disk=disk, reason=f"{host} names {len(offsets)} offsets and {len(lengths)} lengths")
    previous = 0
    for offset, length in zip(offsets, lengths, strict=True):
        if length <= 0 or offset < previous or offset + length > size:
            reason = f"{host} names an area of {length} bytes at {offset} of a disk of {size}"
            raise ChangesUnknown(disk=disk, reason=reason)
        previous = offset + length
        start, end = max(offset, page.start), min(offset + length, page.stop)
        if end > start:
            yield Extent(start, end - start)
