"""Numbers for a person who reads a plan."""

from __future__ import annotations

from rehost import text


def size(count: int | None) -> str:
    return text.size(count, "unknown")


def span(seconds: float | None) -> str:
    return "unknown" if seconds is None else text.duration(seconds)


def money(amount: float, currency: str) -> str:
    """`12.34 USD`; what is less than a cent, and not nothing, says so."""
    if 0 < abs(amount) < 0.005:
        return f"less than 0.01 {currency}"
    return f"{amount:,.2f} {currency}"
