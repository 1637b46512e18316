"""Numbers for a person. Imports nothing: every command can afford it."""

from __future__ import annotations

from collections.abc import Iterable


def size(count: int | None, unknown: str = "-") -> str:
    """Bytes: `1.5 GiB`; `unknown` where nobody knows."""
    if count is None:
        return unknown
    amount, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024 or unit == "TiB":
            break
        amount /= 1024
    return f"{amount:,.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:,.1f} {unit}"


def span(seconds: float) -> str:
    """A time, about: `3 min`."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def duration(seconds: float) -> str:
    """A time, to the minute: `45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """`1 server`, `2 servers`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def named(names: Iterable[str], limit: int = 5) -> str:
    """`a, b and 3 more`."""
    listed = list(names)
    return ", ".join(listed[:limit]) + (f" and {len(listed) - limit} more" if len(listed) > limit else "")
