"""New files in a folder: all of them, or none."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rehost.scaffold._errors import TargetInTheWay, TargetNotWritten


@dataclass(frozen=True)
class NewFile:
    path: str  # relative, with /
    content: bytes


def write(folder: Path, new: Sequence[NewFile]) -> None:
    """Write the files below `folder`, which need not exist.

    Raises TargetInTheWay, having written nothing, where one of them is there already or a link leads elsewhere; TargetNotWritten,
    having taken back what it wrote, where the file system refuses.
    """
    _look(folder, new)
    made: list[Path] = []
    try:
        for each in new:
            target = folder / each.path
            for parent in reversed(target.parents):
                if not parent.exists():
                    parent.mkdir()
                    made.append(parent)
            with target.open("xb") as file:
                made.append(target)
                file.write(each.content)
    except OSError as error:
        for path in reversed(made):
            with suppress(OSError):  # somebody else put something into a folder of ours: it stays
                path.rmdir() if path.is_dir() else path.unlink()
        raise TargetNotWritten(path=error.filename or folder, reason=error.strerror or error) from error


def _look(folder: Path, new: Sequence[NewFile]) -> None:
    if folder.exists() and not folder.is_dir():
        raise TargetInTheWay(what=f"{folder} is not a folder")
    there = [each.path for each in new if _taken(folder / each.path)]
    if there:
        raise TargetInTheWay(what=f"{folder} already has {', '.join(there[:5])}{' and more' if len(there) > 5 else ''}")
    for each in new:
        parent = (folder / each.path).parent
        while parent != folder:
            if parent.is_symlink() or (parent.exists() and not parent.is_dir()):
                raise TargetInTheWay(what=f"{parent} is not a folder of its own")
            parent = parent.parent


def _taken(path: Path) -> bool:
    return path.exists() or path.is_symlink()
