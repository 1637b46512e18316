"""Names of images by a template: checked with the spec, filled in by the connector.

AMI names (EC2 API reference, RegisterImage, `Name`): 3 to 128 characters out of letters, digits and ``( ) [ ] space . / - ' @ _``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

#: What a template may name. `run` alone makes a name unique by itself.
PLACEHOLDERS = ("application", "server", "stack", "date", "time", "run")
LONGEST, SHORTEST = 128, 3

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9()\[\] ./'@_-]")


def problems_of(template: str) -> list[str]:
    """What is wrong with a template; empty if nothing is."""
    found = [
        f"there is no placeholder {{{name}}}"
        for name in dict.fromkeys(_PLACEHOLDER.findall(template))
        if name not in PLACEHOLDERS
    ]
    text = _PLACEHOLDER.sub("", template)
    if set(text) & {"{", "}"}:
        found.append("a brace is not closed, or closes nothing")
    if bad := sorted(set(_NOT_ALLOWED.findall(text)) - {"{", "}"}):
        found.append(f"an AMI's name cannot have {' '.join(bad)}")
    if len(text) > LONGEST:
        found.append(f"an AMI's name has at most {LONGEST} characters")
    return found


def values_of(*, application: str | None, server: str, stack: str, run: str, at: datetime) -> dict[str, str]:
    """What the placeholders stand for. `at` is the run's point in time, shown in UTC."""
    moment = at.astimezone(UTC)
    return {
        "application": application or server,
        "server": server,
        "stack": stack,
        "date": f"{moment:%Y%m%d}",
        "time": f"{moment:%H%M%S}",
        "run": run,
    }


def render(template: str, values: Mapping[str, str]) -> tuple[str, str]:
    """The name, and the one to take if somebody else has that already: it ends in the run's id, which nothing else does."""
    name = _clean(_PLACEHOLDER.sub(lambda found: values.get(found[1], ""), template))
    run = values["run"]
    if run in name[:LONGEST]:
        return name[:LONGEST], name[:LONGEST]
    unique = f"{name[: LONGEST - 1 - len(run)]}-{run}"
    return name[:LONGEST].ljust(SHORTEST, "_"), unique


def _clean(name: str) -> str:
    return _NOT_ALLOWED.sub("_", name)
