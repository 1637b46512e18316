"""Where secrets stand in a file, whether they may or not: they are refused there, and never shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rehost.spec._findings import Finding, closest, short
from rehost.spec._redaction import INSTEAD, KINDS, is_telling
from rehost.spec._schema import schema
from rehost.spec._yaml import Document, Path


def findings(document: Document) -> Iterator[Finding]:
    """Texts anywhere in a file that can be nothing but secrets."""
    hidden = set(places(document))
    for path, text in _texts(document.data, ()):
        if path in hidden:
            continue  # the schema has said what may stand there
        for kind, pattern in KINDS:
            if pattern.search(text):
                where = ".".join(short(str(part)) for part in path)
                yield Finding.at(document.at(path), "secret-value", f"{where} holds what looks like {kind}", INSTEAD)
                break


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        if len(value) >= 10:
            yield path, value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _texts(each, (*path, key))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _texts(each, (*path, number))


def places(document: Document) -> Iterator[Path]:
    """Scalars that are secrets or name one, by the schema or by the keys around them."""
    yield from _places(document.data, schema(), ())


def _places(value: Any, entry: Mapping[str, Any], path: Path) -> Iterator[Path]:
    entry = resolved(entry)
    if entry.get("writeOnly") and not isinstance(value, Mapping):
        yield from _leaves(value, path)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _places(each, entry.get("items", {}), (*path, number))
    elif isinstance(value, Mapping):
        known = properties(entry)
        for key, each in value.items():
            inner = known.get(key) or _of_any(entry)
            if inner is not None:
                yield from _places(each, inner, (*path, key))
            elif is_telling(key) or _is_secret(known.get(closest(key, known) or "")):
                yield from _leaves(each, (*path, key))
            else:
                yield from _places(each, {}, (*path, key))


def _leaves(value: Any, path: Path) -> Iterator[Path]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _leaves(each, (*path, key))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _leaves(each, (*path, number))
    else:
        yield path


def _of_any(entry: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found = entry.get("additionalProperties")
    return found if isinstance(found, Mapping) else None


def _is_secret(entry: Mapping[str, Any] | None) -> bool:
    return entry is not None and bool(resolved(entry).get("writeOnly"))


def resolved(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """An entry of the schema with what it refers to; its own words go before."""
    while "$ref" in entry:
        own = {key: each for key, each in entry.items() if key != "$ref"}
        entry = {**schema()["$defs"][entry["$ref"].rsplit("/", 1)[-1]], **own}
    return entry


def properties(entry: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The keys of a mapping, those of all of its kinds."""
    found: dict[str, Mapping[str, Any]] = {}
    for branch in entry.get("oneOf", ()):
        found.update(properties(resolved(branch)))
    return {**found, **entry.get("properties", {})}
