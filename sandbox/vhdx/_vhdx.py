"""Writes VHDX as Hyper-V would find it: dynamic, fixed and differencing files."""

from __future__ import annotations

import os
import re
import struct
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from sandbox.vhdx._layout import (
    BAT,
    DISK_SIZE,
    FILE_PARAMETERS,
    FULL,
    HEADERS,
    KIB,
    LOGICAL_SECTOR,
    METADATA,
    MIB,
    NOT_PRESENT,
    PARENT_LOCATOR,
    PARTIAL,
    REGION_TABLES,
    UNMAPPED,
    ZERO,
    Header,
    Item,
    decode_locator,
    decode_metadata,
    decode_region_table,
    metadata_region,
    parent_locator,
)
from sandbox.vhdx._log import log_entry

_ZEROS = bytes(MIB)


class VhdxWriter:
    """A VHDX that is open to be written to. For one thread.

    Metadata is not written through the log, but in place, and no order of writes is kept: a process that dies may leave the
    file torn. With `defer_log` it goes to the log alone, where it stays when the file is closed: that is how a file looks
    whose machine was cut off.
    """

    def __init__(self, path: str | os.PathLike[str], *, defer_log: bool = False) -> None:
        self.path = Path(path)
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        copies = [(header, at) for at in HEADERS if (header := Header.decode(os.pread(self._fd, 4 * KIB, at)))]
        self.header, at = max(copies, key=lambda pair: pair[0].sequence)
        self._next_copy = HEADERS[1 - HEADERS.index(at)]
        if self.header.log.int:
            raise ValueError(f"{path} has a log that was not replayed")
        self.regions = {
            entry.guid: entry for entry in decode_region_table(os.pread(self._fd, 64 * KIB, REGION_TABLES[0]))
        }
        self._table = self.regions[BAT].offset
        region = self.regions[METADATA]
        self.items = decode_metadata(os.pread(self._fd, region.length, region.offset))
        known = {item.guid: item.data for item in self.items}
        flags = int.from_bytes(known[FILE_PARAMETERS][4:], "little")
        self.block_size = int.from_bytes(known[FILE_PARAMETERS][:4], "little")
        self.size = int.from_bytes(known[DISK_SIZE], "little")
        self.sector_size = int.from_bytes(known[LOGICAL_SECTOR], "little")
        self.fixed = bool(flags & 1)
        self.locator = decode_locator(known[PARENT_LOCATOR]) if flags & 2 else None
        self.ratio = (1 << 23) * self.sector_size // self.block_size
        self._end = -(-os.fstat(self._fd).st_size // MIB) * MIB
        self._free: list[int] = []
        self._opened = self._changed = False
        self._deferred: dict[int, bytearray] | None = {} if defer_log else None
        self._stable = self._end

    @property
    def data_write(self) -> uuid.UUID:
        """What a child of this file knows it by."""
        return self.header.data_write

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """`data` at byte `offset` of the disk; both in whole sectors."""
        view = memoryview(data)
        self._begin(offset, len(view))
        for start, end in self._blocks(offset, len(view)):
            place, state = self.entry(start // self.block_size)
            whole = self._whole(start, end)
            within = start % self.block_size
            if state not in (FULL, PARTIAL):
                place = self._allocate(self.block_size, clear=not whole)
                partial = self.locator is not None and state == NOT_PRESENT and not whole
                if partial:
                    self._mark(start - within, min(self.block_size, self.size - start + within), present=False)
                state = PARTIAL if partial else FULL
                os_write(self._fd, view[start - offset : end - offset], place + within)
                if partial:
                    self._mark(start, end - start, present=True)
                self.set_entry(start // self.block_size, place, state)
                continue
            os_write(self._fd, view[start - offset : end - offset], place + within)
            if state == PARTIAL and whole:
                self.set_entry(start // self.block_size, place, FULL)
            elif state == PARTIAL:
                self._mark(start, end - start, present=True)

    def zero(self, offset: int, length: int) -> None:
        """Zeros; whole blocks of a file that is not fixed give their place up."""
        self._begin(offset, length)
        for start, end in self._blocks(offset, length):
            block = start // self.block_size
            place, state = self.entry(block)
            if self._whole(start, end) and not self.fixed:
                self._release(place, state)
                self.set_entry(block, 0, ZERO)
            elif state != ZERO:
                self._write_zeros(start, end)

    def trim(self, offset: int, length: int) -> None:
        """The guest needs them no more: whole blocks read as zeros from now on, the rest stays, as with Hyper-V."""
        self._begin(offset, length)
        for start, end in self._blocks(offset, length):
            if self._whole(start, end) and not self.fixed:
                place, state = self.entry(start // self.block_size)
                self._release(place, state)
                self.set_entry(start // self.block_size, 0, UNMAPPED)

    def flush(self) -> None:
        """What was written is on the disk, and the headers say so."""
        if self._opened:
            os.fsync(self._fd)

    def close(self) -> None:
        if self._fd < 0:
            return
        if self._deferred:
            self._write_log(self._deferred)
        os.close(self._fd)
        self._fd = -1

    def __enter__(self) -> VhdxWriter:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    # For a merge, for changes of the parent, and for what is out of the ordinary.

    def pieces(self) -> Iterator[tuple[int, int, int | None]]:
        """What this file itself says of the disk: (offset, length, place in the file, None for zeros)."""
        for block in range(-(-self.size // self.block_size)):
            place, state = self.entry(block)
            start = block * self.block_size
            length = min(self.block_size, self.size - start)
            if state == FULL:
                yield start, length, place
            elif state == PARTIAL:
                yield from self._present(start, length, place)
            elif state != NOT_PRESENT:
                yield start, length, None

    def read_place(self, place: int, length: int) -> bytes:
        return os.pread(self._fd, length, place)

    def entry(self, block: int) -> tuple[int, int]:
        """A block's place in the file, and its state."""
        raw: int = struct.unpack("<Q", self._pread(self._entry_at(block), 8))[0]
        return raw & ~(MIB - 1), raw & 7

    def set_entry(self, block: int, place: int, state: int) -> None:
        self._pwrite(self._entry_at(block), struct.pack("<Q", place | state))

    def bitmap_entry_at(self, block: int) -> int:
        """Where in the file the entry of the sector bitmap stands that speaks for the block."""
        return self._table + 8 * (block // self.ratio * (self.ratio + 1) + self.ratio)

    def set_parent(self, entries: dict[str, str]) -> None:
        """Other names or another identity for the parent."""
        self.touch()
        items = [Item(i.guid, parent_locator(entries), i.flags) if i.guid == PARENT_LOCATOR else i for i in self.items]
        self._pwrite(self.regions[METADATA].offset, metadata_region(items))
        self.items, self.locator = items, entries

    def resize(self, size: int) -> None:
        """Another size for the disk, as far as its table has room; what is behind a smaller one is lost."""
        old, blocks = self.size, -(-size // self.block_size)
        if size <= 0 or size % self.sector_size:
            raise ValueError(f"{size} bytes are not whole sectors")
        if 8 * -(-blocks // self.ratio) * (self.ratio + 1) > self.regions[BAT].length:
            raise ValueError(f"the table of {self.path} has no room for {blocks} blocks")
        self._begin(0, 0)
        for block in range(blocks, -(-old // self.block_size)):
            place, state = self.entry(block)
            self._release(place, state)
            self.set_entry(block, 0, NOT_PRESENT)
        items = [Item(i.guid, struct.pack("<Q", size), i.flags) if i.guid == DISK_SIZE else i for i in self.items]
        self._pwrite(self.regions[METADATA].offset, metadata_region(items))
        self.items, self.size = items, size
        for block in range(-(-old // self.block_size), blocks if self.fixed else 0):
            self.set_entry(block, self._allocate(self.block_size, clear=True), FULL)

    def update_header(self, **changes: object) -> None:
        """Both copies, one after the other (2.2.2.1)."""
        for name, value in changes.items():
            setattr(self.header, name, value)
        for _copy in HEADERS:
            self.header.sequence += 1
            os_write(self._fd, self.header.encode(), self._next_copy)
            self._next_copy = HEADERS[1 - HEADERS.index(self._next_copy)]

    def touch(self) -> None:
        """2.2.2: before the first change after the file was opened, FileWriteGuid is another."""
        if not self._opened:
            self._opened = True
            self.update_header(file_write=uuid.uuid4())

    def _begin(self, offset: int, length: int) -> None:
        if offset < 0 or offset + length > self.size or offset % self.sector_size or length % self.sector_size:
            raise ValueError(f"{length} bytes at {offset} are not whole sectors of a disk of {self.size} bytes")
        self.touch()
        if not self._changed:
            self._changed = True
            self.update_header(data_write=uuid.uuid4())

    def _blocks(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        end = offset + length
        while offset < end:
            stop = min(end, (offset // self.block_size + 1) * self.block_size)
            yield offset, stop
            offset = stop

    def _whole(self, start: int, end: int) -> bool:
        return start % self.block_size == 0 and end - start == min(self.block_size, self.size - start)

    def _write_zeros(self, start: int, end: int) -> None:
        for at in range(start, end, MIB):
            self.write(at, _ZEROS[: min(MIB, end - at)])

    def _entry_at(self, block: int) -> int:
        return self._table + 8 * (block + block // self.ratio)

    def _allocate(self, length: int, *, clear: bool) -> int:
        if length == self.block_size and self._free:
            place = self._free.pop()
            if clear:
                for at in range(0, length, MIB):
                    os_write(self._fd, _ZEROS, place + at)
            return place
        place = self._end
        self._end += length
        os.ftruncate(self._fd, self._end)
        return place

    def _release(self, place: int, state: int) -> None:
        if state in (FULL, PARTIAL):
            self._free.append(place)

    def _bitmap(self, offset: int) -> int:
        """The place of the sector bitmap that speaks for the byte `offset`; made if there is none."""
        at = self.bitmap_entry_at(offset // self.block_size)
        raw: int = struct.unpack("<Q", self._pread(at, 8))[0]
        if raw & 7 != FULL:
            raw = self._allocate(MIB, clear=True) | FULL
            self._pwrite(at, struct.pack("<Q", raw))
        return raw & ~(MIB - 1)

    def _mark(self, offset: int, length: int, *, present: bool) -> None:
        first = offset % (self.ratio * self.block_size) // self.sector_size
        last = first + -(-length // self.sector_size)
        place = self._bitmap(offset) + first // 8
        size = (last - 1) // 8 + 1 - first // 8
        bits = int.from_bytes(self._pread(place, size), "little")
        mask = (1 << last - first) - 1 << first % 8
        self._pwrite(place, (bits | mask if present else bits & ~mask).to_bytes(size, "little"))

    def _present(self, start: int, length: int, place: int) -> Iterator[tuple[int, int, int]]:
        first = start % (self.ratio * self.block_size) // self.sector_size
        count = -(-length // self.sector_size)
        at = self._bitmap(start) + first // 8
        bits = "".join(f"{byte:08b}"[::-1] for byte in self._pread(at, -(-count // 8)))[:count]
        for run in re.finditer("1+", bits):
            yield (
                start + run.start() * self.sector_size,
                len(run[0]) * self.sector_size,
                place + run.start() * self.sector_size,
            )

    def _pread(self, offset: int, length: int) -> bytes:
        """Metadata, as it will be once the log has been replayed."""
        data = bytearray(os.pread(self._fd, length, offset).ljust(length, b"\0"))
        if self._deferred:
            for at in range(offset & ~4095, offset + length, 4096):
                if (sector := self._deferred.get(at)) is not None:
                    low, high = max(at, offset), min(at + 4096, offset + length)
                    data[low - offset : high - offset] = sector[low - at : high - at]
        return bytes(data)

    def _pwrite(self, offset: int, data: bytes) -> None:
        self.touch()
        if self._deferred is None:
            os_write(self._fd, data, offset)
            return
        for at in range(offset & ~4095, offset + len(data), 4096):
            sector = self._deferred.setdefault(at, bytearray(self._pread(at, 4096)))
            low, high = max(at, offset), min(at + 4096, offset + len(data))
            sector[low - at : high - at] = data[low - offset : high - offset]

    def _write_log(self, sectors: dict[int, bytearray]) -> None:
        """The deferred sectors, in entries that make one sequence."""
        self.update_header(log=uuid.uuid4())
        at, number, tail = 0, 7, 0
        left: Sequence[int] = sorted(sectors)
        while left:
            changes = [(offset, bytes(sectors[offset])) for offset in left[:100]]
            left = left[100:]
            entry = log_entry(self.header.log, number, tail, changes, flushed=self._stable, last=self._end)
            if at + len(entry) > self.header.log_length:
                raise ValueError("the log is too short for what was changed")
            os_write(self._fd, entry, self.header.log_offset + at)
            at, number = at + len(entry), number + 1


def os_write(descriptor: int, data: bytes | bytearray | memoryview, offset: int) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(descriptor, view, offset)
        view, offset = view[count:], offset + count
