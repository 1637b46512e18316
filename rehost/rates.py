"""Bandwidths as a person writes them: `200 MiB/s`, `1.5 Gbit/s`."""

from __future__ import annotations

import re

_UNITS = {
    "B": 1.0,
    "KB": 1e3,
    "MB": 1e6,
    "GB": 1e9,
    "KIB": 1024.0,
    "MIB": 1024.0**2,
    "GIB": 1024.0**3,
    "KBIT": 1e3 / 8,
    "MBIT": 1e6 / 8,
    "GBIT": 1e9 / 8,
}
#: The same stands in the spec's schema; a test holds them together.
PATTERN = r"^[0-9]+(\.[0-9]+)? ?([KMG]i?B|kB|[KMG]bit|B)/s$"
#: A block is 512 KiB: below this one takes more than half a minute, and connections time out.
LEAST = 16 * 1024


def bytes_per_second(text: str) -> float:
    """Bytes a second. Raises ValueError, whose message says what is wrong and what would be right."""
    if not re.fullmatch(PATTERN, text):
        raise ValueError(f"{text!r} is not a rate; write it like 200 MiB/s or 500 Mbit/s")
    number, unit = re.fullmatch(r"([0-9.]+) ?(.*)/s", text).groups()  # type: ignore[union-attr]
    rate = float(number) * _UNITS[unit.upper()]
    if rate < LEAST:
        raise ValueError(f"{text!r} is below 16 KiB/s, at which a block of 512 KiB takes half a minute")
    return rate
