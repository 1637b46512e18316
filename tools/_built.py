"""Programs that are made once, kept in `.cache` by their version, and used from there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tools._errors import SetupError
from tools._files import locked
from tools._paths import CACHE
from tools._progress import Progress


def built(program: Path, name: str, waiting: str, build: Callable[[], None], progress: Progress) -> Path:
    """`program`, made by `build` where it is missing, by one process of those that want it. Raises what `build` raises.

    `name` is the lock's; `waiting` is told where another process is at it.
    """
    if not program.exists():
        with locked(CACHE / f"{name}.lock", lambda: progress.say(f"  {waiting}")):
            if not program.exists():
                build()
    return program


def print_built(ensure: Callable[[Progress], Path]) -> int:
    """The program as a command: make it, and print where it is. The exit code."""
    try:
        print(ensure(Progress()))
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
