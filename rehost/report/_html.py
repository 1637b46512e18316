"""HTML out of nested calls. Text is escaped wherever it comes from; only what these functions made is taken as it is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape

#: What HTML has no place for: control characters, and halves of a surrogate pair.
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_VOID = frozenset({"input", "meta", "br", "path", "rect", "line", "circle"})

#: An attribute that is None or False is left out; True stands without a value.
Value = str | int | float | bool | None


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(value: object) -> Markup:
    return Markup(escape(_UNFIT.sub("\ufffd", str(value)), quote=True))


def el(name: str, /, *children: object, **attributes: Value) -> Markup:
    """`el("td", "a < b", class_="num", data_v=3)`: a trailing `_` goes, another one becomes `-`."""
    if attributes:
        told = "".join(_attribute(key, value) for key, value in attributes.items())
    else:
        told = ""
    if name in _VOID and not children:
        return Markup(f"<{name}{told}>" if name in ("input", "meta", "br") else f"<{name}{told}/>")
    return Markup(f"<{name}{told}>{inner(children)}</{name}>")


def inner(children: Iterable[object]) -> Markup:
    """Several nodes, one after the other; None is nothing."""
    parts: list[str] = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, Markup):
            parts.append(child)
        elif isinstance(child, str | int | float):
            parts.append(text(child))
        elif isinstance(child, Iterable):
            parts.append(inner(child))
        else:
            message = f"{type(child).__name__} is no node"
            raise TypeError(message)
    return Markup("".join(parts))


def _attribute(key: str, value: Value) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{text(value)}"'


def moment(at: datetime | None, *, seconds: bool = False) -> Markup:
    """In UTC, to the minute: the page says so once."""
    if at is None:
        return Markup("–")
    there = at.astimezone(UTC)
    shown = there.strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")
    return el("time", shown, datetime=there.strftime("%Y-%m-%dT%H:%M:%SZ"))


def code_in(message: str) -> Markup:
    """Text in which `this` is code."""
    parts = message.split("`")
    if len(parts) % 2 == 0:
        return text(message)
    return inner(el("code", part) if place % 2 else part for place, part in enumerate(parts))
