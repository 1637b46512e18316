"""Entries that extend others of their section."""

from __future__ import annotations

from collections.abc import Iterator

from rehost.spec._checks import cycles_of, dangling
from rehost.spec._findings import Finding, short
from rehost.spec._merge import Merged

#: Levels of `extends`; more than these nobody can follow.
DEPTH = 10


def chain(spec: Merged, section: str, first: str | None) -> list[str]:
    """An entry and those it extends, the nearest first. It ends where a name leads nowhere, or back."""
    found: list[str] = []
    while first is not None and first not in found and first in spec.entries[section] and len(found) <= DEPTH:
        found.append(first)
        first = spec.text(section, first, "extends")
    return found


def findings(spec: Merged, section: str, what: str) -> Iterator[Finding]:
    """Names that lead nowhere, chains that nobody can follow, and cycles. `what` is one entry: `launch config`."""
    extends: dict[str, list[str]] = {each: [] for each in spec.names(section)}
    for name, bases in extends.items():
        base = spec.text(section, name, "extends")
        if base is None:
            continue
        yield from dangling(spec, section, base, (section, name, "extends"))
        if base in extends:
            bases.append(base)
        if len(chain(spec, section, name)) > DEPTH:
            message = f"{what} {short(name)} extends more than {DEPTH} others, one behind the other"
            yield Finding.at(spec.place(section, name, "extends"), "too-deep", message)
    for cycle in cycles_of(extends):
        told = " extends ".join(map(short, [*cycle[:8], *(["..."] if len(cycle) > 8 else []), cycle[0]]))
        yield Finding.at(spec.place(section, cycle[0], "extends"), "cycle", f"{what}s extend each other: {told}")
