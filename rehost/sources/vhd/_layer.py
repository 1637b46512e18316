"""One file of a chain, whatever its format: where each of its bytes stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from rehost.sources.vhd._files import DiskFile

#: What stands for a place in the file where there is none.
ZEROS = -1  # it reads as zeros, whatever the parent has
PARENT = -2  # it is the parent's; zeros where there is none


class Span(NamedTuple):
    """`length` bytes of the disk from `offset`."""

    offset: int
    length: int
    place: int  # byte offset within the file, or ZEROS, or PARENT


@dataclass(frozen=True)
class ParentLink:
    """What a differencing disk says of its parent."""

    identities: Sequence[str]  # one of them is the parent's
    names: Sequence[str]  # Windows paths, in the order in which they are tried; relative ones are so to the child


class Layer(Protocol):
    file: DiskFile
    kind: str  # VHDX, VHD
    size: int  # bytes of the virtual disk
    sector_size: int
    identity: str  # what a child knows it by
    state: str  # changes when somebody opens the file to write
    parent: ParentLink | None

    def spans(self, offset: int, end: int) -> Iterator[Span]:
        """That part of the disk, ascending and without a gap. Raises DiskDamaged, FileReadFailed."""

    def read_state(self) -> str:
        """`state`, read again from the file itself."""


def merged(spans: Iterable[Span]) -> Iterator[Span]:
    """The same, with neighbours in one where their bytes are neighbours too."""
    held: Span | None = None
    for span in spans:
        if held is None:
            held = span
        elif span.place == held.place < 0 or (held.place >= 0 and span.place == held.place + held.length):
            held = Span(held.offset, held.length + span.length, held.place)
        else:
            yield held
            held = span
    if held is not None:
        yield held


def runs(bitmap: bytes, first: int, count: int, *, highest_first: bool) -> Iterator[tuple[int, int, bool]]:
    """Runs of equal bits among `count` from bit `first` of the bitmap: (index from `first`, length, the bit)."""
    if highest_first:
        bits = format(int.from_bytes(bitmap, "big"), f"0{len(bitmap) * 8}b")
    else:
        bits = format(int.from_bytes(bitmap, "little"), f"0{len(bitmap) * 8}b")[::-1]
    position, end = first, first + count
    while position < end:
        bit = bits[position]
        following = bits.find("0" if bit == "1" else "1", position, end)
        if following < 0:
            following = end
        yield position - first, following - position, bit == "1"
        position = following
