"""Spec files written anew: which, how a change is shown, and what is left alone. `fmt` and `migrate-spec` share it."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from rehost.cli._output import Exit, tell
from rehost.cli._output import escape as escaped
from rehost.cli._validate import SPECS, root_of
from rehost.files import write_whole

if TYPE_CHECKING:
    from rehost.spec import Finding

#: Takes a file's content and name; gives its new text, None to leave it as it is, and why.
Change = Callable[[bytes, str], "tuple[str | None, list[Finding]]"]

#: Rules of files that were understood, and are left as they are all the same.
_LEFT = frozenset({"not-formatted", "not-migrated"})


@dataclass
class _Count:
    changed: int = 0
    alike: int = 0
    refused: int = 0
    left: int = 0


def rewrite(paths: list[Path] | None, change: Change, *, done: str, check: bool, diff: bool) -> None:
    """Change every file, or with `check` and `diff` only say what would change. Ends the process with an exit code of its own.

    A file is replaced as a whole; a link stays a link. Raises `typer.Exit`: 1 where `check` found something to do, or a file
    had to be left as it is; 2 where one is no spec file at all.
    """
    count = _Count()
    for root, name, content, found in _files(paths or [SPECS]):
        text, findings = change(content, name) if not found else (None, found)
        if findings:
            _tell(root, findings)
            if all(each.rule in _LEFT for each in findings):
                count.left += 1
            else:
                count.refused += 1
        elif text is None or text.encode("utf-8", "surrogatepass") == content:
            count.alike += 1
        else:
            count.changed += 1
            if diff:
                _show_difference(name, content, text)
            if not (check or diff):
                _replace(root / name, text)
                tell(escaped(f"{name}: {done}"))
            elif check and not diff:
                tell(escaped(f"{name}: would be {done}"))
    _sum(count, done, only_said=check or diff)
    if count.refused:
        raise typer.Exit(Exit.USAGE)
    if count.left or (check and count.changed):
        raise typer.Exit(Exit.FAILED)


def through(change: Change) -> None:
    """The same from standard input to standard output, for editors. What cannot be changed comes out as it went in."""
    content = sys.stdin.buffer.read()
    text, findings = change(content, "standard input")
    sys.stdout.buffer.write(content if text is None else text.encode("utf-8", "surrogatepass"))
    for finding in findings:
        tell(escaped(str(finding)))
    if findings:
        raise typer.Exit(Exit.USAGE)


def _files(paths: list[Path]) -> Iterator[tuple[Path, str, bytes, list[Finding]]]:
    """Root, name and content of each file once; where one cannot be read, why."""
    from rehost.spec import read

    seen = set()
    for place in paths:
        root = root_of(place)
        content, findings = read(place, root)
        for each in findings:
            yield root, each.path, b"", [each]
        for name, text in content.items():
            if (real := os.path.realpath(root / name)) not in seen:
                seen.add(real)
                yield root, name, text, []


def _tell(root: Path, findings: list[Finding]) -> None:
    from rehost.spec import Excerpts, as_text

    excerpts = Excerpts(root, root / Path(findings[0].path).parent)
    for finding in findings:
        tell(escaped(as_text(finding, excerpts)))


def _show_difference(name: str, content: bytes, text: str) -> None:
    before = content.decode("utf-8-sig", "replace").splitlines(keepends=True)
    lines = difflib.unified_diff(before, text.splitlines(keepends=True), f"a/{name}", f"b/{name}")
    sys.stdout.writelines(line if line.endswith("\n") else f"{line}\n" for line in lines)


def _replace(place: Path, text: str) -> None:
    """What a link leads to, with the permissions that it has."""
    real = Path(os.path.realpath(place))
    write_whole(real, text.encode("utf-8", "surrogatepass"), mode=real.stat().st_mode)


def _sum(count: _Count, done: str, *, only_said: bool) -> None:
    said = [f"{count.changed} {'would be ' if only_said else ''}{done}", f"{count.alike} left as they are"]
    if count.refused + count.left:
        said.append(f"{count.refused + count.left} refused")
    tell(", ".join(said))
