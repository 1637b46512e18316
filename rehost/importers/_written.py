"""The files of a draft, and the proof that a spec takes them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rehost import spec
from rehost.importers._assemble import Existing
from rehost.importers._draft import SECTIONS, Draft, Entry
from rehost.importers._errors import InventoryWrong
from rehost.importers._text import comment, flow, scalar

#: A spec's file holds 1 MiB; the rest is room for whoever edits it.
FILE_BYTES = 700_000
_LINE = 112
_ROUNDS = 20
#: Entries whose keys stand on lines of their own, so that a change of one is one line of a diff.
_OPEN = frozenset({"servers", "applications"})


@dataclass(frozen=True)
class Spec:
    """`files` by name; `warnings` are those that `rehost validate` has of them."""

    files: Mapping[str, str]
    warnings: Sequence[str]


@dataclass(frozen=True)
class _Place:
    file: str
    line: int
    section: str
    name: str


def written(draft: Draft, existing: Existing, *, stem: str) -> Spec:
    """The draft as files that a spec takes. An entry that it does not take becomes a comment with the reason.

    Raises InventoryWrong where even that does not help, which would be a fault of rehost.
    """
    for _ in range(_ROUNDS):
        files, places = _rendered(draft, stem)
        findings = _checked(files, draft, existing)
        errors = [each for each in findings if each.is_error]
        if not errors:
            return Spec(files, [str(each) for each in findings])
        blamed: dict[tuple[str, str], str] = {}
        for each in errors:
            place = _owner(places, Path(each.path).name, each.line)
            if place is not None:
                hint = f" ({each.hint})" if each.hint else ""
                blamed.setdefault((place.section, place.name), f"the spec does not take it: {each.message}{hint}")
        fresh = {key: why for key, why in blamed.items() if draft.entries[key[0]][key[1]].refused is None}
        if not fresh:
            break
        for (section, name), reason in fresh.items():
            draft.leave_out(section, name, reason)
    raise InventoryWrong([f"what was made of it is no spec, which is a fault of rehost: {errors[0]}"])


def _owner(places: Sequence[_Place], file: str, line: int) -> _Place | None:
    found = None
    for each in places:
        if each.file == file and each.line <= line:
            found = each
    return found


def _checked(files: Mapping[str, str], draft: Draft, existing: Existing) -> list[spec.Finding]:
    """As `rehost validate` would, with the sources that the spec has already."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "specs")
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text, "utf-8")
        (folder / "existing.yaml").write_text(_stand_ins(draft, existing), "utf-8")
        return spec.check(folder)[1]


def _stand_ins(draft: Draft, existing: Existing) -> str:
    """Entries of the spec that the draft's servers name. Of those that are not sources, the name alone matters here."""
    lines = []
    dummies = {"schedules": {"runOnce": True}, "launchConfigs": {"instanceType": "auto"}}
    for section, key in (("sources", "source"), ("schedules", "schedule"), ("launchConfigs", "launchConfig")):
        wanted = {each.body.get(key) for each in draft.live("servers").values()} - draft.entries[section].keys()
        known = sorted(each for each in existing.names.get(section, ()) if each in wanted)
        lines += [f"{section}:"] if known else []
        lines += [
            f"  {scalar(each)}: {flow(existing.sources.get(each) if section == 'sources' else dummies[section])}"
            for each in known
        ]
    return "\n".join([*lines, ""])


def _rendered(draft: Draft, stem: str) -> tuple[dict[str, str], list[_Place]]:
    files: dict[str, str] = {}
    places: list[_Place] = []
    lines: list[str] = []
    size = 0

    def begin(number: int) -> str:
        lines[:] = (
            [*_header(draft), f"apiVersion: {_version()}", ""] if number == 1 else [f"# Goes on from {stem}.yaml."]
        )
        return f"{stem}.yaml" if number == 1 else f"{stem}-{number}.yaml"

    name, number = begin(1), 1
    for section in SECTIONS:
        entries = draft.entries[section]
        if not entries:
            continue
        heading = f"{section}:" if draft.live(section) else f"{section}: {{}}"
        lines.append(heading)
        for key, entry in entries.items():
            if size > FILE_BYTES:
                files[name] = "\n".join(lines) + "\n"
                number, size = number + 1, 0
                name = begin(number)
                lines.append(heading)
            places.append(_Place(name, len(lines) + 1, section, key))
            block = _entry(section, key, entry)
            lines.extend(block)
            size += sum(len(line.encode()) + 1 for line in block)
        lines.append("")
    files[name] = "\n".join(lines).rstrip("\n") + "\n"
    return files, places


def _version() -> str:
    """Of the spec language that this rehost reads."""
    return str(spec.schema()["properties"]["apiVersion"]["default"])


def _header(draft: Draft) -> list[str]:
    return [line for text in draft.header for line in comment(text, 0)]


def _entry(section: str, name: str, entry: Entry) -> list[str]:
    about = [line for text in dict.fromkeys(entry.comments) for line in comment(text, 2)]
    body = _value(name, entry.body, 2, is_open=section in _OPEN)
    if entry.refused is not None:
        about = [*comment(f"Left out: {entry.refused}", 2), *about]
        body = [f"  # {line[2:]}" for line in body]
    return [*about, *body]


def _value(key: str, value: Any, indent: int, *, is_open: bool = False) -> list[str]:
    pad = " " * indent
    short = f"{pad}{scalar(key)}: {flow(value)}"
    if (len(short) <= _LINE and not is_open) or not value or not isinstance(value, dict | list):
        return [short]
    if isinstance(value, list):
        return [f"{pad}{scalar(key)}:", *(f"{pad}  - {flow(each)}" for each in value)]
    inner = [line for name, each in value.items() for line in _value(name, each, indent + 2, is_open=name == "groups")]
    return [f"{pad}{scalar(key)}:", *inner]
