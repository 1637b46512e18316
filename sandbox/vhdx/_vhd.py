"""Writes VHD: fixed, dynamic and differencing. Source: "Virtual Hard Disk Image Format Specification" 1.0, Microsoft 2006."""

from __future__ import annotations

import os
import re
import struct
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from sandbox.vhdx._names import relative_name
from sandbox.vhdx._vhdx import os_write

SECTOR = 512
FIXED, DYNAMIC, DIFFERENCING = 2, 3, 4
_UNUSED = 0xFFFFFFFF
_EPOCH = 946684800  # 2000-01-01 00:00 UTC


class VhdWriter:
    """A VHD that is open to be written to. For one thread; nothing is kept in order for a process that dies."""

    sector_size = SECTOR

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._end = os.fstat(self._fd).st_size - SECTOR
        self._footer = os.pread(self._fd, SECTOR, self._end)
        self.identity = uuid.UUID(bytes=self._footer[68:84])
        header_at, self.size, self.type = struct.unpack_from(">16xQ24xQ4xI", self._footer)
        self.block_size = self.size
        if self.type != FIXED:
            self._table, self.block_size = struct.unpack_from(">16xQ8xI", os.pread(self._fd, 1024, header_at))
            self._bitmap_size = max(SECTOR, self.block_size // SECTOR // 8)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """`data` at byte `offset` of the disk; both in whole sectors."""
        view = memoryview(data)
        if offset < 0 or offset + len(view) > self.size or offset % SECTOR or len(view) % SECTOR:
            raise ValueError(f"{len(view)} bytes at {offset} are not whole sectors of a disk of {self.size} bytes")
        if self.type == FIXED:
            os_write(self._fd, view, offset)
            return
        position = offset
        while position < offset + len(view):
            block, within = divmod(position, self.block_size)
            length = min(self.block_size - within, offset + len(view) - position)
            place = self._place(block)
            os_write(self._fd, view[position - offset :][:length], place + self._bitmap_size + within)
            self._mark(place, within // SECTOR, length // SECTOR)
            position += length

    def zero(self, offset: int, length: int) -> None:
        """Zeros, which take room: a VHD has no other way to say it."""
        for at in range(offset, offset + length, 1 << 20):
            self.write(at, bytes(min(1 << 20, offset + length - at)))

    def trim(self, offset: int, length: int) -> None:
        """A VHD knows no trim: nothing changes."""

    def flush(self) -> None:
        os.fsync(self._fd)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> VhdWriter:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def pieces(self) -> Iterator[tuple[int, int, int | None]]:
        """What this file itself says of the disk: (offset, length, place in the file)."""
        if self.type == FIXED:
            yield 0, self.size, 0
            return
        for block in range(-(-self.size // self.block_size)):
            (number,) = struct.unpack(">I", os.pread(self._fd, 4, self._table + 4 * block))
            if number == _UNUSED:
                continue
            start, place = block * self.block_size, number * SECTOR
            count = -(-min(self.block_size, self.size - start) // SECTOR)
            bits = "".join(f"{byte:08b}" for byte in os.pread(self._fd, -(-count // 8), place))[:count]
            for run in re.finditer("1+", bits):
                at = run.start() * SECTOR
                yield start + at, len(run[0]) * SECTOR, place + self._bitmap_size + at

    def read_place(self, place: int, length: int) -> bytes:
        return os.pread(self._fd, length, place)

    def _place(self, block: int) -> int:
        """Where the block's bitmap stands; the block is made if there is none, and the footer moves on."""
        (number,) = struct.unpack(">I", os.pread(self._fd, 4, self._table + 4 * block))
        if number != _UNUSED:
            return int(number * SECTOR)
        place = self._end
        self._end += self._bitmap_size + self.block_size
        os.ftruncate(self._fd, place)  # so that what follows is zeros, not the old footer
        os_write(self._fd, self._footer, self._end)
        os_write(self._fd, struct.pack(">I", place // SECTOR), self._table + 4 * block)
        return place

    def _mark(self, place: int, first: int, count: int) -> None:
        at, end = place + first // 8, place + (first + count - 1) // 8 + 1
        size = end - at
        bits = int.from_bytes(os.pread(self._fd, size, at), "big")
        after = size * 8 - first % 8 - count
        os_write(self._fd, (bits | (1 << count) - 1 << after).to_bytes(size, "big"), at)


def create_vhd(
    path: str | os.PathLike[str],
    size: int | None = None,
    *,
    block_size: int = 2 << 20,
    fixed: bool = False,
    parent: str | os.PathLike[str] | None = None,
    parent_names: Mapping[bytes, str] | None = None,
) -> VhdWriter:
    """Make a file and open it. `parent_names` are further locators by their platform code, `W2ku` or `W2ru`."""
    parent_id, parent_stamp = uuid.UUID(int=0), 0
    if parent is not None:
        with VhdWriter(parent) as above:
            size = above.size if size is None else size
            parent_id = above.identity
        parent_stamp = int(Path(parent).stat().st_mtime) - _EPOCH
    if size is None:
        raise ValueError("a disk without a parent has a size")
    kind = FIXED if fixed else DYNAMIC if parent is None else DIFFERENCING
    footer = _footer(size, kind)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        if fixed:
            os.ftruncate(descriptor, size)
            os_write(descriptor, footer, size)
            return VhdWriter(path)
        names = {b"W2ru": relative_name(parent, path), **(parent_names or {})} if parent is not None else {}
        entries = -(-size // block_size)
        table_at = 1536
        after = table_at + -(-4 * entries // SECTOR) * SECTOR
        locators = b""
        for code, name in names.items():
            data = name.encode("utf-16-le")
            locators += struct.pack(">4sIIIQ", code, SECTOR, len(data), 0, after)
            os_write(descriptor, data, after)
            after += -(-len(data) // SECTOR) * SECTOR
        name = Path(parent).name if parent is not None else ""
        header = struct.pack(
            ">8sQQIII", b"cxsparse", 0xFFFFFFFFFFFFFFFF, table_at, 0x00010000, entries, block_size
        ) + bytes(4)
        header += parent_id.bytes + struct.pack(">II", parent_stamp, 0) + name.encode("utf-16-be").ljust(512, b"\0")
        os_write(descriptor, footer, 0)
        os_write(descriptor, summed((header + locators).ljust(1024, b"\0"), 36), 512)
        os_write(descriptor, (b"\xff" * 4 * entries).ljust(-(-4 * entries // SECTOR) * SECTOR, b"\xff"), table_at)
        os_write(descriptor, footer, after)
    finally:
        os.close(descriptor)
    return VhdWriter(path)


def _footer(size: int, kind: int) -> bytes:
    offset = 0xFFFFFFFFFFFFFFFF if kind == FIXED else 512
    stamp = int(time.time()) - _EPOCH
    footer = struct.pack(">8sIIQI4sI4s", b"conectix", 2, 0x00010000, offset, stamp, b"win ", 0x00060003, b"Wi2k")
    footer += struct.pack(">QQ4sII", size, size, _geometry(size // SECTOR), kind, 0) + uuid.uuid4().bytes
    return summed(footer.ljust(SECTOR, b"\0"), 64)


def _geometry(sectors: int) -> bytes:
    """The specification's appendix "CHS Calculation"."""
    sectors = min(sectors, 65535 * 16 * 255)
    if sectors >= 65535 * 16 * 63:
        track, heads, tracks = 255, 16, sectors // 255
    else:
        track = 17
        tracks = sectors // track
        heads = max(4, (tracks + 1023) // 1024)
        if tracks >= heads * 1024 or heads > 16:
            track, heads = 31, 16
            tracks = sectors // track
        if tracks >= heads * 1024:
            track, heads = 63, 16
            tracks = sectors // track
    return struct.pack(">HBB", tracks // heads, heads, track)


def summed(data: bytes, at: int) -> bytes:
    """The same with its checksum in the 4 bytes at `at`."""
    blank = data[:at] + bytes(4) + data[at + 4 :]
    return blank[:at] + (~sum(blank) & 0xFFFFFFFF).to_bytes(4, "big") + blank[at + 4 :]
