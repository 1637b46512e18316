"""A file of an older version of the spec language, written in the present one.

`rehost/v1alpha1` is how the language was first planned, in the words of AWS SMS; no release of rehost has read it. It differs
from `rehost/v1` in nothing but these keys:

| rehost/v1alpha1 | rehost/v1 |
|---|---|
| a schedule's `frequency`, in hours, 1 to 24 | `every`, such as `12h` |
| its `numberOfRecentAmisToKeep` | `keepImages` |
| its `seedReplicationTime` | `seedTime` |
| a server's `encrypted`, `kmsKeyId`, `roleName`, `description` | `encrypt`, `kmsKey`, `role`, `description` of its `image` |
| its `licenseType`, `AWS` or `BYOL` | `license` of its `image`, `aws` or `byol` |
| an application's `serverGroups`, a list in launch order of `name` and `servers` | `groups`, by name, each `after` the one before |
"""

from __future__ import annotations

import io
from collections.abc import Callable, MutableMapping
from copy import deepcopy
from typing import Any

from ruamel.yaml.error import YAMLError

from rehost.spec import _yaml
from rehost.spec._findings import Finding, short, shown
from rehost.spec._syntax import decode
from rehost.spec._versions import CURRENT
from rehost.spec._yaml import Path
from rehost.spec.editing import _remarks
from rehost.spec.editing._tidy import round_trip, tidy

Tree = MutableMapping[str, Any]


