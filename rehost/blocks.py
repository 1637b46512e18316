"""The unit of everything that moves: plain data which sources, transfer and aws share without importing each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

#: Bytes of a block: the only block size of the EBS direct APIs (EBS API reference, StartSnapshot, `BlockSize`).
BLOCK_SIZE = 512 * 1024

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Extent:
    """`length` bytes of a disk from `offset`; neither needs to be a multiple of the block size."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        return self.offset + self.length


def block_count(size: int) -> int:
    """How many blocks a disk of `size` bytes has, the last one perhaps partial."""
    return -(-size // BLOCK_SIZE)


def volume_gib(size: int) -> int:
    """The smallest EBS volume, in GiB, that holds `size` bytes."""
    return max(1, -(-size // GIB))


def blocks_of(extents: Iterable[Extent]) -> Iterator[int]:
    """The indices of the blocks that the extents touch, ascending, each once.

    The extents must ascend by offset; they may touch or overlap.
    """
    following = 0
    for extent in extents:
        if extent.length <= 0:
            continue
        first = max(following, extent.offset // BLOCK_SIZE)
        following = max(following, block_count(extent.end))
        yield from range(first, following)
