"""One way to either format: by the file's name when it is made, by its bytes when it is opened."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sandbox.vhdx._create import create_vhdx
from sandbox.vhdx._vhd import VhdWriter, create_vhd
from sandbox.vhdx._vhdx import VhdxWriter

#: Either has write, zero, trim, flush, close, pieces, read_place, size, sector_size and block_size.
Writer = VhdxWriter | VhdWriter


def create(path: str | os.PathLike[str], size: int | None = None, **options: Any) -> Writer:
    """Make a disk of `size` bytes, or a differencing one with `parent=`; its format is that of its suffix.

    Options: `block_size`, `fixed`, `parent`, `parent_names`; for VHDX more, see `create_vhdx`. Raises FileExistsError.
    """
    if Path(path).suffix.lower() in (".vhd", ".avhd"):
        return create_vhd(path, size, **options)
    return create_vhdx(path, size, **options)


def open_writer(path: str | os.PathLike[str]) -> Writer:
    with open(path, "rb") as file:
        return VhdxWriter(path) if file.read(8) == b"vhdxfile" else VhdWriter(path)
