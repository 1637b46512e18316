"""A managed disk: a page blob in Azurite with a VHD's footer, what was written to it since when, and the raw file a guest writes to."""

from __future__ import annotations

import os
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path

from sandbox.azure._azurite import MOST_WRITTEN, Azurite
from sandbox.azure._ranges import Range, common, merged, without
from sandbox.azure._vhd import FOOTER_SIZE, footer

PAGE = 512
#: What differs between a raw file and its copy is found to so many bytes. Azurite takes 5 ms for a write, however small.
_GRAIN = 64 << 10
_BATCH = MOST_WRITTEN
_DIFFERENCE_LIMIT = 4 << 40


@dataclass(frozen=True)
class Frozen:
    """A point in time of a disk."""

    disk: PageDisk
    snapshot: str  # its name in Azurite; empty: the disk itself
    sequence: int  # how many points in time the disk had by then
    size: int  # of the disk, without the footer

    @property
    def blob_size(self) -> int:
        return self.size + FOOTER_SIZE

    def ranges(self) -> list[Range]:
        """The valid pages, the footer's with them."""
        return self.disk.valid(self.snapshot)

    def differences(self, earlier: Frozen) -> tuple[list[Range], list[Range]]:
        """What was written and what was cleared since `earlier`, a point in time of the same disk."""
        touched, valid = self.disk.touched(earlier.sequence, self.sequence), self.ranges()
        return common(touched, valid), common(without(touched, valid), earlier.ranges())

    def comparable(self, earlier: Frozen) -> bool:
        """Not across 4 TiB: https://learn.microsoft.com/azure/virtual-machines/disks-incremental-snapshots, Restrictions."""
        return (self.size > _DIFFERENCE_LIMIT) == (earlier.size > _DIFFERENCE_LIMIT)


