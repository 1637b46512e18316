"""From a folder of files to an estate, in stages; each of them reports everything that it finds."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rehost.spec import (
    _after_launch,
    _build,
    _channels,
    _checks,
    _expand,
    _image_limits,
    _launch_limits,
    _limits,
    _schema,
    _secrets,
    _selections,
    _stacks,
    _templates,
    _times,
    _user_data,
    _variables,
    _versions,
    _yaml,
)
from rehost.spec._files import Folder
from rehost.spec._findings import MAX_ERRORS, Finding, SpecErrors, bounded, short, too_many
from rehost.spec._merge import ALL_SECTIONS, Merged
from rehost.spec._model import Estate
from rehost.spec._scalars import Scalar
from rehost.spec._selections import Selection
from rehost.spec._variables import NoStack, Variables

#: Findings of the schema that make a value useless to the checks. The others are about a key of it.
_USELESS = frozenset({"wrong-type", "wrong-value", "duplicate-item", "empty", "secret-value"})


def load(
    folder: Path,
    *,
    root: Path | None = None,
    stack: str | None = None,
    variables: Variables | None = None,
    accept_stale: bool = False,
) -> Estate:
    """The estate that the files under `folder` declare. Raises `SpecErrors` with every finding.

    Paths in findings and in the model are relative to `root` (default: the folder's parent), so that they are the same in
    every check-out. `variables` is what `${...}` stands for; without it, what the settings files of `stack` say, or of the
    stack in PULUMI_STACK, or of the only one that has a file. `accept_stale` takes selections as they were written down, for
    what comes before selecting: looking at the sources.
    """
    estate, found = check(folder, root=root, stack=stack, variables=variables, accept_stale=accept_stale)
    if estate is None:
        raise SpecErrors(found)
    return estate


def check(
    folder: Path,
    *,
    root: Path | None = None,
    stack: str | None = None,
    variables: Variables | None = None,
    accept_stale: bool = False,
) -> tuple[Estate | None, list[Finding]]:
    """The estate, None if there are errors; and all findings, warnings included, as they stand in the files.

    Only files of the spec are read, those that it takes user data from, and where it uses variables, the settings files of
    the stack: no source, no network. What the arguments mean: see `load`.
    """
    place = Folder.at(folder, root)
    filler = _Filler(place, stack, variables)
    return _checked(place, _parsed(place), filler, accept_stale=accept_stale)


def of(data: Mapping[str, Any], *, root: Path, variables: Variables | None = None) -> Estate:
    """The estate that a program declares, as data of the shape of a file: it is checked like one. Raises `SpecErrors`.

    Paths in it are relative to `root`. The places of findings are lines of no file, and all the same.
    """
    place = Folder.at(root, root)
    try:
        document = _yaml.from_data(json.loads(json.dumps(data)), "program")
    except (TypeError, ValueError, RecursionError) as error:
        message = f"a spec is made of mappings, lists, text, numbers, true and false: {error}"
        raise SpecErrors([Finding("program", 1, 1, message, rule="wrong-type")]) from None
    estate, found = _checked(place, [document], _Filler(place, None, variables))
    if estate is None:
        raise SpecErrors(found)
    return estate


def check_stacks(
    folder: Path, *, root: Path | None = None, stacks: Sequence[str] = ()
) -> tuple[Estate | None, list[Finding]]:
    """As `check`, for each of `stacks`: one that is in PULUMI_STACK, or all that have a settings file, where none is named.

    A finding of some of the stacks alone says so. The estate is that of the first stack; None if any of them has an error.
    """
    place = Folder.at(folder, root)
    named = os.environ.get("PULUMI_STACK")
    names: Sequence[str | None] = stacks or ([named] if named else _stacks.stacks(place.root)) or [None]
    estates: list[Estate | None] = []
    homes: dict[Finding, list[str]] = {}
    for name in names:
        filler = _Filler(place, name, None)
        estate, found = _checked(place, _parsed(place), filler)
        estates.append(estate)
        for each in found:
            homes.setdefault(each, []).append(str(name))
        if not filler.is_used:
            break
        place = Folder.at(folder, root)
    told = [
        each
        if len(where) == len(estates)
        else replace(each, message=f"{each.message}, on stack {' and '.join(map(short, where))}")
        for each, where in homes.items()
    ]
    return None if None in estates else estates[0], sorted(told)


def _checked(
    place: Folder, documents: Iterable[_yaml.Document], filler: _Filler, *, accept_stale: bool = False
) -> tuple[Estate | None, list[Finding]]:
    merged, found = _read(place, documents, filler)
    if accept_stale:
        found = {each for each in found if each.rule != "stale-selection"}
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


def selections(folder: Path, *, root: Path | None = None) -> tuple[list[Selection], dict[str, Any], list[Finding]]:
    """What a spec selects; the entries of servers that are no selection's, by name; and what keeps one from selecting.

    Other errors of the spec, and what was selected before, are no matter here: selecting may be what puts them right.
    """
    place = Folder.at(folder, root)
    merged, found = _read(place, _parsed(place), _Filler(place, None, None))
    ours = {"selections", "selected"}
    if merged.flawed & ours or merged.unsure & {*ours, "servers"}:
        return [], {}, sorted(each for each in found if each.is_error)
    own = {name: each for name, each in merged.entries["servers"].items() if name not in merged.chosen}
    return _selections.selections(merged), own, []


def _parsed(place: Folder) -> Iterator[_yaml.Document]:
    for name, content in place.read().items():
        yield _yaml.parse(content, name)


def _read(place: Folder, documents: Iterable[_yaml.Document], filler: _Filler) -> tuple[Merged, set[Finding]]:
    """All files as one, with everything put into the entries that they have from elsewhere."""
    merged = Merged()
    found: set[Finding] = set()
    for document in documents:
        found.update(document.findings)
        if old := _versions.finding(document):
            found.add(old)
            merged.unsure.update(ALL_SECTIONS)
            continue
        found.update(bounded(filler.fill(document, merged)))
        if document.is_whole and document.data is not None:
            found.update(_against_schema(document, merged))
            found.update(bounded(_secrets.findings(document)))
        found.update(bounded(merged.add(document)))
    found.update(filler.findings)
    if place.findings:
        found.update(place.findings)
        merged.unsure.update(ALL_SECTIONS)
    found.update(bounded(_templates.findings(merged)))
    found.update(bounded(_selections.findings(merged)))
    _expand.expand(merged)
    found.update(bounded(_templates.missing(merged)))
    return merged, found


class _Filler:
    """Puts variables into documents; what they stand for is looked up when the first one is met."""

    def __init__(self, place: Folder, stack: str | None, variables: Variables | None) -> None:
        self._place, self._stack = place, stack
        self._variables: Variables | NoStack | None = variables
        self.findings: list[Finding] = []
        self.is_used = False

    def fill(self, document: _yaml.Document, merged: Merged) -> Iterator[Finding]:
        if not document.variables and not any(_variables.MARK in str(path[-1]) for path in document.keys):
            return
        self.is_used = True
        if self._variables is None:
            self._variables, self.findings = _stacks.variables_of(self._place.root, self._stack)
        whole: dict[_yaml.Path, Scalar] = {}
        for path, finding in _variables.fill(document, self._variables, whole):
            # The text that stands there is not what was meant.
            document.refused.add(path)
            merged.wrong.add(path)
            merged.flawed.add(str(path[0]) if path else "")
            yield finding
        for path in _schema.not_text(document, whole) if whole else ():
            _variables.put(document, path, whole[path])


def _against_schema(document: _yaml.Document, merged: Merged) -> Iterator[Finding]:
    """What the schema refuses. A document with too much of it goes no further: nothing in it can be relied on."""
    for number, (path, finding) in enumerate(_schema.findings(document)):
        if number == MAX_ERRORS:
            yield too_many(finding.position)
            document.data, document.is_whole = None, False
            return
        yield finding
        merged.flawed.add(str(path[0]) if path else "")
        if finding.rule in _USELESS:
            merged.wrong.add(path)
