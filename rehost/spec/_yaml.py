"""YAML into plain data with a position for every value.

The core schema of YAML 1.2: `no`, `on` and `2026-01-01` are strings, `0o17` aside numbers are decimal. Refused with their place:
duplicate keys, anchors, aliases, merge keys, tags, keys that are not strings, several documents in a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from rehost.spec._findings import Finding, Position

MAX_DEPTH = 40
MAX_BYTES = 16 << 20

Path = tuple[str | int, ...]
#: The place of each value, and (under `(*path, KEY)`) of each key.
Positions = dict[Path, Position]

_TYPES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("null", re.compile(r"^(?:null|Null|NULL|~|)$")),
    ("bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")),
    ("int", re.compile(r"^[-+]?[0-9]{1,18}$")),
    ("float", re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,3})?$")),
)


class Stop(Exception):
    """The file cannot be read any further."""


def parse(content: bytes, name: str) -> tuple[Any, Positions, list[Finding]]:
    """The data of one file (None where it is empty or broken), the positions in it, and what is wrong with it."""
    findings: list[Finding] = []
    positions: Positions = {}
    if len(content) > MAX_BYTES:
        return (
            None,
            {},
            [_at(name, 1, 1, f"the file has {len(content)} bytes; at most {MAX_BYTES} are read", "too-large")],
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return None, {}, [_at(name, line, 1, "the file is not UTF-8", "encoding")]
    try:
        events = _events(text, name, findings)
        data = _document(events, name, positions, findings)
    except Stop:
        data = None
    return data, positions, findings


def _events(text: str, name: str, findings: list[Finding]) -> Iterator[Any]:
    """The parser's events: they are refused one by one, so an alias is never expanded and depth never recursed into."""
    try:
        yield from yaml.parse(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(filter(None, (error.context, error.problem)))
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        findings.append(_at(name, line, column, f"this is not YAML: {problem}", "syntax"))
        raise Stop from None
    except yaml.YAMLError as error:
        findings.append(_at(name, 1, 1, f"this is not YAML: {str(error).splitlines()[0]}", "syntax"))
        raise Stop from None


_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _document(events: Iterator[Any], name: str, positions: Positions, findings: list[Finding]) -> Any:
    """Build the data with a stack of open collections: no recursion, whatever the file holds."""
    root: list[Any] = []
    stack: list[_Open] = []
    documents = 0
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                findings.append(
                    _mark(
                        name, event, "a second document begins here; put it into a file of its own", "several-documents"
                    )
                )
                raise Stop
        if not isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            stack.pop()
            continue
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            findings.append(
                _mark(
                    name,
                    event,
                    "anchors and aliases are not part of the spec language; write the value out, or name it in a schedule or launch config",
                    "anchor",
                )
            )
            if isinstance(event, yaml.AliasEvent):
                _place(stack, root, None, event, name, positions, findings)
                continue
        tag = getattr(event, "tag", None)
        if tag and not (isinstance(event, yaml.ScalarEvent) and tag == "!"):
            findings.append(_mark(name, event, f"the tag {tag} is not part of the spec language", "tag"))
        if isinstance(event, yaml.ScalarEvent):
            _place(stack, root, _scalar(event), event, name, positions, findings)
            continue
        if len(stack) >= MAX_DEPTH:
            findings.append(_mark(name, event, f"this is nested more than {MAX_DEPTH} deep", "too-deep"))
            raise Stop
        value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        path = _place(stack, root, value, event, name, positions, findings)
        stack.append(_Open(value, path))
    return root[0] if root else None


class _Open:
    """A mapping or sequence whose end has not come yet."""

    def __init__(self, value: Any, path: Path) -> None:
        self.value, self.path = value, path
        self.key: str | None = None  # of a mapping, once read and until its value comes
        self.is_waiting = False


def _place(
    stack: list[_Open],
    root: list[Any],
    value: Any,
    event: Any,
    name: str,
    positions: Positions,
    findings: list[Finding],
) -> Path:
    """Put a value where it belongs; returns its path. Inside a mapping, keys and values alternate."""
    where = Position(name, event.start_mark.line + 1, event.start_mark.column + 1)
    if not stack:
        root.append(value)
        positions[()] = where
        return ()
    top = stack[-1]
    if isinstance(top.value, list):
        top.value.append(value)
        path: Path = (*top.path, len(top.value) - 1)
        positions[path] = where
        return path
    if not top.is_waiting:
        top.is_waiting = True
        top.key = _key(top, value, event, where, positions, findings)
        return (*top.path, "")
    top.is_waiting = False
    if top.key is None:
        return (*top.path, "")
    path = (*top.path, top.key)
    top.value[top.key] = value
    positions[path] = where
    return path


#: Marks the position of a key, as opposed to that of its value.
KEY = -1


def _key(
    top: _Open, value: Any, event: Any, where: Position, positions: Positions, findings: list[Finding]
) -> str | None:
    """The key, or None where its value is to be passed over."""
    if not isinstance(event, yaml.ScalarEvent):
        findings.append(Finding(where, "a key must be a word", "key-type"))
        return None
    if event.implicit[0] and event.value == "<<":
        findings.append(
            Finding(where, "merge keys (<<) are not part of the spec language; write the entries out", "merge-key")
        )
        return None
    key = str(event.value)  # a number as a name (`101:`) is meant as its text
    if key in top.value:
        first = positions[(*top.path, key, KEY)]
        findings.append(
            Finding(
                where, f"the key {key} stands here a second time; the first is at line {first.line}", "duplicate-key"
            )
        )
        return None
    positions[(*top.path, key, KEY)] = where
    return key


def _scalar(event: Any) -> Any:
    if not event.implicit[0]:  # quoted, or a block: text
        return event.value
    kind = next((kind for kind, pattern in _TYPES if pattern.match(event.value)), "str")
    if kind == "null":
        return None
    if kind == "bool":
        return event.value.lower() == "true"
    if kind == "int":
        return int(event.value)
    return float(event.value) if kind == "float" else event.value


def _mark(name: str, event: Any, message: str, rule: str) -> Finding:
    return _at(name, event.start_mark.line + 1, event.start_mark.column + 1, message, rule)


def _at(name: str, line: int, column: int, message: str, rule: str) -> Finding:
    return Finding(Position(name, line, column), message, rule)
