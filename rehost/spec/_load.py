"""From a folder of files to an estate, in stages; each stage reports everything it finds."""

from __future__ import annotations

import graphlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rehost.spec import _checks, _schema, _yaml
from rehost.spec._checks import Merged, moment_of
from rehost.spec._findings import Finding, Position, SpecErrors
from rehost.spec._model import (
    Application,
    Estate,
    Group,
    ImageOptions,
    LaunchConfig,
    Schedule,
    Server,
    Source,
    Wave,
    Window,
)

COLLECTIONS = ("sources", "schedules", "launchConfigs", "servers", "applications", "waves")
_UNITS = {"m": 60, "h": 3600, "d": 86400}
MAX_USER_DATA = 16 * 1024  # bytes before base64 (EC2 user guide, "User data")


def load(folder: Path, *, root: Path | None = None) -> Estate:
    """The estate that the files under `folder` declare. Raises `SpecErrors` with every finding.

    Paths in findings and in the model are relative to `root` (default: the folder's parent), so that they are the same in
    every check-out.
    """
    estate, found = check(folder, root=root)
    if estate is None:
        raise SpecErrors(found)
    return estate


def check(folder: Path, *, root: Path | None = None) -> tuple[Estate | None, list[Finding]]:
    """The estate, None if there are errors; and all findings, warnings included, in the order of the files."""
    folder = Path(os.path.abspath(folder))  # noqa: PTH100 - links stay links, or relative paths would differ
    root = Path(os.path.abspath(root)) if root else folder.parent  # noqa: PTH100
    found: list[Finding] = []
    merged = Merged()
    files = _files(folder)
    if not files:
        what = "there is no folder" if not folder.is_dir() else "there are no .yaml files in"
        found.append(Finding(Position(_relative(folder, root), 1, 1), f"{what} {_relative(folder, root)}", "no-files"))
    for file in files:
        found += _read(file, root, merged)
    found += _checks.findings(merged)
    found += _user_data(merged, root)
    found.sort()
    if any(each.is_error for each in found):
        return None, found
    return _estate(merged, root), found


