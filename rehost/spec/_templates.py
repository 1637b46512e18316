"""Server templates: names that lead nowhere, cycles, and what a server lacks when all has been put together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rehost.spec import _extends
from rehost.spec._checks import dangling
from rehost.spec._expand import TEMPLATES
from rehost.spec._findings import Finding, closest, nearest, short
from rehost.spec._merge import Merged
from rehost.spec._schema import schema
from rehost.spec._yaml import Path


def findings(spec: Merged) -> Iterator[Finding]:
    """Before anything is put together."""
    yield from _extends.findings(spec, TEMPLATES, "server template")
    for section, *keys in (("servers",), ("selections", "server")):
        for name in spec.names(section):
            path: Path = (section, name, *keys, "extends")
            base = spec.text(*path)
            if base is not None:
                yield from dangling(spec, TEMPLATES, base, path)
    yield from _of_defaults(spec)


def _of_defaults(spec: Merged) -> Iterator[Finding]:
    for (_folder, section), document in spec.defaults.items():
        entry = document.data["defaults"][section]
        base = entry.get("extends") if isinstance(entry, Mapping) else None
        known = spec.entries[TEMPLATES]
        if isinstance(base, str) and base not in known and TEMPLATES not in spec.unsure:
            where = document.at(("defaults", section, "extends"))
            hint = nearest(base, known) if known else f"there are no {TEMPLATES}"
            yield Finding.at(where, "dangling-name", f"{short(base)} is not in {TEMPLATES}", hint)


def missing(spec: Merged) -> Iterator[Finding]:
    """What a server or a group has neither itself nor from elsewhere."""
    for server in spec.names("servers"):
        yield from _lacks(spec, ("servers", server), "source", "server")
    for application in spec.names("applications"):
        for group in spec.names("applications", application, "groups"):
            yield from _lacks(spec, ("applications", application, "groups", group), "servers", "group")


def _lacks(spec: Merged, path: Path, key: str, definition: str) -> Iterator[Finding]:
    entry = spec.get(*path)
    if not isinstance(entry, Mapping) or key in entry or spec.unsure & {str(path[0]), TEMPLATES}:
        return
    document, where = spec.origin(path)
    known = schema()["$defs"][definition]["properties"]
    if where in document.refused or key in {closest(each, known) for each in entry if each not in known}:
        return  # said already
    meaning = known[key]["description"].split(". ")[0].split("; ")[0].rstrip(".")
    what = ".".join(short(str(part)) for part in path)
    yield Finding.at(document.at(where), "missing-key", f"{what} lacks {key}", f"{key}: {meaning}")
