"""What a stack's variables stand for, as its files say: Pulumi.yaml and Pulumi.STACK.yaml, without the engine.

Pulumi's own rules (docs "Project file reference" and "Stack settings file reference"): a setting's key has its project before a
colon; Pulumi.yaml may give defaults; a value `{secure: ...}` is a secret, encrypted. What an ESC environment adds is known to
the engine alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from rehost.spec._findings import Finding, shown
from rehost.spec._syntax import MAX_BYTES
from rehost.spec._variables import NoStack, Variables

#: All scalars as they are written: what they are is decided where they are used.
_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_PREFIX, _SUFFIXES = "Pulumi.", (".yaml", ".yml")


def stacks(root: Path) -> tuple[str, ...]:
    """The stacks that have a settings file in the project of `root`."""
    project = _project_file(root)
    if project is None:
        return ()
    home = _settings_folder(project)
    try:
        names = [each.name for each in home.iterdir() if each.is_file()]
    except OSError:
        return ()
    found = {
        name[len(_PREFIX) : -len(suffix)]
        for name in names
        for suffix in _SUFFIXES
        if name.startswith(_PREFIX) and name.endswith(suffix) and len(name) > len(_PREFIX) + len(suffix) - 1
    }
    return tuple(sorted(found - {""}))


def variables_of(root: Path, stack: str | None = None) -> tuple[Variables | NoStack, list[Finding]]:
    """Those of `stack`; without it those of the one in PULUMI_STACK, or of the only one that has a file."""
    known = stacks(root)
    name = stack or os.environ.get("PULUMI_STACK") or (known[0] if len(known) == 1 else None)
    if not name:
        return NoStack(known), []
    name = name.rsplit("/", 1)[-1]  # it may be written ORGANISATION/PROJECT/STACK
    file = _project_file(root)
    if file is None:
        return Variables(name), []
    findings: list[Finding] = []
    project = _mapping(file, root, findings)
    title = project.get("name")
    title = title if isinstance(title, str) and title else "rehost"
    values: dict[str, str] = {}
    secrets: set[str] = set()
    for key, value in _mapping_of(project.get("config")).items():
        _take(_key(title, key), value, values, secrets, is_declared=True)
    home = _settings_folder(file)
    for suffix in _SUFFIXES:
        settings = home / f"{_PREFIX}{name}{suffix}"
        if settings.is_file():
            for key, value in _mapping_of(_mapping(settings, root, findings).get("config")).items():
                _take(_key(title, key), value, values, secrets, is_declared=False)
            break
    return Variables(name, title, values, frozenset(secrets)), findings


def _take(key: str, value: Any, values: dict[str, str], secrets: set[str], *, is_declared: bool) -> None:
    if isinstance(value, Mapping):
        if "secure" in value and not is_declared:
            values.pop(key, None)
            secrets.add(key)
            return
        if not is_declared:
            return  # structured: no text that could stand in a value
        if value.get("secret") == "true":
            secrets.add(key)
            return
        value = value.get("value", value.get("default"))
    if isinstance(value, str) and key not in secrets:
        values[key] = value


def _key(project: str, key: str) -> str:
    return key if ":" in key else f"{project}:{key}"


def _project_file(root: Path) -> Path | None:
    """Pulumi.yaml of the folder, or of the nearest one above it."""
    for folder in (root, *root.parents):
        for suffix in _SUFFIXES:
            if (folder / f"Pulumi{suffix}").is_file():
                return folder / f"Pulumi{suffix}"
    return None


def _settings_folder(project: Path) -> Path:
    folder = _mapping(project, project.parent, []).get("stackConfigDir")
    return project.parent / folder if isinstance(folder, str) else project.parent


def _mapping(file: Path, root: Path, findings: list[Finding]) -> Mapping[str, Any]:
    shown_name = os.path.relpath(file, root)
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES} bytes")
        data = yaml.load(content, Loader=_LOADER)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        message = f"the settings of the stack cannot be read: {shown(reason, 120)}"
        findings.append(Finding(shown_name, 1, 1, message, rule="unreadable"))
        return {}
    return _mapping_of(data)


def _mapping_of(data: Any) -> Mapping[str, Any]:
    return data if isinstance(data, Mapping) and all(isinstance(key, str) for key in data) else {}
