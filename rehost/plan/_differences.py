"""What differs between two versions of a spec, entry by entry, in the words of the spec."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from typing import Any

from rehost.plan._preview import Change, differences
from rehost.spec import Estate

#: Sections of the spec, and where the model has them.
SECTIONS = {
    "sources": "sources",
    "schedules": "schedules",
    "launchConfigs": "launch_configs",
    "servers": "servers",
    "applications": "applications",
    "waves": "waves",
    "notifications": "notifications",
}
#: Entries of their own: a server names them.
_NAMED = frozenset({"source", "schedule", "launch_config"})


@dataclass(frozen=True)
class EntryChange:
    """An entry that was added, removed or changed."""

    section: str
    name: str
    what: str  # added, removed, changed
    changes: tuple[Change, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        changes = [each.as_dict() for each in self.changes]
        return {"section": self.section, "name": self.name, "what": self.what, "changes": changes}


def spec_changes(base: Estate, head: Estate) -> list[EntryChange]:
    """Sections in the order of the spec, entries in that of the files."""
    return [change for section in SECTIONS for change in _section(section, base, head)]


def _section(section: str, base: Estate, head: Estate) -> Iterator[EntryChange]:
    before: Mapping[str, Any] = getattr(base, SECTIONS[section])
    after: Mapping[str, Any] = getattr(head, SECTIONS[section])
    for name in [*before, *(each for each in after if each not in before)]:
        if name not in after:
            yield EntryChange(section, name, "removed")
        elif name not in before:
            yield EntryChange(section, name, "added")
        elif changes := differences(in_words_of_the_spec(before[name]), in_words_of_the_spec(after[name])):
            yield EntryChange(section, name, "changed", tuple(changes))


def in_words_of_the_spec(entry: Any) -> dict[str, Any]:
    """An entry of the model as a tree with the spec's keys; lengths of time are text, in seconds."""
    found: dict[str, Any] = _plain(entry)
    return found


def _plain(value: Any) -> Any:
    """The model as a tree with the spec's keys. What is named elsewhere is its name: a change of it is that entry's."""
    if is_dataclass(value) and not isinstance(value, type):
        found = {}
        for each in fields(value):
            inner = getattr(value, each.name)
            if each.name == "name":
                continue
            if each.name in _NAMED and hasattr(inner, "name"):
                found[_key(each.name)] = inner.name or None
            elif each.name.endswith("_seconds") and inner is not None:
                found[_key(each.name.removesuffix("_seconds"))] = f"{inner}s"
            else:
                found[_key(each.name)] = _plain(inner)
        return found
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        named = [each.name for each in value if is_dataclass(each) and hasattr(each, "name")]
        if value and len(named) == len(value):
            return dict(zip(named, map(_plain, value), strict=True))
        return [_plain(each) for each in value]
    return value.isoformat() if isinstance(value, datetime) else value


def _key(name: str) -> str:
    return re.sub("_([a-z])", lambda found: found[1].upper(), name)
