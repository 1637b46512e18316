"""Numbers for a person who reads a plan."""

from __future__ import annotations

from rehost.waves import moment as moment


def size(count: int | None) -> str:
    """Bytes: `1.5 GiB`; `unknown` where nobody knows."""
    if count is None:
        return "unknown"
    amount, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024 or unit == "TiB":
            break
        amount /= 1024
    return f"{amount:,.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:,.1f} {unit}"


def span(seconds: float | None) -> str:
    """`45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    if seconds is None:
        return "unknown"
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


def money(amount: float, currency: str) -> str:
    """`12.34 USD`; what is less than a cent, and not nothing, says so."""
    if 0 < abs(amount) < 0.005:
        return f"less than 0.01 {currency}"
    return f"{amount:,.2f} {currency}"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """`1 server`, `2 servers`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
