"""Selections: whether what `rehost select` wrote down is what they say.

Which machines a selection means is never found out while a spec is read: they stand in the spec, and a review saw them.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rehost.spec._checks import dangling
from rehost.spec._findings import Finding, Position, short
from rehost.spec._merge import Merged

_HINT = "rehost select writes its servers down, for a review"


@dataclass(frozen=True)
class Selection:
    """What is to be selected, and what was. `file` is where it stands, relative to the project."""

    name: str
    source: str
    match: Mapping[str, Any]
    excluded: tuple[str, ...]  # patterns of names
    digest: str
    position: Position
    selected: Mapping[str, Mapping[str, Any]]  # locators by server
    was: str | None  # the digest for which they were selected; None where nothing was

    def matches(self, name: str, facts: Mapping[str, Any]) -> bool:
        """Whether it means a machine that discovery found under this name, with these facts. What is not known does not match."""
        if _any(self.excluded, name):
            return False
        for key, patterns in self.match.items():
            if key == "tags":
                tags = facts.get("tags") or {}
                if not all(_any(values, tags.get(tag)) for tag, values in patterns.items()):
                    return False
            elif not _any(patterns, name if key == "name" else facts.get(key)):
                return False
        return True


def _any(patterns: Sequence[str], value: object) -> bool:
    """Patterns of fnmatch, but without its brackets, which are common in names of machines."""
    text = None if value is None else str(value)
    return text is not None and any(fnmatch.fnmatchcase(text, each.replace("[", "[[]")) for each in patterns)


def digest(entry: Mapping[str, Any]) -> str:
    """Of what decides which machines are meant. What they become may change without another look at the catalog."""
    said = {key: entry.get(key) for key in ("source", "match", "except")}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def findings(spec: Merged) -> Iterator[Finding]:
    for name in spec.names("selections"):
        source = spec.text("selections", name, "source")
        if source is not None:
            yield from dangling(spec, "sources", source, ("selections", name, "source"))
        if spec.get("selections", name, "server", "source") is not None:
            message = f"the source of selection {short(name)} is that of its servers"
            where = spec.place("selections", name, "server", "source")
            yield Finding.at(where, "no-effect", message, "take this one out")
        entry = spec.get("selections", name)
        if isinstance(entry, Mapping) and not any(path[:2] == ("selections", name) for path in spec.wrong):
            yield from _stale(spec, name, entry)
    homes: dict[str, str] = {}
    for name in spec.names("selected"):
        if name not in spec.entries["selections"] and "selections" not in spec.unsure:
            message = f"there is no selection {short(name)}"
            yield Finding.at(spec.place("selected", name), "stale-selection", message, "rehost select takes it out")
        for server in spec.names("selected", name, "servers"):
            where = spec.place("selected", name, "servers", server)
            if server in homes:
                message = f"server {short(server)} is in selection {short(homes[server])}, too"
                yield Finding.at(where, "two-homes", message, "narrow one of them, or use except")
            homes.setdefault(server, name)
    for server, selection in homes.items():
        if server in spec.entries["servers"]:
            message = f"server {short(server)} is in selection {short(selection)}, too"
            hint = f"put {short(server)} among the selection's except, and run rehost select"
            yield Finding.at(spec.place("servers", server), "duplicate-entry", message, hint)
    for application in spec.names("applications"):
        for group in spec.names("applications", application, "groups"):
            for path, name in spec.texts("applications", application, "groups", group, "selections"):
                yield from dangling(spec, "selections", name, path)


def _stale(spec: Merged, name: str, entry: Mapping[str, Any]) -> Iterator[Finding]:
    if name not in spec.entries["selected"]:
        if "selected" not in spec.unsure:
            message = f"which servers selection {short(name)} means is written nowhere"
            yield Finding.at(spec.place("selections", name), "stale-selection", message, _HINT)
        return
    was = spec.text("selected", name, "selection")
    if was is not None and was != digest(entry):
        message = f"selection {short(name)} is another than the one whose servers are written down"
        hint = f"{spec.place('selected', name)}; rehost select writes them anew, for a review"
        yield Finding.at(spec.place("selections", name), "stale-selection", message, hint)


def selections(spec: Merged) -> list[Selection]:
    """Those of a spec whose selections have the shape that the schema wants."""
    found = []
    for name in spec.names("selections"):
        entry: Any = spec.entries["selections"][name]
        has = name in spec.entries["selected"]
        locators: Any = spec.entries["selected"][name] if has else {"servers": {}}
        found.append(
            Selection(
                name,
                entry["source"],
                entry["match"],
                tuple(entry.get("except", ())),
                digest(entry),
                spec.place("selections", name),
                dict(locators["servers"]),
                locators["selection"] if has else None,
            )
        )
    return found