class PageDisk:
    """Thread-safe. With a raw file, the file is the disk, and the blob follows it at each point in time."""

    def __init__(self, azurite: Azurite, size: int, raw: Path | None, scratch: Path) -> None:
        """`raw` must have `size` bytes; its copy of the last point in time is kept in `scratch`."""
        self.azurite, self.size, self.raw = azurite, size, raw
        self.identity = uuid.uuid4()
        self.blob = f"disk-{self.identity.hex}"
        self._shadow = scratch / f"{self.blob}.raw"
        self._lock = threading.RLock()
        self._now: list[Range] = []
        self._owed: list[Range] = []  # in the copy of the raw file, and not in the blob yet
        self._past: list[list[Range]] = []  # by point in time, what was touched before it
        self._valid: dict[str, list[Range]] = {}  # by snapshot, once asked for
        azurite.create(self.blob, size + FOOTER_SIZE)
        self._write_footer()
        if raw is not None:
            with open(self._shadow, "wb") as file:
                file.truncate(size)

    def write(self, offset: int, data: bytes) -> None:
        """As the guest does. Any offset and length within the disk."""
        if offset + len(data) > self.size:
            message = f"{offset} + {len(data)} is beyond the disk's {self.size} bytes"
            raise ValueError(message)
        with self._lock:
            if self.raw is not None:
                with open(self.raw, "r+b") as file:
                    file.seek(offset)
                    file.write(data)
                return
            start, end = offset // PAGE * PAGE, -(-(offset + len(data)) // PAGE) * PAGE
            if (start, end) != (offset, offset + len(data)):
                pages = bytearray(self.azurite.read(self.blob, "", start, end - start))
                pages[offset - start : offset - start + len(data)] = data
                data = bytes(pages)
            self._put(start, data)

    def zero(self, offset: int, length: int) -> None:
        """Discard: the pages are cleared. Whole pages of 512 bytes."""
        if offset % PAGE or length % PAGE or offset + length > self.size:
            message = f"{offset} + {length} are no pages of a disk of {self.size} bytes"
            raise ValueError(message)
        with self._lock:
            if self.raw is not None:
                with open(self.raw, "r+b") as file:
                    file.seek(offset)
                    file.write(bytes(length))
                return
            self._clear(offset, offset + length)

    def resize(self, size: int) -> None:
        """Grow it: the footer moves to the new end."""
        if size <= self.size or size % PAGE:
            message = f"a disk of {self.size} bytes does not become one of {size}"
            raise ValueError(message)
        with self._lock:
            self._clear(self.size, self.size + FOOTER_SIZE)
            self.azurite.resize(self.blob, size + FOOTER_SIZE)
            self.size = size
            self._write_footer()
            if self.raw is not None:
                for path in (self.raw, self._shadow):
                    os.truncate(path, size)

    def catch_up(self) -> None:
        """Copy what the raw file has by now; `absorb` brings what differs into the blob."""
        if self.raw is None:
            return
        with self._lock, open(self.raw, "rb") as live, open(self._shadow, "r+b") as copy:
            for start, end in merged([*_data(live.fileno(), self.size), *_data(copy.fileno(), self.size)]):
                for at in range(start, end, _GRAIN):
                    length = min(_GRAIN, end - at)
                    new, old = os.pread(live.fileno(), length, at), os.pread(copy.fileno(), length, at)
                    if new != old:
                        self._owed.append((at, at + length))
                        os.pwrite(copy.fileno(), new, at)

    def absorb(self) -> None:
        """Bring what `catch_up` found into the blob: zeros are cleared there. May be repeated where Azurite failed."""
        if self.raw is None:
            return
        with self._lock, open(self._shadow, "rb") as copy:
            self._owed = merged(self._owed)
            while self._owed:
                start, end = self._owed[-1]
                for at in range(start, end, _BATCH):
                    data = os.pread(copy.fileno(), min(_BATCH, end - at), at)
                    for first, last, zeros in _runs(data):
                        if zeros:
                            self._clear(at + first, at + last)
                        else:
                            self._put(at + first, data[first:last])
                self._owed.pop()

    def freeze(self) -> Frozen:
        """A point in time of the blob as it is."""
        with self._lock:
            snapshot = self.azurite.snapshot(self.blob)
            self._past.append(merged(self._now))
            self._now = []
            return Frozen(self, snapshot, len(self._past), self.size)

    def live(self) -> Frozen:
        """The disk itself, for one that no machine runs on."""
        with self._lock:
            return Frozen(self, "", len(self._past) + 1, self.size)

    def thaw(self, frozen: Frozen) -> None:
        self.azurite.delete_snapshot(self.blob, frozen.snapshot)
        self._valid.pop(frozen.snapshot, None)

    def valid(self, snapshot: str) -> list[Range]:
        found = self._valid.get(snapshot)
        if found is None:
            found = self.azurite.ranges(self.blob, snapshot)
            if snapshot:
                self._valid[snapshot] = found
        return found

    def touched(self, after: int, until: int) -> list[Range]:
        with self._lock:
            return merged(each for epoch in [*self._past, self._now][after:until] for each in epoch)

    def _write_footer(self) -> None:
        self._put(self.size, footer(self.size, self.identity, 0))

    def _put(self, start: int, data: bytes) -> None:
        self.azurite.write(self.blob, start, data)
        self._now.append((start, start + len(data)))

    def _clear(self, start: int, end: int) -> None:
        self.azurite.clear(self.blob, start, end - start)
        self._now.append((start, end))


def _data(descriptor: int, size: int) -> list[Range]:
    """Where a sparse file has data."""
    found: list[Range] = []
    at = 0
    while at < size:
        try:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError:
            break
        at = min(os.lseek(descriptor, start, os.SEEK_HOLE), size)
        # To the comparison's grid, so that both files are cut alike.
        found.append((start // _GRAIN * _GRAIN, min(-(-at // _GRAIN) * _GRAIN, size)))
    return found


def _runs(data: bytes) -> list[tuple[int, int, bool]]:
    """(start, end, whether all of it is zero) of pieces of whole grains."""
    found: list[tuple[int, int, bool]] = []
    zeros = bytes(_GRAIN)
    for start in range(0, len(data), _GRAIN):
        piece = data[start : start + _GRAIN]
        empty = piece == zeros[: len(piece)]
        if found and found[-1][2] == empty:
            found[-1] = (found[-1][0], start + len(piece), empty)
        else:
            found.append((start, start + len(piece), empty))
    return found
