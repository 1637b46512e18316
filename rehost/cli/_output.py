"""How the command speaks: tables in colour on a terminal, plain in a pipe, JSON for machines."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

from rehost.text import size, span

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    out: Console
    err: Console

#: In a pipe a table is as wide as its content: what is cut off there is lost.
PIPE_WIDTH = 400

#: rich's markup, as far as this command uses it.
_MARKUP = re.compile(r"(?<!\\)\[(?:/|/?[a-z][a-z ]*)\]")
#: What rich would take for markup in a text that is not ours.
_TAG = re.compile(r"(\\*)(\[[a-z#/@][^\[]*?\])")


def __getattr__(name: str) -> Any:
    """`out` and `err`, rich's consoles: results go to standard output, everything said about them to standard error.

    Made when first used: rich takes a tenth of a second to load, which a command that writes into a pipe has no use for.
    """
    if name in ("out", "err"):
        return _console(name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


@cache
def _console(name: str) -> Console:
    from rich.console import Console

    if name == "err":
        return Console(stderr=True, highlight=False, soft_wrap=True)
    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


class Exit(IntEnum):
    """Exit codes of every subcommand."""

    OK = 0
    FAILED = 1  # it was tried, and did not succeed
    USAGE = 2  # the spec or the command line is wrong; nothing was tried
    DIFFERS = 3  # a verification found bytes that differ, or no manifest to compare them with; a policy refuses a plan


def print_json(data: Mapping[str, Any], *, indent: int | None = 2) -> None:
    """One JSON document, to standard output, unstyled."""
    sys.stdout.write(json.dumps(data, indent=indent, default=_jsonable) + "\n")


def _jsonable(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)


def fail(message: object, code: Exit = Exit.FAILED) -> NoReturn:
    """Say why on standard error and end the process with `code`."""
    tell(f"[red]error:[/] {escape(str(message))}")
    raise SystemExit(int(code))


def tell(text: str) -> None:
    """A line of markup, to standard error."""
    if sys.stderr.isatty():
        _console("err").print(text)
    else:
        print(plain(text), file=sys.stderr)


def escape(text: str) -> str:
    """The text with nothing in it that would be taken for markup."""
    return _TAG.sub(r"\1\1\\\2", text)


def plain(text: str) -> str:
    """What markup comes to without colours."""
    return _MARKUP.sub("", text).replace(r"\[", "[")


def ago(moment: datetime | None, now: datetime) -> str:
    """`3 min ago`, `in 4 h`."""
    if moment is None:
        return "-"
    seconds = (now - moment).total_seconds()
    text = span(abs(seconds))
    if abs(seconds) < 1:
        return "now"
    return f"{text} ago" if seconds > 0 else f"in {text}"


@dataclass(frozen=True)
class Columns:
    """A table without lines; its cells are markup."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


Part = str | Columns


def show(parts: Iterable[Part]) -> None:
    """Lines of markup and tables, to standard output.

    In a pipe they are laid out here: rich measures every cell several times, which for a thousand rows takes longer than
    all the rest.
    """
    if sys.stdout.isatty():
        _console("out").print(rendered(parts))
        return
    sys.stdout.write("".join(f"{line}\n" for part in parts for line in _lines(part)))


def rendered(parts: Iterable[Part]) -> RenderableType:
    """The same for a terminal."""
    from rich.console import Group
    from rich.table import Table

    found: list[RenderableType] = []
    for part in parts:
        if isinstance(part, str):
            found.append(part)
            continue
        table = Table(*part.head, box=None, pad_edge=False)
        for row in part.rows:
            table.add_row(*row)
        found.append(table)
    return Group(*found)


def _lines(part: Part) -> list[str]:
    if isinstance(part, str):
        return [plain(part)]
    cells = [list(part.head), *([plain(cell) for cell in row] for row in part.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]


__all__ = [
    "PIPE_WIDTH",
    "Columns",
    "Exit",
    "Part",
    "ago",
    "err",
    "escape",
    "fail",
    "out",
    "plain",
    "print_json",
    "rendered",
    "show",
    "size",
    "span",
    "tell",
]
