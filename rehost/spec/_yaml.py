"""YAML into plain data with a position for every key and value.

Refused with their place: duplicate keys, anchors, aliases, merge keys, tags, keys that are not text, several documents in a
file. The data is built from the parser's events, with a stack of its own: an alias is never expanded, and depth is never
recursed into.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import yaml

from rehost.spec import _syntax
from rehost.spec._findings import MAX_ERRORS, Finding, Position, short, too_many
from rehost.spec._scalars import plain

Path = tuple[str | int, ...]

#: libyaml's, several times as fast, where PyYAML was built with it.
LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass
class Document:
    """One file. Paths lead from its top: `("servers", "web-01", "image")`."""

    name: str
    data: Any = None
    is_empty: bool = True
    is_whole: bool = False  # read to its end
    findings: list[Finding] = field(default_factory=list)
    values: dict[Path, tuple[int, int]] = field(default_factory=dict)  # line and column
    keys: dict[Path, tuple[int, int]] = field(default_factory=dict)
    ends: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)  # of scalars, by where they begin
    refused: set[Path] = field(default_factory=set)  # values that are not what was meant: their finding says why
    variables: set[Path] = field(default_factory=set)  # values with ${ in them

    def at(self, path: Path) -> Position:
        """Where a value begins, or the nearest thing around it."""
        while path and path not in self.values:
            path = path[:-1]
        return Position(self.name, *self.values.get(path, (1, 1)))

    def at_key(self, path: Path) -> Position:
        """Where the key of a value begins; the value itself, where it has none."""
        return Position(self.name, *self.keys[path]) if path in self.keys else self.at(path)


def parse(content: bytes, name: str, *, loader: type[Any] | None = None, with_ends: bool = False) -> Document:
    """Read one file; nothing that it may hold raises. `with_ends`: the document's `ends` are filled in, which takes memory."""
    document = Document(name)
    text = _syntax.decode(content, name)
    if isinstance(text, Finding):
        document.findings.append(text)
        return document
    builder = _Builder(document, with_ends)
    try:
        for event in yaml.parse(text, Loader=loader or LOADER):
            builder.add(event)
        document.is_whole = True
    except _Stop:
        pass
    except yaml.YAMLError as error:
        document.findings.append(_syntax.explain(error, text, name))
    return document


def from_data(data: Any, name: str) -> Document:
    """A document that no file holds: plain data, of which all stands in one place."""
    document = Document(name, data, is_empty=False, is_whole=True)
    waiting: list[tuple[Path, Any]] = [((), data)]
    while waiting:
        path, value = waiting.pop()
        document.values[path] = 1, 1
        if isinstance(value, str) and "${" in value:
            document.variables.add(path)
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, each in inner:
            waiting.append(((*path, key), each))
            if isinstance(key, str):
                document.keys[*path, key] = 1, 1
    return document


