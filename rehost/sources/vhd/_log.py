"""VHDX: a log that has not been written back, read as if it had been. Source: [MS-VHDX] v20240423, section 2.3.

Nothing is written to the file: 2.3.3 asks (footnote 5) that who only reads replays the log in memory. The limits are ours:
Hyper-V and QEMU make logs of 1 MiB.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from rehost.sources.vhd._crc32c import crc32c
from rehost.sources.vhd._errors import FeatureUnknown
from rehost.sources.vhd._files import DiskFile
from rehost.sources.vhd._header import MIB, Header

_SECTOR = 4096
_LARGEST_LOG = 8 * MIB
_MOST_DESCRIPTORS = 1 << 15  # of all entries that are replayed
_FARTHEST = 1 << 62  # bytes; past this no file ends


class Budget:
    """Bytes that the logs of all files of a chain may take together."""

    def __init__(self, limit: int = _LARGEST_LOG) -> None:
        self._left = self._limit = limit

    def spend(self, size: int, file: DiskFile) -> None:
        self._left -= size
        if self._left < 0:
            raise FeatureUnknown(
                path=file.path,
                reason=f"the logs of its chain are not empty and change more than {self._limit >> 20} MiB, which is too much to "
                "be replayed in memory; start and stop its machine once, or",
            )


class _Entry(NamedTuple):
    """2.3.1.1, checked."""

    length: int
    tail: int
    sequence: int
    descriptors: int
    flushed: int
    last: int


class LogPatches:
    """What the log changes: ranges of zeros, and sectors of 4 KiB over them."""

    def __init__(self, size: int, zeros: list[tuple[int, int]], sectors: dict[int, bytes]) -> None:
        self.size = size
        self._ends = [end for _start, end in zeros]
        self._zeros = zeros
        self._offsets = sorted(sectors)
        self._sectors = sectors

    def apply(self, offset: int, buffer: memoryview) -> None:
        end = offset + len(buffer)
        for start, stop in self._zeros[bisect_right(self._ends, offset) :]:
            if start >= end:
                break
            low, high = max(start, offset), min(stop, end)
            buffer[low - offset : high - offset] = bytes(high - low)
        for at in self._offsets[bisect_left(self._offsets, offset - _SECTOR + 1) : bisect_left(self._offsets, end)]:
            low, high = max(at, offset), min(at + _SECTOR, end)
            buffer[low - offset : high - offset] = self._sectors[at][low - at : high - at]


def replayed(file: DiskFile, header: Header, budget: Budget) -> LogPatches:
    """What the active sequence of the log changes. Raises DiskDamaged, FeatureUnknown, FileReadFailed."""
    if not header.log_length:
        raise file.damaged("its log", "it is to be replayed and has no bytes")
    if header.log_length > _LARGEST_LOG:
        raise FeatureUnknown(
            path=file.path,
            reason=f"its log of {header.log_length >> 20} MiB is not empty and too long to be replayed in memory "
            f"({_LARGEST_LOG >> 20} MiB are the most); start and stop its machine once, or",
        )
    log = _Log(file, header)
    entries = log.active()
    head = log.entries[entries[-1]]
    assert head is not None  # noqa: S101 - for the type checker: active() has only valid ones
    if file.size < head.flushed:
        raise file.damaged(
            "its log", f"the file was {head.flushed} bytes long and has {file.size}: it has been cut off"
        )
    return log.patches(entries, head, budget)


class _Log:
    def __init__(self, file: DiskFile, header: Header) -> None:
        self._file = file
        self._guid = header.log.bytes_le if header.log else b""
        self._ring = file.read(header.log_offset, header.log_length, "its log")
        self._size = header.log_length
        self._budget = 4 * self._size  # bytes that may be summed up: entries that overlap are not those of a real log
        self.entries: dict[int, _Entry | None] = {}

    def active(self) -> list[int]:
        """Offsets of the entries of the newest valid sequence, oldest first (2.3.3)."""
        best: list[int] = []
        newest = 0
        start = 0
        while True:
            sequence, following = self._sequence(start)
            head = self.entries[sequence[-1]] if sequence else None
            if head is not None and head.tail in sequence:
                if head.sequence > newest:
                    best, newest = sequence[sequence.index(head.tail) :], head.sequence
                after = following
            else:
                after = start + _SECTOR
            if after >= self._size:  # wrapped: every place has been looked at
                break
            start = after
        if not best:
            raise self._file.damaged("its log", "it is to be replayed, and no sequence of its entries is complete")
        return best

    def _sequence(self, start: int) -> tuple[list[int], int]:
        """Entries that follow each other from `start`, and where the last one ends, not wrapped."""
        found: list[int] = []
        at, number, travelled = start, 0, 0
        while travelled < self._size:
            entry = self._entry(at % self._size)
            if entry is None or (found and entry.sequence != number + 1):
                break
            found.append(at % self._size)
            number = entry.sequence
            at += entry.length
            travelled += entry.length
        return found, at

    def _entry(self, offset: int) -> _Entry | None:
        if offset not in self.entries:
            self.entries[offset] = self._checked(offset)
        return self.entries[offset]

    def _checked(self, offset: int) -> _Entry | None:
        if self._ring[offset : offset + 4] != b"loge":
            return None
        checksum, length, tail, sequence, count, reserved, guid, flushed, last = struct.unpack_from(
            "<IIIQII16sQQ", self._ring, offset + 4
        )
        sectors = (
            1 if count <= 126 else 1 + -(-(count - 126) // 128)
        )  # 2.3.1: descriptors in the first, and in each other
        if (
            guid != self._guid
            or length % _SECTOR
            or not sectors * _SECTOR <= length <= self._size
            or tail % _SECTOR
            or tail >= self._size
            or not sequence
            or reserved
            or flushed % MIB
            or last % MIB
            or last > _FARTHEST
        ):
            return None
        self._budget -= length
        if self._budget < 0:
            raise self._file.damaged("its log", "its entries overlap")
        data = bytearray(self._piece(offset, length))
        data[4:8] = bytes(4)
        if crc32c(data) != checksum:
            return None
        entry = _Entry(length, tail, sequence, count, flushed, last)
        return entry if self._descriptors_hold(data, entry, sectors) else None

    def _descriptors_hold(self, data: bytearray, entry: _Entry, at: int) -> bool:
        for kind, _trailing, _leading, offset, sequence in _descriptors(data, entry):
            if sequence != entry.sequence or offset % _SECTOR or offset > _FARTHEST:
                return False
            if kind == b"zero":
                if _leading % _SECTOR or _leading > _FARTHEST:
                    return False
            elif kind == b"desc":
                sector = data[at * _SECTOR : (at + 1) * _SECTOR]
                if len(sector) < _SECTOR or sector[:4] != b"data":
                    return False
                high, low = int.from_bytes(sector[4:8], "little"), int.from_bytes(sector[-4:], "little")
                if high << 32 | low != entry.sequence:
                    return False
                at += 1
            else:
                return False
        return at * _SECTOR == entry.length

    def _piece(self, offset: int, length: int) -> bytes:
        first = self._ring[offset : offset + length]
        return first + self._ring[: length - len(first)]

    def patches(self, offsets: list[int], head: _Entry, budget: Budget) -> LogPatches:
        """From the newest change to the oldest, so that each byte is settled by the first that touches it."""
        zeros: list[tuple[int, int]] = []
        sectors: dict[int, bytes] = {}
        size = max(self._file.size, head.last)
        if sum(entry.descriptors for position in offsets if (entry := self.entries[position])) > _MOST_DESCRIPTORS:
            raise self._file.damaged("its log", f"it has more than {_MOST_DESCRIPTORS} changes to be replayed")
        for position in reversed(offsets):
            entry = self.entries[position]
            assert entry is not None  # noqa: S101 - for the type checker
            data = bytearray(self._piece(position, entry.length))
            at = entry.length
            for kind, trailing, leading, offset, _sequence in reversed(list(_descriptors(data, entry))):
                if kind == b"zero":
                    size = max(size, offset + leading)
                    _cover(zeros, offset, offset + leading)
                    continue
                at -= _SECTOR
                size = max(size, offset + _SECTOR)
                if offset in sectors or _covered(zeros, offset):
                    continue
                budget.spend(_SECTOR, self._file)
                sectors[offset] = (
                    leading.to_bytes(8, "little") + data[at + 8 : at + _SECTOR - 4] + trailing.to_bytes(4, "little")
                )
        return LogPatches(size, zeros, sectors)


def _descriptors(data: bytearray, entry: _Entry) -> Iterator[tuple[bytes, int, int, int, int]]:
    """2.3.1.2 and 2.3.1.3: signature, trailing bytes, leading bytes or the length of zeros, file offset, sequence number."""
    for index in range(entry.descriptors):
        yield struct.unpack_from("<4sIQQQ", data, 64 + 32 * index)


def _cover(zeros: list[tuple[int, int]], start: int, end: int) -> None:
    """Add a range to others that ascend and do not touch."""
    if start >= end:
        return
    low = bisect_left(zeros, start, key=lambda pair: pair[1])
    high = bisect_right(zeros, end, key=lambda pair: pair[0])
    if low < high:
        start, end = min(start, zeros[low][0]), max(end, zeros[high - 1][1])
    zeros[low:high] = [(start, end)]


def _covered(zeros: list[tuple[int, int]], offset: int) -> bool:
    index = bisect_right(zeros, offset, key=lambda pair: pair[0]) - 1
    return index >= 0 and zeros[index][1] > offset
