"""A spec's YAML, written so that it reads back as what was meant, whatever another tool called its machines."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from rehost import spec

_WIDTH = 112
#: What needs no quotes in flow style, and is text in every version of YAML.
_PLAIN = re.compile(r"(?:[A-Za-z/]|\.\./)[A-Za-z0-9._/@+-]*(?: [A-Za-z0-9._/@+-]+)*|[1-9][0-9]*[smhd]")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def scalar(value: Any) -> str:
    """True, a number or a text, as YAML."""
    if value is True or value is False:
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    text = str(value)
    if hasattr(spec, "Variables"):  # where the language has variables, `${` begins one, and `$${` is itself
        text = text.replace("${", "$${")
    if _PLAIN.fullmatch(text) and text.casefold() not in _WORDS:
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    if letter == " " or letter.isprintable():
        return letter
    code = ord(letter)
    if 0xD800 <= code < 0xE000:  # half a letter, which JSON can hold and UTF-8 cannot
        return "?"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def flow(value: Any) -> str:
    """On one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key)}: {flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(flow, value)) + "]"
    return scalar(value)


def comment(text: str, indent: int) -> list[str]:
    """Lines of a comment. Nothing within the text can end it."""
    plain = "".join(each if each.isprintable() else " " for each in text)
    plain = plain.encode("utf-8", "replace").decode()
    pad = " " * indent
    return [f"{pad}# {line}" for line in textwrap.wrap(plain, _WIDTH - indent, break_on_hyphens=False)]
