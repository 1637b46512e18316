"""Output that is kept: bounded, printable, and without what is known to be a secret."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

#: Characters of a check's or an action's output that are kept: its end, where the reason most often is.
OUTPUT_CHARACTERS = 8_192
HIDDEN = "[redacted]"

#: Names of environment variables whose values are secrets.
_SECRET_NAME = re.compile(
    r"PASS(WORD|WD|PHRASE)?$|PASSWORD|SECRET|TOKEN|CREDENTIAL|PRIVATE_KEY|API_?KEY", re.IGNORECASE
)
_SHORTEST = 6  # characters: a shorter value would blot out ordinary words
_PATTERNS = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"(?<![A-Z0-9])(AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])"),
    re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),
    re.compile(r"(?i)(?<=authorization: )\S+( \S+)?"),
    re.compile(r"(?i)(?<=bearer )[\w.~+/=-]{8,}"),
    re.compile(
        r"""(?i)((?:password|passwd|pwd|secret|token|api[_-]?key)["']?\s*[=:]\s*)("[^"\n]+"|'[^'\n]+'|[^\s,;&"']+)"""
    ),
)
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[^\n\t\x20-\x7e\xa0-\U0010ffff]")


def redacted(text: str, environment: Mapping[str, str] | None = None) -> str:
    """The text without control characters and without secrets, as far as they can be told: values of this process's
    environment whose names say so, keys, tokens and passwords by their look.
    """
    text = _CONTROL.sub("", text)
    values = os.environ if environment is None else environment
    secrets = {value for name, value in values.items() if len(value) >= _SHORTEST and _SECRET_NAME.search(name)}
    for value in sorted(secrets, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    for pattern in _PATTERNS:
        text = pattern.sub(lambda found: (found[1] if "[=:]" in found.re.pattern else "") + HIDDEN, text)
    return text


def capped(text: str, limit: int = OUTPUT_CHARACTERS) -> str:
    """Its end, with how much is left out."""
    if len(text) <= limit:
        return text
    return f"[{len(text) - limit} characters left out]\n{text[-limit:]}"


def line_of(text: str, limit: int = 200) -> str:
    """The last line that says something, for a message."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    return last if len(last) <= limit else f"{last[: limit - 3]}..."