def _files(folder: Path) -> list[Path]:
    """YAML files at any depth, in the order of their names; hidden ones are passed over."""
    if not folder.is_dir():
        return []
    found = [path for pattern in ("*.yaml", "*.yml") for path in folder.rglob(pattern)]
    return sorted(
        path
        for path in found
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _read(file: Path, root: Path, merged: Merged) -> list[Finding]:
    """Parse and check one file, and merge its entries."""
    name = _relative(file, root)
    try:
        content = file.read_bytes()
    except OSError as error:
        return [Finding(Position(name, 1, 1), f"the file cannot be read: {error.strerror}", "unreadable")]
    data, positions, found = _yaml.parse(content, name)
    if data is None and not found:
        return []  # an empty file, or comments only
    if any(each.rule in ("syntax", "encoding", "too-deep", "too-large", "several-documents") for each in found):
        return found
    for path, finding in _schema.findings(data, positions):
        found.append(finding)
        if len(path) >= 2:
            merged.broken.add((str(path[0]), str(path[1])))
    if isinstance(data, Mapping):
        found += _merge(data, positions, merged)
    return found


def _merge(data: Mapping[str, Any], positions: _yaml.Positions, merged: Merged) -> list[Finding]:
    found = []
    new: set[tuple[str | int, ...]] = set()
    for collection in COLLECTIONS:
        entries = data.get(collection)
        if not isinstance(entries, Mapping):
            continue
        known = merged.entries.setdefault(collection, {})
        for name, entry in entries.items():
            where = positions[collection, name, _yaml.KEY]
            if name in known:
                first = merged.where[collection, name]
                found.append(
                    Finding(
                        where,
                        f"{name} stands in {collection} a second time; the first is at {first}",
                        "duplicate-entry",
                    )
                )
                continue
            known[name] = entry
            merged.where[collection, name] = where
            new.add((collection, name))
    for path, each in positions.items():
        if len(path) > 2 and path[:2] in new and path[-1] != _yaml.KEY:
            merged.where[path] = each
    return found


def _user_data(merged: Merged, root: Path) -> list[Finding]:
    found = []
    for name, config in merged.sound("launchConfigs"):
        if "userData" not in config:
            continue
        where = merged.place("launchConfigs", name, "userData")
        try:
            text = _user_data_text(config["userData"], merged.where["launchConfigs", name], root)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            found.append(
                Finding(
                    where,
                    f"the user data of launch config {name} cannot be read: {reason}",
                    "unreadable",
                    str(config["userData"].get("file", "")),
                )
            )
            continue
        if len(text.encode()) > MAX_USER_DATA:
            found.append(
                Finding(
                    where,
                    f"the user data of launch config {name} has {len(text.encode())} bytes; EC2 takes {MAX_USER_DATA}",
                    "too-large",
                )
            )
    return found


def _user_data_text(entry: Mapping[str, str], where: Position, root: Path) -> str:
    if "text" in entry:
        return entry["text"]
    return ((root / where.path).parent / entry["file"]).read_text()


def _relative(path: Path, root: Path) -> str:
    """Relative to the root where it lies in it, POSIX style."""
    path = Path(os.path.normpath(path))
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def _estate(merged: Merged, root: Path) -> Estate:
    """The typed model of a spec without errors."""
    sources = {name: _source(name, entry, merged, root) for name, entry in merged.of("sources").items()}
    schedules = {name: _schedule(entry) for name, entry in merged.of("schedules").items()}
    configs = {name: _launch_config(name, entry, merged, root) for name, entry in merged.of("launchConfigs").items()}
    servers = {}
    for name, entry in merged.of("servers").items():
        servers[name] = Server(
            name=name,
            source=sources[entry["source"]],
            locator=entry["locator"],
            schedule=schedules[entry["schedule"]] if "schedule" in entry else Schedule(run_once=True),
            launch_config=configs[entry["launchConfig"]] if "launchConfig" in entry else None,
            image=ImageOptions(**{_snake(key): value for key, value in entry.get("image", {}).items()}),
            quiesce=entry.get("quiesce", "try"),
            tags=entry.get("tags", {}),
        )
    return Estate(
        sources=sources,
        servers=servers,
        applications={name: _application(name, entry) for name, entry in merged.of("applications").items()},
        waves={name: _wave(name, entry) for name, entry in merged.of("waves").items()},
        positions={(str(path[0]), str(path[1])): where for path, where in merged.where.items() if len(path) == 2},
    )


def _source(name: str, entry: Mapping[str, Any], merged: Merged, root: Path) -> Source:
    here = (root / merged.where["sources", name].path).parent
    return Source(name, {**entry, "path": _relative(here / entry["path"], root)})


def _schedule(entry: Mapping[str, Any]) -> Schedule:
    every = entry.get("every")
    seconds = int(every[:-1]) * _UNITS[every[-1]] if every else None
    return Schedule(seconds, bool(entry.get("continuous")), bool(entry.get("runOnce")), entry.get("keepImages", 3))


def _launch_config(name: str, entry: Mapping[str, Any], merged: Merged, root: Path) -> LaunchConfig:
    values: dict[str, Any] = {
        _snake(key): tuple(value) if isinstance(value, list) else value for key, value in entry.items()
    }
    if "userData" in entry:
        values["user_data"] = _user_data_text(entry["userData"], merged.where["launchConfigs", name], root)
    return LaunchConfig(name=name, **values)


def _application(name: str, entry: Mapping[str, Any]) -> Application:
    groups = entry["groups"]
    order = graphlib.TopologicalSorter({group: groups[group].get("after", ()) for group in groups}).static_order()
    ordered = tuple(
        Group(group, tuple(groups[group]["servers"]), tuple(groups[group].get("after", ()))) for group in order
    )
    return Application(name, entry.get("phase", "replicate"), ordered, entry.get("tags", {}))


def _wave(name: str, entry: Mapping[str, Any]) -> Wave:
    window = entry.get("window")
    opens, closes = (moment_of(window["opens"]), moment_of(window["closes"])) if window else (None, None)
    return Wave(name, tuple(entry["applications"]), Window(opens, closes) if opens and closes else None)


def _snake(key: str) -> str:
    return re.sub(r"([A-Z])", lambda found: f"_{found[1].lower()}", key)