class _Cannot(Exception):
    def __init__(self, path: Path, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.path, self.message, self.hint = path, message, hint


def migrate(content: bytes, name: str, *, of: str | None = None) -> tuple[str | None, list[Finding]]:
    """A file of an older version in the present one, comments kept; None and no finding where it is of that already.

    `of`: the version of a file that says none. With findings it cannot be rewritten: they say where and why.
    """
    document = _yaml.parse(content, name)
    text = decode(content, name)
    if document.findings or isinstance(text, Finding):
        return None, document.findings
    data = document.data
    if not isinstance(data, dict) or (version := data.get("apiVersion", of)) in (None, CURRENT):
        return None, []
    if version not in STEPS:
        known = ", ".join(STEPS)
        where = document.at(("apiVersion",))
        message = f"nothing is known of the version {shown(version)}"
        return None, [Finding.at(where, "wrong-value", message, f"it can be rewritten from: {known}")]
    wanted = deepcopy(data)
    try:
        STEPS[version](wanted)
        tree = round_trip().load(text)
        STEPS[version](tree)
    except _Cannot as error:
        at = document.at_key(error.path)
        return None, [Finding.at(at, "not-migrated", error.message, error.hint)]
    except YAMLError as error:
        return None, [Finding(name, 1, 1, f"ruamel.yaml does not read it: {type(error).__name__}", rule="not-migrated")]
    written = io.StringIO()
    round_trip().dump(tree, written)
    shaped, findings = tidy(written.getvalue().encode(), name)
    if shaped is None:
        return None, findings
    if _yaml.parse(shaped.encode(), name).data != wanted:
        return None, [Finding(name, 1, 1, "its values would not be the same", rule="not-migrated")]
    before, after = ([each.words for each in _remarks.of(each)] for each in (text, shaped))
    lost = next((each for each in before if each not in after), None)
    if lost is not None:
        message = f"the comment {shown(lost)} would be lost"
        return None, [Finding(name, 1, 1, message, "put it on a line of its own", rule="not-migrated")]
    return shaped, []


def _from_v1alpha1(tree: Tree) -> None:
    for path, schedule in _entries(tree, "schedules"):
        if "frequency" in schedule:
            hours = str(schedule["frequency"])
            if not (hours.isascii() and hours.isdigit() and 1 <= int(hours) <= 24):
                raise _Cannot((*path, "frequency"), f"the frequency {shown(hours)} is not a number of hours, 1 to 24")
            _rename(schedule, path, "frequency", "every", f"{int(hours)}h")
        for old, new in (("numberOfRecentAmisToKeep", "keepImages"), ("seedReplicationTime", "seedTime")):
            _rename(schedule, path, old, new)
    for path, server in _entries(tree, "servers"):
        if "licenseType" in server:
            licence = str(server["licenseType"])
            if licence not in ("AWS", "BYOL"):
                raise _Cannot((*path, "licenseType"), f"the licenseType {shown(licence)} is neither AWS nor BYOL")
            _move(server, path, "licenseType", "license", licence.lower())
        moved = (("encrypted", "encrypt"), ("kmsKeyId", "kmsKey"), ("roleName", "role"), ("description",) * 2)
        for old, new in moved:
            _move(server, path, old, new)
    for path, application in _entries(tree, "applications"):
        if "serverGroups" in application:
            groups = _groups(application["serverGroups"], (*path, "serverGroups"), application)
            _rename(application, path, "serverGroups", "groups", groups)
    tree["apiVersion"] = CURRENT


def _entries(tree: Tree, section: str) -> list[tuple[Path, Tree]]:
    entries = tree.get(section)
    if not isinstance(entries, MutableMapping):
        return []
    return [((section, name), each) for name, each in entries.items() if isinstance(each, MutableMapping)]


def _rename(tree: Tree, path: Path, old: str, new: str, value: Any = None) -> None:
    """Another key, and perhaps another value, in the same place, with the comment that stood there."""
    if old not in tree:
        return
    if new in tree:
        raise _Cannot((*path, old), f"{old} and {new} mean the same, and both stand here", "take one of them out")
    value = tree[old] if value is None else value
    place = list(tree).index(old)
    comments = getattr(tree, "ca", None)
    kept = comments.items.pop(old, None) if comments else None
    del tree[old]
    if comments:
        tree.insert(place, new, value)  # type: ignore[attr-defined]
        if kept is not None:
            comments.items[new] = kept
    else:
        tree[new] = value


def _move(server: Tree, path: Path, old: str, new: str, value: Any = None) -> None:
    """From the server into its image."""
    if old not in server:
        return
    value = server[old] if value is None else value
    image = server.get("image")
    if image is None:
        image = type(server)()
        if hasattr(image, "fa"):
            image.fa.set_flow_style()
        image[new] = value
        _rename(server, path, old, "image", image)
        return
    if not isinstance(image, MutableMapping):
        raise _Cannot((*path, "image"), "the image is no mapping: there is no place for what belongs to it")
    if new in image:
        raise _Cannot((*path, old), f"{old} and image.{new} mean the same, and both stand here", "take one of them out")
    image[new] = value
    comments = getattr(server, "ca", None)
    if comments and old in comments.items and "image" not in comments.items:
        comments.items["image"] = comments.items.pop(old)
    del server[old]


def _groups(listed: Any, path: Path, like: Tree) -> Tree:
    if not isinstance(listed, list):
        raise _Cannot(path, "serverGroups is a list of groups, each with name and servers")
    groups: Tree = type(like)()
    before: str | None = None
    for number, each in enumerate(listed):
        group = dict(each) if isinstance(each, MutableMapping) else {}
        name = str(group.pop("name", ""))
        if not name or name in groups or set(group) != {"servers"}:
            why = (
                f"there are two groups {short(name)}"
                if name in groups
                else "a group has name and servers, and nothing else"
            )
            raise _Cannot((*path, number), why)
        entry: Tree = type(like)()
        if hasattr(entry, "fa") and not (each.ca.items or getattr(group["servers"], "ca", each.ca).items):
            entry.fa.set_flow_style()
            if hasattr(group["servers"], "fa"):
                group["servers"].fa.set_flow_style()
        entry["servers"] = group["servers"]
        if before is not None:
            after: Any = type(listed)([before])
            if hasattr(after, "fa"):
                after.fa.set_flow_style()
            entry["after"] = after
        groups[name], before = entry, name
    return groups


STEPS: dict[str, Callable[[Tree], None]] = {"rehost/v1alpha1": _from_v1alpha1}
