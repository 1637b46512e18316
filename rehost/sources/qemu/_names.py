"""How everything that this source makes is called, so that it can be found again, and nothing else is touched.

`rehost-` begins every name. Names of block nodes have at most 31 characters in QEMU, so a hash stands for the run there;
bitmaps carry the run itself, for they outlive it: `rehost-RUN`, or `rehost-RUN~PARENT` once it is known on top of which
run it was taken. The `~` stands in no run's name.
"""

from __future__ import annotations

import hashlib
import re

from rehost.sources._protocol import ChangePosition

PREFIX = "rehost-"
_TEMPORARY = "rehost-tmp~"
_BITMAP = re.compile(r"rehost-(?P<run>[A-Za-z0-9._-]+)(~(?P<parent>[A-Za-z0-9._-]+))?")
_POSITION = re.compile(r"(?P<run>[A-Za-z0-9._-]+) (?P<size>[0-9]+)")


def safe(run: str) -> str:
    """The run's name if it can stand in ours, else a hash of it."""
    fits = re.fullmatch(r"[A-Za-z0-9._-]{1,100}", run) and not run.startswith("tmp")
    return run if fits else hashlib.sha256(run.encode()).hexdigest()[:32]


def node(run: str, index: int, part: str) -> str:
    """`part` is `s` (scratch), `f` (the scratch's file) or `c` (the filter that copies before a write)."""
    return f"{PREFIX}{hashlib.sha256(run.encode()).hexdigest()[:12]}-{index}-{part}"


def job(run: str, index: int) -> str:
    return f"{PREFIX}{run}-{index}"


def export(run: str, index: int, part: str) -> str:
    """`part` is `disk`, or `changes` for the export that carries the bitmap."""
    return f"{PREFIX}{run}-{index}-{part}"


def bitmap(run: str, parent: str | None = None) -> str:
    return f"{PREFIX}{run}~{parent}" if parent else f"{PREFIX}{run}"


def temporary_bitmap(run: str) -> str:
    return f"{_TEMPORARY}{run}"


def is_temporary(name: str) -> bool:
    return name.startswith(_TEMPORARY)


def parse_bitmap(name: str) -> tuple[str, str | None] | None:
    """(run, parent) of one of our lasting bitmaps; None for any other."""
    match = None if is_temporary(name) else _BITMAP.fullmatch(name)
    return (match["run"], match["parent"]) if match else None


def position(run: str, size: int) -> ChangePosition:
    return f"{run} {size}"


def parse_position(text: ChangePosition) -> tuple[str, int] | None:
    """(run, the disk's size then in bytes); None where it is not one of ours."""
    match = _POSITION.fullmatch(text)
    return (match["run"], int(match["size"])) if match else None
