"""What Hyper-V does to whole files: merging a child into its parent, another parent for a child, another size."""

from __future__ import annotations

import os
from collections.abc import Sequence

from sandbox.vhdx._names import relative_name
from sandbox.vhdx._open import open_writer
from sandbox.vhdx._vhdx import VhdxWriter

_PIECE = 4 << 20


def merge(
    child: str | os.PathLike[str],
    parent: str | os.PathLike[str],
    *,
    children: Sequence[str | os.PathLike[str]] = (),
) -> None:
    """Write into `parent` what `child` has of its own; the child's file stays, and is of no use any more.

    `children` are differencing files of the child (VHDX); they become the parent's. Whoever has the parent open to read finds
    its headers changed, as with Hyper-V.
    """
    with open_writer(child) as upper, open_writer(parent) as lower:
        for offset, length, place in upper.pieces():
            if place is None:
                lower.zero(offset, length)
                continue
            for at in range(0, length, _PIECE):
                size = min(_PIECE, length - at)
                lower.write(offset + at, upper.read_place(place + at, size))
        if isinstance(lower, VhdxWriter):
            lower.touch()
        lower.flush()
    for path in children:
        relink(path, parent)


def relink(child: str | os.PathLike[str], parent: str | os.PathLike[str]) -> None:
    """Point a differencing VHDX to `parent`, as it is now."""
    with VhdxWriter(parent) as above:
        linkage = above.data_write
    with VhdxWriter(child) as below:
        below.set_parent(
            {
                **(below.locator or {}),
                "parent_linkage": f"{{{linkage}}}",
                "relative_path": relative_name(parent, child),
            }
        )


def resize(path: str | os.PathLike[str], size: int) -> None:
    """Another size for a VHDX, as Resize-VHD gives it. Raises ValueError where its table has no room."""
    with VhdxWriter(path) as disk:
        disk.resize(size)
