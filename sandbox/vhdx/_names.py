"""Names of parents as Windows writes them."""

from __future__ import annotations

import os
from pathlib import Path


def relative_name(parent: str | os.PathLike[str], child: str | os.PathLike[str]) -> str:
    """The parent's path relative to the child's folder: `.\\disk.vhdx`, `..\\disks\\disk.vhdx`."""
    name = os.path.relpath(Path(parent).resolve(), Path(child).resolve().parent).replace("/", "\\")
    return name if name.startswith("..") else ".\\" + name