class _Stop(Exception):
    """The file cannot be read any further; a finding says why."""


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not come yet."""

    value: Any
    path: Path | None  # None where it is nobody's value, below a key that was refused
    is_muted: bool  # below a merge key: what is wrong with it has been said
    key: str | None = None
    is_waiting: bool = False  # a mapping's key was read, its value comes next
    mutes_next: bool = False


class _Builder:
    def __init__(self, document: Document, with_ends: bool) -> None:
        self.document = document
        self.with_ends = with_ends
        self.stack: list[_Open] = []
        self.documents = self.events = 0

    def add(self, event: yaml.Event) -> None:
        self.events += 1
        if self.events > 2 * _syntax.MAX_VALUES:
            message = f"the file has more than {_syntax.MAX_VALUES} values and was not read further"
            self._find(event, "too-large", message, "spread it over several files")
            self.document.data = None  # half of it would be checked for nothing
            raise _Stop
        if isinstance(event, yaml.ScalarEvent):
            self._check(event)
            if self.with_ends and event.end_mark is not None:
                self.document.ends[_place_of(event)] = event.end_mark.line + 1, event.end_mark.column + 1
            path = self._place(plain(event.value) if event.implicit[0] else event.value, event)
            if path is not None and "${" in event.value:
                self.document.variables.add(path)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._check(event)
            if len(self.stack) >= _syntax.MAX_DEPTH:
                self._find(event, "too-deep", _syntax.TOO_DEEP)
                raise _Stop
            value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
            muted = bool(self.stack) and (self.stack[-1].is_muted or self.stack[-1].mutes_next)
            self.stack.append(_Open(value, self._place(value, event), muted))
        elif isinstance(event, yaml.CollectionEndEvent):
            self.stack.pop()
        elif isinstance(event, yaml.AliasEvent):
            self._find(
                event,
                "anchor",
                f"the alias *{short(event.anchor or '')} is not part of the spec language",
                _NAMED_INSTEAD,
            )
            path = self._place(None, event)
            if path is not None:
                self.document.refused.add(path)
        elif isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                hint = "put it into a file of its own"
                self._find(event, "several-documents", "a second document begins here", hint)
                raise _Stop

    def _check(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        """What any node may carry, and ours may not."""
        if event.anchor:
            self._find(
                event, "anchor", f"the anchor &{short(event.anchor)} is not part of the spec language", _NAMED_INSTEAD
            )
        if event.tag and event.tag != "!":
            self._find(event, "tag", f"the tag {short(event.tag)} is not part of the spec language")

    def _place(self, value: Any, event: yaml.NodeEvent) -> Path | None:
        """Put a value where it belongs; its path, or None. Inside a mapping, keys and values alternate."""
        if not self.stack:
            self.document.data, self.document.is_empty = value, False
            return self._remember((), event)
        top = self.stack[-1]
        if isinstance(top.value, list):
            top.value.append(value)
            return None if top.path is None else self._remember((*top.path, len(top.value) - 1), event)
        if not top.is_waiting:
            top.is_waiting = True
            top.key = self._key(top, value, event)
            return None
        top.is_waiting = top.mutes_next = False
        if top.key is None:
            return None
        top.value[top.key] = value
        return None if top.path is None else self._remember((*top.path, top.key), event)

    def _remember(self, path: Path, event: yaml.NodeEvent) -> Path:
        self.document.values[path] = _place_of(event)
        return path

    def _key(self, top: _Open, value: Hashable, event: yaml.NodeEvent) -> str | None:
        """The key as text, or None where its value is to be passed over."""
        if not isinstance(event, yaml.ScalarEvent):
            if not isinstance(event, yaml.AliasEvent):
                self._find(event, "key-type", "a key must be text, not a mapping or a list")
            return None
        if event.value == "<<" and event.implicit[0]:
            self._find(event, "merge-key", "the merge key << is not part of the spec language", _NAMED_INSTEAD)
            top.mutes_next = True
            if top.path is not None:
                self.document.refused.add(top.path)
            return None
        if not isinstance(value, str):
            what = f"a key must be text, and {short(event.value)} is not" if event.value else "a key is missing here"
            self._find(event, "key-type", what, "put it in quotes" if event.value else "")
        path = None if top.path is None else (*top.path, event.value)
        if event.value in top.value:
            first = f"; it stands in line {self.document.keys[path][0]} already" if path is not None else ""
            self._find(event, "duplicate-key", f"the key {short(event.value)} stands here a second time{first}")
            return None
        if path is not None:
            self.document.keys[path] = _place_of(event)
        return event.value

    def _find(self, event: yaml.Event, rule: str, message: str, hint: str = "") -> None:
        if self.stack and (self.stack[-1].is_muted or self.stack[-1].mutes_next):
            return
        found = self.document.findings
        where = Position(self.document.name, *_place_of(event))
        if len(found) >= MAX_ERRORS:
            found.append(too_many(where))
            raise _Stop
        found.append(Finding.at(where, rule, message, hint))


_NAMED_INSTEAD = "write it out; what servers share has a name in schedules or launchConfigs"


def _place_of(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    if mark is None:  # never of a text that was parsed
        return 1, 1
    return mark.line + 1, mark.column + 1
