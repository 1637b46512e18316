"""What a key of the spec means, by its path: `servers.image.conversion`, with or without the names of entries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rehost.errors import RehostError
from rehost.spec._findings import closest, nearest, short
from rehost.spec._schema import schema
from rehost.spec._secrets import properties, resolved

_WORDS = {"string": "text", "integer": "whole number", "boolean": "true or false", "object": "mapping"}


class NoSuchKey(RehostError):
    """There is no such key in the language."""

    template: ClassVar[str] = "{where} has no key {key}{hint}"


@dataclass(frozen=True)
class Explained:
    path: str  # NAME where a name of the spec's own stands, [] where an item of a list does
    entry: Mapping[str, Any]  # the schema's, with what it refers to
    is_required: bool

    @property
    def keys(self) -> dict[str, Mapping[str, Any]]:
        """The keys that it has itself, or that each of its entries has."""
        return {key: resolved(each) for key, each in properties(_innermost(self.entry)).items()}

    @property
    def needed(self) -> frozenset[str]:
        return frozenset(_innermost(self.entry).get("required", ()))

    @property
    def value(self) -> str:
        """What may stand there, in words."""
        return _value(self.entry)

    @property
    def limits(self) -> list[str]:
        entry, found = self.entry, []
        low, high = entry.get("minimum"), entry.get("maximum")
        if low is not None and high is not None:
            found.append(f"{low} to {high}")
        if "maxLength" in entry:
            found.append(f"at most {entry['maxLength']} characters")
        if "pattern" in entry:
            found.append(f"matches {entry['pattern']}")
        if entry.get("uniqueItems"):
            found.append("nothing twice")
        if entry.get("writeOnly"):
            found.append("a reference, never the secret itself")
        return found

    def as_dict(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "required": self.is_required,
            "schema": dict(self.entry),
            "keys": {key: each.get("description", "") for key, each in self.keys.items()},
        }


def explain(path: str) -> Explained:
    """Look a key up. Names of entries (`servers.web-01.image`) may be left out. Raises `NoSuchKey` with the nearest one."""
    entry: Mapping[str, Any] = schema()
    trail: list[str] = []
    needed = False
    parts = [part for part in path.replace("[", ".").replace("]", "").split(".") if part]
    while parts:
        part = parts.pop(0)
        known = properties(entry)
        if part in known:
            needed = part in entry.get("required", ())
            entry = resolved(known[part])
            trail.append(part)
            continue
        inner = _inner(entry)
        if inner is None or known:
            raise _unknown(part, known, trail)
        entry, needed = inner, False
        trail.append("[]" if "items" in _outer(trail) else "NAME")
        if part in properties(inner) or not _is_name(part, inner, parts):
            parts.insert(0, part)
    return Explained(_written(trail) or "the spec", entry, needed)


def _value(entry: Mapping[str, Any]) -> str:
    inner = _inner(entry)
    if properties(entry):
        return "mapping"
    if inner is not None:
        kind = "list of" if "items" in entry else "mapping from names to"
        return f"{kind} {'mappings' if properties(inner) else _value(inner)}"
    if "const" in entry or "enum" in entry:
        values = entry.get("enum", [entry.get("const")])
        return " or ".join(each if isinstance(each, str) else json.dumps(each) for each in values)
    return _WORDS[entry["type"]]


def _inner(entry: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What each entry of a mapping by name, or each item of a list, is."""
    found = entry.get("items", entry.get("additionalProperties"))
    return resolved(found) if isinstance(found, Mapping) else None


def _innermost(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    while not properties(entry) and (inner := _inner(entry)) is not None:
        entry = inner
    return entry


def _outer(trail: list[str]) -> Mapping[str, Any]:
    """The entry that a trail leads to."""
    entry: Mapping[str, Any] = schema()
    for part in trail:
        entry = (_inner(entry) or {}) if part in ("NAME", "[]") else resolved(properties(entry)[part])
    return entry


def _is_name(part: str, inner: Mapping[str, Any], rest: list[str]) -> bool:
    """Whether it is a name of the spec's own, and no mistyped key."""
    known = properties(inner)
    return not known or bool(rest and rest[0] in known) or closest(part, known) is None


def _unknown(part: str, known: Mapping[str, Any], trail: list[str]) -> NoSuchKey:
    hint = nearest(part, known)
    return NoSuchKey(where=_written(trail) or "the spec", key=short(part), hint=f" ({hint})" if hint else "")


def _written(trail: list[str]) -> str:
    return ".".join(trail).replace(".[]", "[]")
