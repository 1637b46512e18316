"""Times as Azure writes them, from seconds since 1970."""

from __future__ import annotations

import datetime
import email.utils


def http_date(seconds: float) -> str:
    return email.utils.formatdate(seconds, usegmt=True)


def stamp(seconds: float) -> str:
    """`2026-11-25T21:40:00.1234567+00:00`."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}0+00:00"
