"""Moments and counts as the page shows them."""

from __future__ import annotations

import re
from datetime import datetime

from rehost.text import span


def ago(at: datetime, now: datetime) -> str:
    """`3 min ago`, `in 4 h`."""
    seconds = (now - at).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"{span(seconds)} ago" if seconds > 0 else f"in {span(-seconds)}"


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


#: Stands for a server's name in a message that several have.
ANY = "SERVER"


def nameless(message: str, name: str) -> str:
    """The message with ANY in place of the name: what has one cause is told once."""
    return re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", ANY, message)


def short(message: str, most: int = 400) -> str:
    """On one line, and not without end."""
    line = " ".join(message.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
