"""What an unquoted word of YAML is: the core schema of YAML 1.2.2 (chapter 10.3), narrowed.

`no`, `on`, `1:30` and `2026-01-01` are text, unlike in YAML 1.1. Left out: octal and hexadecimal numbers, `.inf` and `.nan`,
and integers of more than 18 digits, which no key of the spec takes: they are text too. So is a number with leading zeros:
`0777` is 511 to YAML 1.1 and 777 to YAML 1.2, and to somebody who writes an account's number it is neither.
"""

from __future__ import annotations

import re

Scalar = str | int | float | bool | None

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})", re.ASCII)
_FLOAT = re.compile(
    r"[-+]?(?:(?:\.[0-9]{1,18}|(?:0|[1-9][0-9]{0,17})\.[0-9]{0,18})(?:[eE][-+]?[0-9]{1,2})?"
    r"|(?:0|[1-9][0-9]{0,17})[eE][-+]?[0-9]{1,2})",
    re.ASCII,
)


def plain(text: str) -> Scalar:
    """The value of a scalar without quotes."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if text[0] in "-+.0123456789":
        if _INT.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
    return text
