"""From a folder of files to an estate, in stages; each of them reports everything that it finds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rehost.spec import (
    _after_launch,
    _build,
    _channels,
    _checks,
    _image_limits,
    _launch_limits,
    _limits,
    _schema,
    _secrets,
    _times,
    _user_data,
    _versions,
    _yaml,
)
from rehost.spec._files import Folder
from rehost.spec._findings import MAX_ERRORS, Finding, SpecErrors, bounded, too_many
from rehost.spec._merge import SECTIONS, Merged
from rehost.spec._model import Estate

#: Findings of the schema that make a value useless to the checks. The others are about a key of it.
_USELESS = frozenset({"wrong-type", "wrong-value", "duplicate-item", "empty", "secret-value"})


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
    """The estate, None if there are errors; and all findings, warnings included, as they stand in the files.

    Only files of the spec are read, and those that it takes user data from: no source, no network.
    """
    place = Folder.at(folder, root)
    merged = Merged()
    found: set[Finding] = set()
    for name, content in place.read().items():
        document = _yaml.parse(content, name)
        found.update(document.findings)
        if old := _versions.finding(document):
            found.add(old)
            merged.unsure.update(SECTIONS)
            continue
        if document.is_whole and document.data is not None:
            found.update(_against_schema(document, merged))
            found.update(bounded(_secrets.findings(document)))
        found.update(bounded(merged.add(document)))
    if place.findings:
        found.update(place.findings)
        merged.unsure.update(SECTIONS)
    found.update(bounded(_checks.findings(merged)))
    found.update(bounded(_after_launch.findings(merged)))
    found.update(bounded(_limits.findings(merged)))
    found.update(bounded(_launch_limits.findings(merged)))
    found.update(bounded(_times.findings(merged)))
    found.update(bounded(_channels.findings(merged)))
    found.update(bounded(_image_limits.findings(merged)))
    user_data, wrong = _user_data.read(merged, place)
    found.update(wrong)
    if not (found or merged.entries["servers"]):
        message = "the spec declares no servers"
        found.add(Finding(place.relative(place.path), 1, 1, message, severity="warning", rule="no-servers"))
    estate = None if any(each.is_error for each in found) else _build.estate(merged, place, user_data)
    return estate, sorted(found)


def _against_schema(document: _yaml.Document, merged: Merged) -> Iterator[Finding]:
    """What the schema refuses. A document with too much of it goes no further: nothing in it can be relied on."""
    for number, (path, finding) in enumerate(_schema.findings(document)):
        if number == MAX_ERRORS:
            yield too_many(finding.position)
            document.data, document.is_whole = None, False
            return
        yield finding
        if finding.rule in _USELESS:
            merged.wrong.add(path)
