"""What a schema cannot say of waves, and of concerns that are ignored."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from rehost.concerns import KINDS
from rehost.spec._findings import Finding, nearest, short
from rehost.spec._merge import Merged


def findings(spec: Merged) -> Iterator[Finding]:
    yield from _windows(spec)
    yield from _order(spec)
    yield from _ignored(spec)


def _windows(spec: Merged) -> Iterator[Finding]:
    for wave in spec.names("waves"):
        moments = {}
        for key in ("opens", "closes"):
            text = spec.text("waves", wave, "window", key)
            moment = moment_of(text) if text is not None else None
            if moment is not None:
                moments[key] = moment
            elif text is not None:
                where = spec.place("waves", wave, "window", key)
                yield Finding.at(where, "wrong-value", f"{text} is not in the calendar or not on the clock")
        if len(moments) == 2 and moments["closes"] <= moments["opens"]:
            where = spec.place("waves", wave, "window", "closes")
            yield Finding.at(where, "window", f"the window of wave {short(wave)} closes before it opens")


def _order(spec: Merged) -> Iterator[Finding]:
    """A wave whose window is over before that of a wave it comes after opens could never be cut over."""
    for wave in spec.names("waves"):
        closes = _moment(spec, wave, "closes")
        for path, other in spec.texts("waves", wave, "after"):
            opens = _moment(spec, other, "opens") if other in spec.entries["waves"] and other != wave else None
            if closes is not None and opens is not None and closes <= opens:
                message = f"wave {short(wave)} comes after wave {short(other)}, whose window opens when that of {short(wave)} is over"
                yield Finding.at(spec.place(*path), "window", message, "move one of the windows")


def _ignored(spec: Merged) -> Iterator[Finding]:
    for section in ("applications", "servers"):
        for name in spec.names(section):
            for concern in spec.names(section, name, "ignore"):
                where = spec.place(section, name, "ignore", concern)
                kind = KINDS.get(concern)
                if kind is None:
                    message = f"there is no concern {short(concern)}"
                    hint = nearest(concern, KINDS) or "docs/preflight.md lists them"
                    yield Finding.at(where, "unknown-concern", message, hint)
                elif not kind.ignorable:
                    message = f"{concern} cannot be ignored: {kind.meaning}"
                    yield Finding.at(where, "not-ignorable", message, kind.remedy)


def _moment(spec: Merged, wave: str, key: str) -> datetime | None:
    text = spec.text("waves", wave, "window", key)
    return moment_of(text) if text is not None else None


def moment_of(text: str) -> datetime | None:
    """A moment as the schema lets it through; None where there is no such day or hour."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
