"""VHD: which block stands where. Source: "Virtual Hard Disk Image Format Specification" 1.0, Microsoft 2006."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator

from rehost.sources.vhd._errors import FeatureUnknown, NotAVirtualDisk
from rehost.sources.vhd._files import DiskFile
from rehost.sources.vhd._layer import PARENT, ParentLink, Span, merged, runs
from rehost.sources.vhd._pages import PAGE_SIZE, PageCache

SECTOR = 512
COOKIE = b"conectix"
_FIXED, _DYNAMIC, _DIFFERENCING = 2, 3, 4
_UNUSED = 0xFFFFFFFF
_LARGEST = 2040 << 30  # bytes: what the table's 32-bit sector numbers reach
_LONGEST_NAME = 64 << 10
_LARGEST_BLOCK = 256 << 20
_TABLE, _BITMAP, _DYNAMIC_HEADER, _FOOTER = (
    "its allocation table",
    "a sector bitmap",
    "its dynamic header",
    "its footer",
)


class VhdLayer:
    kind = "VHD"
    sector_size = SECTOR

    def __init__(self, file: DiskFile, pages: PageCache) -> None:
        """Raises NotAVirtualDisk, DiskDamaged, FeatureUnknown, FileReadFailed."""
        found_at, footer = _read_footer(file)
        version, header_at = struct.unpack_from(">IQ", footer, 12)
        self.size, self._kind = struct.unpack_from(">Q4xI", footer, 48)
        if version >> 16 != 1:
            raise FeatureUnknown(
                path=file.path, reason=f"it has version {version >> 16} of the VHD format, and only 1 is known"
            )
        if self._kind not in (_FIXED, _DYNAMIC, _DIFFERENCING):
            raise FeatureUnknown(path=file.path, reason=f"a VHD of type {self._kind} is not known")
        if not self.size or self.size % SECTOR or (self.size > _LARGEST and self._kind != _FIXED):
            raise file.damaged(_FOOTER, f"a disk of {self.size} bytes is none")
        self.file = file
        self._pages = pages
        self.identity = str(uuid.UUID(bytes=bytes(footer[68:84])))
        self.parent: ParentLink | None = None
        self.state = f"{found_at}:{footer.hex()}"
        if self._kind == _FIXED:
            if self.size > file.size - SECTOR:
                raise file.damaged(_FOOTER, f"a disk of {self.size} bytes has no room in a file of {file.size}")
            return
        self._read_dynamic(header_at)

    def _read_dynamic(self, at: int) -> None:
        file = self.file
        header = bytearray(file.read(at, 1024, _DYNAMIC_HEADER))
        self.state += bytes(header).hex()
        if header[:8] != b"cxsparse" or not _checksum_holds(header, 36):
            raise file.damaged(_DYNAMIC_HEADER, f"none stands at byte {at}")
        self._table, version, self._entries, self._block_size = struct.unpack_from(">QIII", header, 16)
        if version >> 16 != 1:
            raise FeatureUnknown(
                path=file.path, reason=f"its dynamic header has version {version >> 16}, and only 1 is known"
            )
        size = self._block_size
        if size < SECTOR or size > _LARGEST_BLOCK or size & size - 1:
            raise file.damaged(_DYNAMIC_HEADER, f"a block of {size} bytes is none")
        if self._entries * size < self.size:
            raise file.damaged(_TABLE, f"{self._entries} entries do not reach the end of a disk of {self.size} bytes")
        if self._table % 8 or self._table < SECTOR or self._table + 4 * self._entries > file.size:
            raise file.damaged(_TABLE, f"{self._entries} entries cannot lie at byte {self._table}")
        self._bitmap_size = -(-size // SECTOR // 8 // SECTOR) * SECTOR if size // SECTOR // 8 > SECTOR else SECTOR
        if self._kind == _DIFFERENCING:
            self.parent = self._read_parent(header)

    def _read_parent(self, header: bytearray) -> ParentLink:
        """The names in the order of VHDX's: the relative one first.

        The parent's time stamp is not compared: it is that of a file system, and a copied file has another.
        """
        found: dict[bytes, str] = {}
        for index in range(8):
            at = 576 + 24 * index
            code, _space, length, place = struct.unpack_from(">4sII4xQ", header, at)
            if code not in (b"W2ru", b"W2ku") or code in found:
                continue
            if length > _LONGEST_NAME:
                raise self.file.damaged("its parent locator", f"a name of {length} bytes is none")
            data = self.file.read(place, length, "its parent locator")
            try:
                found[code] = data.decode("utf-16-le").split("\0", 1)[0]
            except UnicodeDecodeError:
                raise self.file.damaged("its parent locator", "a name is not text") from None
        names = [found[code] for code in (b"W2ru", b"W2ku") if found.get(code)]
        if not names:
            name = bytes(header[64:576]).decode("utf-16-be", "replace").split("\0", 1)[0]
            if not name:
                raise self.file.damaged("its parent locator", "it does not say which file the parent is")
            names = [name]
        return ParentLink([str(uuid.UUID(bytes=bytes(header[40:56])))], names)

    def read_state(self) -> str:
        return VhdLayer(self.file, PageCache()).state

    def spans(self, offset: int, end: int) -> Iterator[Span]:
        if self._kind == _FIXED:
            return iter([Span(offset, end - offset, offset)])
        return merged(self._spans(offset, end))

    def _spans(self, offset: int, end: int) -> Iterator[Span]:
        size = self._block_size
        while offset < end:
            block = offset // size
            for number in self._numbers(block, (end - 1) // size + 1 - block):
                start = block * size
                stop = min(end, start + size)
                if number == _UNUSED:
                    yield Span(offset, stop - offset, PARENT)
                else:
                    bitmap = number * SECTOR
                    shift = bitmap + self._bitmap_size - start
                    needed = min(size, self.size - start)
                    if bitmap < SECTOR or start + shift + needed > self.file.size:
                        raise self.file.damaged(_TABLE, f"a block cannot lie at byte {bitmap} of the file")
                    if self.parent is None:
                        # Sectors that were never written stand there as zeros, as QEMU and Hyper-V write them.
                        yield Span(offset, stop - offset, offset + shift)
                    else:
                        yield from self._partial(offset, stop, start, bitmap, shift)
                offset = stop
                block += 1

    def _numbers(self, block: int, count: int) -> tuple[int, ...]:
        """The table's entries from `block`: as many of `count` as stand in one page of the file."""
        page, at = divmod(self._table + 4 * block, PAGE_SIZE)
        count = min(count, (PAGE_SIZE - at) // 4)
        return struct.unpack_from(f">{count}I", self._pages.page(self.file, page, _TABLE), at)

    def _partial(self, offset: int, end: int, start: int, bitmap: int, shift: int) -> Iterator[Span]:
        first, last = (offset - start) // SECTOR, (end - 1 - start) // SECTOR
        data = self._pages.read(self.file, bitmap + first // 8, last // 8 + 1 - first // 8, _BITMAP)
        for at, count, present in runs(data, first % 8, last + 1 - first, highest_first=True):
            begin = max(offset, start + (first + at) * SECTOR)
            length = min(end, start + (first + at + count) * SECTOR) - begin
            yield Span(begin, length, begin + shift if present else PARENT)


def _read_footer(file: DiskFile) -> tuple[int, bytearray]:
    """The footer at the end, or the copy of it at the start that all but fixed disks have; and where it stands."""
    if file.size < SECTOR:
        raise NotAVirtualDisk(path=file.path, reason=f"it has {file.size} bytes")
    seen = False
    for offset in (file.size - SECTOR, 0):
        footer = bytearray(SECTOR)
        file.fill(offset, memoryview(footer))
        if footer[:8] != COOKIE:
            continue
        seen = True
        if _checksum_holds(footer, 64) and (
            offset or struct.unpack_from(">I", footer, 60)[0] != _FIXED or file.size == SECTOR
        ):
            return offset, footer
    if seen:
        raise file.damaged(_FOOTER, "no copy of it has a valid checksum")
    raise NotAVirtualDisk(path=file.path, reason="it has neither a VHDX's signature nor a VHD's footer")


def _checksum_holds(data: bytearray, at: int) -> bool:
    """Whether the 4 bytes at `at` are the complement of the sum of all others."""
    stored = int.from_bytes(data[at : at + 4], "big")
    total = sum(data) - sum(data[at : at + 4])
    return stored == ~total & 0xFFFFFFFF
