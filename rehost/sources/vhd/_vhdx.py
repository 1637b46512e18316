"""VHDX: which block stands where. Source: [MS-VHDX] v20240423, sections 2.4 and 2.5."""

from __future__ import annotations

import struct
import uuid
from bisect import bisect_right
from collections.abc import Iterator, Mapping

from rehost.sources.vhd._files import DiskFile
from rehost.sources.vhd._header import MIB, read_header, read_metadata, read_regions
from rehost.sources.vhd._layer import PARENT, ZEROS, ParentLink, Span, merged, runs
from rehost.sources.vhd._log import Budget, replayed
from rehost.sources.vhd._pages import PAGE_SIZE, PageCache

# 2.5.1.1. What is undefined or unmapped reads as zeros, as in QEMU and as the section allows; the parent is not asked.
_NOT_PRESENT, _UNDEFINED, _ZERO, _UNMAPPED, _FULL, _PARTIAL = 0, 1, 2, 3, 6, 7
_BITMAP_PRESENT = 6  # 2.5.1.2
_STATE, _PLACE = 7, ~(MIB - 1)
_TABLE, _BITMAP = "its allocation table", "a sector bitmap"
#: 2.6.2.6.3: the order in which a parent is looked for.
_NAMES = ("relative_path", "volume_path", "absolute_win32_path")


class VhdxLayer:
    kind = "VHDX"

    def __init__(self, file: DiskFile, pages: PageCache, logs: Budget) -> None:
        """Raises DiskDamaged, FeatureUnknown, FileReadFailed."""
        header = read_header(file)
        if header.log is not None:
            file.patch(replayed(file, header, logs))
        self._table, metadata_region, taken = read_regions(file, header)
        metadata = read_metadata(file, metadata_region)
        self._taken = [(region.offset, region.end, region.name) for region in taken]
        self._starts = [region.offset for region in taken]
        self.file = file
        self._pages = pages
        self.size = metadata.disk_size
        self.sector_size = metadata.sector_size
        self.identity = str(header.data_write)
        self.state = header.state
        self.parent = _parent(file, metadata.locator)
        self._block_size = metadata.block_size
        self._shift = metadata.block_size.bit_length() - 1
        chunk = (1 << 23) * metadata.sector_size  # 2.4: what one sector bitmap block speaks for
        self._ratio = chunk // metadata.block_size
        blocks = -(-self.size // metadata.block_size)
        chunks = -(-blocks // self._ratio)
        entries = chunks * (self._ratio + 1) if self.parent else blocks + chunks - 1
        if entries * 8 > self._table.length:
            raise file.damaged(_TABLE, f"{self._table.length} bytes have no room for {entries} entries")

    def read_state(self) -> str:
        return read_header(self.file).state

    def spans(self, offset: int, end: int) -> Iterator[Span]:
        return merged(self._spans(offset, end))

    def _spans(self, offset: int, end: int) -> Iterator[Span]:
        block_size, shift = self._block_size, self._shift
        while offset < end:
            block = offset >> shift
            entries = self._entries(block, (end - 1 >> shift) + 1 - block)
            if not any(entries):
                stop = min(end, block + len(entries) << shift)
                yield Span(offset, stop - offset, PARENT)
                offset = stop
                continue
            for entry in entries:
                stop = min(end, (offset >> shift) + 1 << shift)
                state = entry & _STATE
                if state in (_FULL, _PARTIAL):
                    within = offset & block_size - 1
                    # A last block may be cut off where the disk ends.
                    needed = min(block_size, self.size - (offset - within))
                    place = self._place(entry & _PLACE, needed, "a block")
                    if state == _FULL:
                        yield Span(offset, stop - offset, place + within)
                    else:
                        yield from self._partial(offset, stop, place - (offset - within))
                elif state == _NOT_PRESENT:
                    yield Span(offset, stop - offset, PARENT)
                elif state in (_UNDEFINED, _ZERO, _UNMAPPED):
                    yield Span(offset, stop - offset, ZEROS)
                else:
                    raise self.file.damaged(_TABLE, f"the block at byte {offset} of the disk has the state {state}")
                offset = stop

    def _entries(self, block: int, count: int) -> tuple[int, ...]:
        """Entries of blocks from `block`: as many of `count` as stand together in one page of the table."""
        chunk, within = divmod(block, self._ratio)
        index = chunk * (self._ratio + 1) + within
        page, at = divmod(self._table.offset + 8 * index, PAGE_SIZE)
        count = min(count, self._ratio - within, (PAGE_SIZE - at) // 8)
        return struct.unpack_from(f"<{count}Q", self._pages.page(self.file, page, _TABLE), at)

    def _partial(self, offset: int, end: int, shift: int) -> Iterator[Span]:
        """Part of a block of which only some sectors stand here; `shift` leads from the disk's bytes to the file's."""
        if self.parent is None:
            raise self.file.damaged(
                _TABLE, f"the block at byte {offset} of the disk is partly its parent's, and it has none"
            )
        chunk = (offset >> self._shift) // self._ratio
        at = self._table.offset + 8 * (chunk * (self._ratio + 1) + self._ratio)
        (entry,) = struct.unpack("<Q", self._pages.read(self.file, at, 8, _TABLE))
        if entry & _STATE != _BITMAP_PRESENT:
            raise self.file.damaged(
                _TABLE, f"the block at byte {offset} of the disk is partly present and has no sector bitmap"
            )
        bitmap = self._place(entry & _PLACE, MIB, _BITMAP)
        sector = self.sector_size
        base = chunk * self._ratio << self._shift
        first, last = (offset - base) // sector, (end - 1 - base) // sector
        while first <= last:
            # A page of the file at a time: half a million sectors.
            stop = min(last + 1, (first // 8 | PAGE_SIZE - 1) + 1 << 3)
            data = self._pages.read(self.file, bitmap + first // 8, (stop - 1) // 8 + 1 - first // 8, _BITMAP)
            for start, count, present in runs(data, first % 8, stop - first, highest_first=False):
                begin = max(offset, base + (first + start) * sector)
                length = min(end, base + (first + start + count) * sector) - begin
                yield Span(begin, length, begin + shift if present else PARENT)
            first = stop

    def _place(self, place: int, length: int, what: str) -> int:
        """`place`, if `length` bytes of the file are free for it there. That no two blocks share one is not looked at."""
        index = bisect_right(self._starts, place) - 1
        if place < self._taken[index][1]:
            raise self.file.damaged(_TABLE, f"{what} at byte {place} of the file overlaps {self._taken[index][2]}")
        if index + 1 < len(self._taken) and self._taken[index + 1][0] < place + length:
            raise self.file.damaged(_TABLE, f"{what} at byte {place} of the file overlaps {self._taken[index + 1][2]}")
        if place + length > self.file.size:
            raise self.file.damaged(
                _TABLE, f"{what} at byte {place} lies past the end of the file ({self.file.size} bytes)"
            )
        return place


def _parent(file: DiskFile, locator: Mapping[str, str] | None) -> ParentLink | None:
    if locator is None:
        return None
    identities = []
    for key in ("parent_linkage", "parent_linkage2"):
        if key in locator:
            try:
                identities.append(str(uuid.UUID(locator[key])))
            except ValueError:
                raise file.damaged("its parent locator", f"{key} is no GUID") from None
    names = [locator[key] for key in _NAMES if locator.get(key)]
    if not identities or not names:
        raise file.damaged("its parent locator", "it does not say which file the parent is")
    return ParentLink(identities, names)
