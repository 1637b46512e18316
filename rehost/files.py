"""Files that are there as a whole or not at all. Imports nothing: every command can afford it."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(file: Path, content: bytes, *, mode: int | None = None) -> None:
    """Write a file, or replace one; a kill in between leaves what was there. Raises OSError; a retry is safe.

    The name in between begins with a point: a spec's folder passes over it. `mode`: its permissions; what is usual without.
    """
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    try:
        with beside.open("xb") as fresh:  # no link of somebody's leads it elsewhere
            fresh.write(content)
        if mode is not None:
            beside.chmod(mode)
        beside.replace(file)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
