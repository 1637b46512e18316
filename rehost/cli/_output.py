"""How the command speaks: tables in colour on a terminal, plain in a pipe, JSON for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, NoReturn

import typer
from rich.console import Console

from rehost.cli._text import size, span

#: Results go to standard output, everything said about them to standard error.
#: In a pipe a table is as wide as its content: what is cut off there is lost.
PIPE_WIDTH = 400
out = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True)


class Exit(IntEnum):
    """Exit codes of every subcommand."""

    OK = 0
    FAILED = 1  # it was tried, and did not succeed
    USAGE = 2  # the spec or the command line is wrong; nothing was tried
    DIFFERS = 3  # a verification found bytes that differ


def print_json(data: Mapping[str, Any]) -> None:
    """One JSON document, to standard output, unstyled."""
    sys.stdout.write(json.dumps(data, indent=2, default=_jsonable) + "\n")


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


__all__ = ["PIPE_WIDTH", "Exit", "ago", "err", "fail", "out", "print_json", "size", "span"]
