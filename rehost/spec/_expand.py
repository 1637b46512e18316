"""What entries have from elsewhere, put into them before they are checked: selected servers, templates, defaults.

The nearest wins: an entry's own keys, the template that it extends, what that extends, and the defaults of its folder and of
those above it. `Merged.origins` keeps where each value stands, so that a finding shows the line that somebody has to change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rehost.spec._extends import chain
from rehost.spec._merge import Merged
from rehost.spec._schema import schema
from rehost.spec._yaml import Document, Path

TEMPLATES = "serverTemplates"

Layer = tuple[Document, Path, Mapping[str, Any]]  # where it stands, and what it says


def expand(spec: Merged) -> None:
    """Put everything in, once, when all files have been read."""
    _select(spec)
    _groups(spec)
    for section in ("servers", "applications"):
        for name, entry in spec.entries[section].items():
            if isinstance(entry, Mapping):
                layers = list(_layers(spec, section, name, entry))
                if layers:
                    spec.entries[section][name] = _under(spec, (section, name), entry, layers)


def _select(spec: Merged) -> None:
    """The servers of each selection become entries, as far as no entry has their name."""
    if spec.unsure & {"selections", "selected"}:
        spec.unsure.add("servers")
    for selection in spec.names("selected"):
        base = spec.get("selections", selection)
        if not isinstance(base, Mapping) or not isinstance(spec.get("selections", selection, "server") or {}, Mapping):
            continue
        document = spec.homes["selected", selection]
        for name in spec.names("selected", selection, "servers"):
            if name in spec.entries["servers"]:
                continue
            path: Path = ("selected", selection, "servers", name)
            entry = {"locator": spec.get(*path), "source": spec.get("selections", selection, "source")}
            spec.entries["servers"][name] = entry
            spec.homes["servers", name] = document
            spec.origins["servers", name] = document, path
            spec.origins["servers", name, "locator"] = document, path
            home = spec.homes["selections", selection]
            spec.origins["servers", name, "source"] = home, ("selections", selection, "source")
            spec.chosen[name] = selection


def _groups(spec: Merged) -> None:
    """The servers of a group's selections are the group's."""
    for application in spec.names("applications"):
        for group in spec.names("applications", application, "groups"):
            path: Path = ("applications", application, "groups", group)
            entry = spec.get(*path)
            chosen = spec.texts(*path, "selections")
            if not isinstance(entry, dict) or not chosen:
                continue
            document = spec.homes["applications", application]
            own = entry.get("servers", [])
            servers = list(own) if isinstance(own, list) else []
            for where, selection in chosen:
                for name in spec.names("selected", selection, "servers"):
                    spec.origins[(*path, "servers", len(servers))] = document, where
                    servers.append(name)
            entry["servers"] = servers


def _layers(spec: Merged, section: str, name: str, entry: Mapping[str, Any]) -> Iterator[Layer]:
    """What lies under an entry, the nearest first."""
    home = spec.homes[section, name]
    if section == "servers":
        selection = spec.chosen.get(name)
        if selection is not None:
            home = spec.homes["selections", selection]
            yield from _with_templates(spec, home, ("selections", selection, "server"))
        else:
            for template in chain(spec, TEMPLATES, _text(entry.get("extends"))):
                yield from _layer(spec.homes[TEMPLATES, template], (TEMPLATES, template))
    for folder in _upwards(home.name.rpartition("/")[0]):
        document = spec.defaults.get((folder, section))
        if document is not None:
            if section == "servers":
                yield from _with_templates(spec, document, ("defaults", section))
            else:
                yield from _layer(document, ("defaults", section))


def _with_templates(spec: Merged, document: Document, path: Path) -> Iterator[Layer]:
    for layer in _layer(document, path):
        yield layer
        for template in chain(spec, TEMPLATES, _text(layer[2].get("extends"))):
            yield from _layer(spec.homes[TEMPLATES, template], (TEMPLATES, template))


def _layer(document: Document, path: Path) -> Iterator[Layer]:
    value: Any = document.data
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    if isinstance(value, Mapping):
        definition = "applicationDefaults" if path == ("defaults", "applications") else "serverTemplate"
        known = schema()["$defs"][definition]["properties"]
        yield document, path, {key: each for key, each in value.items() if key in known}


def _upwards(folder: str) -> Iterator[str]:
    yield folder
    while folder:
        folder = folder.rpartition("/")[0]
        yield folder


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _under(spec: Merged, path: Path, own: Mapping[str, Any], layers: list[Layer]) -> dict[str, Any]:
    """A mapping with the layers under it: mappings are merged key by key, anything else is the nearest one's.

    Keys of a layer stand before those that lie over it: the order of actions is that of the outermost.
    """
    found: dict[str, Any] = {}
    for _document, _where, values in reversed(layers):
        found.update(dict.fromkeys(values))
    found.update(dict.fromkeys(own))
    found.pop("extends", None)
    for key in found:
        under = [(document, (*where, key), values[key]) for document, where, values in layers if key in values]
        if key in own:
            value = own[key]
        else:
            document, where, value = under.pop(0)
            spec.origins[*path, key] = document, where
        if isinstance(value, Mapping):
            deeper = list(_mappings(under))
            value = _under(spec, (*path, key), value, deeper) if deeper else value
        found[key] = value
    return found


def _mappings(under: list[tuple[Document, Path, Any]]) -> Iterator[Layer]:
    """Those that can lie under a mapping: up to the first that is something else."""
    for each in under:
        if not isinstance(each[2], Mapping):
            return
        yield each
