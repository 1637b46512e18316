"""Many small pieces of a file in few reads: a round trip to a file server costs as much as some ten thousand bytes more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rehost.sources.vhd._files import DiskFile

_GAP = 64 << 10  # bytes that are read and thrown away rather than asking twice
_SCRATCH = 1 << 20
_ZEROS = memoryview(bytes(1 << 20))


class Piece(NamedTuple):
    place: int  # byte offset within the file
    buffer: memoryview


def gather(file: DiskFile, pieces: Sequence[Piece]) -> None:
    """Fill all of them. Raises FileReadFailed."""
    ordered = sorted(pieces, key=lambda piece: piece.place)
    index = 0
    while index < len(ordered):
        start = ordered[index].place
        end = start + len(ordered[index].buffer)
        following = index + 1
        while following < len(ordered):
            place, buffer = ordered[following]
            if place - end > _GAP or max(end, place + len(buffer)) - start > _SCRATCH:
                break
            end = max(end, place + len(buffer))
            following += 1
        if following == index + 1:
            file.fill(start, ordered[index].buffer)
        else:
            scratch = memoryview(bytearray(end - start))
            file.fill(start, scratch)
            for place, buffer in ordered[index:following]:
                buffer[:] = scratch[place - start : place - start + len(buffer)]
        index = following


def clear(buffer: memoryview) -> None:
    for at in range(0, len(buffer), len(_ZEROS)):
        part = buffer[at : at + len(_ZEROS)]
        part[:] = _ZEROS[: len(part)]
