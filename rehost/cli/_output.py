"""How the command speaks: tables in colour on a terminal, plain in a pipe, JSON for machines."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, NoReturn

import typer
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from rehost.cli._text import size, span

#: Results go to standard output, everything said about them to standard error.
#: In a pipe a table is as wide as its content: what is cut off there is lost.
PIPE_WIDTH = 400
out = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True)


#: rich's markup, as far as this command uses it.
_MARKUP = re.compile(r"(?<!\\)\[/?[a-z ]*\]")


class Exit(IntEnum):
    """Exit codes of every subcommand."""

    OK = 0
    FAILED = 1  # it was tried, and did not succeed
    USAGE = 2  # the spec or the command line is wrong; nothing was tried
    DIFFERS = 3  # a verification found bytes that differ, or no manifest to compare them with


def print_json(data: Mapping[str, Any], *, indent: int | None = 2) -> None:
    """One JSON document, to standard output, unstyled."""
    sys.stdout.write(json.dumps(data, indent=indent, default=_jsonable) + "\n")


def _jsonable(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)


def fail(message: object, code: Exit = Exit.FAILED) -> NoReturn:
    err.print(f"[red]error:[/] {_escape(str(message))}")
    raise typer.Exit(code)


def _escape(text: str) -> str:
    return text.replace("[", r"\[")


def ago(moment: datetime | None, now: datetime) -> str:
    """`3 min ago`, `in 4 h`."""
    if moment is None:
        return "-"
    seconds = (now - moment).total_seconds()
    text = span(abs(seconds))
    if abs(seconds) < 1:
        return "now"
    return f"{text} ago" if seconds > 0 else f"in {text}"


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> RenderableType:
    """A table without lines. In a pipe it is laid out here: rich measures every cell several times, which for a thousand
    rows takes longer than all the rest."""
    if out.is_terminal:
        table = Table(*head, box=None, pad_edge=False)
        for row in rows:
            table.add_row(*row)
        return table
    plain = [[_MARKUP.sub("", cell).replace(r"\[", "[") for cell in row] for row in rows]
    widths = [max(len(head[place]), *(len(row[place]) for row in plain), 0) for place in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [head, *plain]]
    return Text("\n".join(line.rstrip() for line in lines), no_wrap=True, overflow="ignore")


__all__ = ["PIPE_WIDTH", "Exit", "ago", "columns", "err", "fail", "out", "print_json", "size", "span"]
