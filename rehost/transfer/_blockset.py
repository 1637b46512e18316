"""A set of block indices as a bitmap: one bit a block, whatever the order and number of extents it is made from.

A disk of 16 TiB, the largest EBS volume of most types, has 2^25 blocks: 4 MiB.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rehost.blocks import BLOCK_SIZE, Extent, block_count

_SPAN = re.compile(rb"\xff+|[^\x00\xff]", re.DOTALL)  # a stretch of full bytes, or one byte of mixed bits
_CHUNK = 1 << 16  # bytes of bitmap that are counted as one integer


class BlockSet:
    """Indices in `range(capacity)`. Not thread-safe for writers."""

    def __init__(self, capacity: int, bits: bytes | None = None) -> None:
        """`bits`: block i is bit `i % 8` of byte `i // 8`, as `bytes(self.bits)` gave it."""
        self.capacity = capacity
        self.bits = bytearray(-(-capacity // 8)) if bits is None else bytearray(bits)

    def __contains__(self, index: int) -> bool:
        return bool(self.bits[index >> 3] & (1 << (index & 7)))

    def __len__(self) -> int:
        return self.count_below(self.capacity)

    def __iter__(self) -> Iterator[int]:
        return self.iter_from(0)

    def iter_from(self, index: int) -> Iterator[int]:
        """The members from `index` on, ascending."""
        for start, stop in self.runs():
            yield from range(max(start, index), stop)

    def count_below(self, index: int) -> int:
        """How many members are less than `index`."""
        with memoryview(self.bits)[: index >> 3] as whole:
            count = sum(_popcount(whole[at : at + _CHUNK]) for at in range(0, len(whole), _CHUNK))
        if index & 7:
            count += (self.bits[index >> 3] & ((1 << (index & 7)) - 1)).bit_count()
        return count

    def add(self, index: int) -> int:
        """Add one index; returns the byte of the bitmap that holds it, for writing it through to a file."""
        at = index >> 3
        self.bits[at] |= 1 << (index & 7)
        return self.bits[at]

    def add_range(self, start: int, stop: int) -> None:
        """Add `range(start, stop)`."""
        if start >= stop:
            return
        first, last = start >> 3, (stop - 1) >> 3
        head, tail = 0xFF << (start & 7) & 0xFF, 0xFF >> (7 - ((stop - 1) & 7))
        if first == last:
            self.bits[first] |= head & tail
            return
        self.bits[first] |= head
        self.bits[first + 1 : last] = b"\xff" * (last - first - 1)
        self.bits[last] |= tail

    def add_extent(self, extent: Extent) -> None:
        """Add the blocks that `extent` touches, up to the capacity."""
        if extent.length > 0:
            self.add_range(extent.offset // BLOCK_SIZE, min(self.capacity, block_count(extent.end)))

    def discard_from(self, index: int) -> None:
        """Take out every member that is `index` or above."""
        whole = -(-index // 8)
        self.bits[whole:] = bytes(len(self.bits) - whole)
        if index & 7:
            self.bits[index >> 3] &= (1 << (index & 7)) - 1

    def runs(self) -> Iterator[tuple[int, int]]:
        """The members as ascending `(start, stop)` ranges that neither overlap nor touch."""
        start = stop = 0
        for first, last in self._spans():
            if first != stop:
                if stop > start:
                    yield start, stop
                start = first
            stop = last
        if stop > start:
            yield start, stop

    def _spans(self) -> Iterator[tuple[int, int]]:
        # finditer walks the bitmap in C; only bytes of mixed bits are taken apart here.
        for match in _SPAN.finditer(self.bits):
            at, end = match.span()
            byte = self.bits[at]
            if byte == 0xFF:
                yield at * 8, end * 8
            else:
                yield from ((at * 8 + bit, at * 8 + bit + 1) for bit in range(8) if byte >> bit & 1)


def _popcount(bits: memoryview) -> int:
    return int.from_bytes(bits, "little").bit_count()
