"""A wave's window, asked for a moment. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime


def closed(window: Mapping[str, str] | None, now: datetime) -> str | None:
    """Why nothing may be cut over at `now`; None where it may. `window`: wave, opens, closes (RFC 3339)."""
    if not window:
        return None
    if now < datetime.fromisoformat(window["opens"]):
        return f"the window of {window['wave']} opens at {window['opens']}: a cutover before is refused"
    if now >= datetime.fromisoformat(window["closes"]):
        return f"the window of {window['wave']} closed at {window['closes']}: give it another one, or go back"
    return None


def is_over(window: Mapping[str, str] | None, now: datetime) -> bool:
    return bool(window) and window is not None and now >= datetime.fromisoformat(window["closes"])
