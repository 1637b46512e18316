"""The comments of a YAML file, which no parser of data keeps: where they stand, and where they belong in another form of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from rehost.spec._syntax import lines_of

#: As `_yaml.LOADER`: libyaml's where there is one.
LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Remark:
    line: int  # from 0
    column: int
    words: str
    is_alone: bool  # on its line


@dataclass(frozen=True)
class _Entry:
    """A key or an item of a block, or the whole document: what a comment can belong to."""

    line: int
    column: int
    depth: int


def of(text: str) -> list[Remark]:
    """Every comment, in order. The text is YAML that can be read."""
    return _comments(lines_of(text), _scalars(text))


def aligned(before: str, after: str) -> list[str]:
    """The lines of `after`, the same file in another form, with its comments where they belonged in `before`.

    A comment on a line of its own is indented as the entry that it was indented with; one behind a value follows a space.
    """
    lines = stripped(after)
    old, new = of(before), of(after)
    if [each.words for each in old] != [each.words for each in new]:
        return lines  # the caller finds that out
    entries, shaped = _entries(before), _entries(after)
    for was, now in zip(old, new, strict=True):
        line = lines[now.line]
        if not now.is_alone:
            lines[now.line] = f"{line[: now.column].rstrip()} {now.words}"
        elif len(entries) == len(shaped):
            lines[now.line] = " " * _column(was, entries, shaped) + now.words
    return _spaced(lines, _scalars(after))


def stripped(text: str) -> list[str]:
    """The lines without blanks at their ends, but for those within a text of several lines."""
    inside = {line for first, _l, last, _r in _scalars(text) if last > first for line in range(first, last + 1)}
    return [line if number in inside else line.rstrip(" \t") for number, line in enumerate(lines_of(text))]


def _column(remark: Remark, entries: list[_Entry], shaped: list[_Entry]) -> int:
    """Of what is open before the comment, and what begins after it, the innermost that is not indented more."""
    following = next((n for n, each in enumerate(entries) if each.line > remark.line), len(entries))
    candidates, depth = [], 1 << 30
    for number in range(following - 1, -1, -1):
        if entries[number].depth < depth:
            depth = entries[number].depth
            candidates.append(number)
    if following < len(entries):
        candidates.append(following)
    fits = [each for each in candidates if entries[each].column <= remark.column]
    if not fits:
        return min((shaped[each].column for each in candidates), default=0)
    return shaped[max(fits, key=lambda each: (entries[each].column, each))].column


def _spaced(lines: list[str], scalars: list[tuple[int, int, int, int]]) -> list[str]:
    """Of several blank lines one is left; those of texts stay."""
    kept = {line for first, _left, last, _right in scalars if last > first for line in range(first, last + 1)}
    return [
        line
        for number, line in enumerate(lines)
        if line or number in kept or number == 0 or lines[number - 1] or number - 1 in kept
    ]


def _scalars(text: str) -> list[tuple[int, int, int, int]]:
    """Where each scalar begins and ends: in it, # is no comment."""
    found = []
    for event in yaml.parse(text, Loader=LOADER):
        if isinstance(event, yaml.ScalarEvent) and event.start_mark and event.end_mark:
            start, end = event.start_mark, event.end_mark
            if (start.line, start.column) != (end.line, end.column):
                found.append((start.line, start.column, end.line, end.column))
    return found


def _comments(lines: list[str], scalars: list[tuple[int, int, int, int]]) -> list[Remark]:
    found = []
    spans: dict[int, list[tuple[int, int]]] = {}
    for first, left, last, right in scalars:
        block = lines[first][left : left + 1] in ("|", ">")
        for number in range(first, min(last, len(lines) - 1) + 1):
            begin = left if number == first else 0
            end = right if number == last else 1 << 30
            if block and number == first:
                end = begin + 1  # a comment may follow the sign
            spans.setdefault(number, []).append((begin, end))
    for number, line in enumerate(lines):
        column = line.find("#")
        while column >= 0:
            inside = any(begin <= column < end for begin, end in spans.get(number, ()))
            if not inside and (column == 0 or line[column - 1] in " \t"):
                alone = not line[:column].strip()
                found.append(Remark(number, column, line[column:].rstrip(), alone))
                break
            column = line.find("#", column + 1)
    return found


def _entries(text: str) -> list[_Entry]:
    """The keys and items of block collections, in order, each with its column and depth."""
    found: list[_Entry] = []
    stack: list[list[Any]] = []  # kind, whether a key comes next, column (of a list: that of its dashes)
    for event in yaml.parse(text, Loader=LOADER):
        mark = event.start_mark
        if isinstance(event, yaml.CollectionEndEvent):
            stack.pop()
            continue
        if not isinstance(event, yaml.NodeEvent) or mark is None:
            continue
        if stack:
            kind, is_key, column = stack[-1]
            if kind == "map":
                if is_key:
                    found.append(_Entry(mark.line, mark.column, len(stack)))
                stack[-1][1] = not is_key
            elif kind == "list":
                found.append(_Entry(mark.line, column, len(stack)))
        if isinstance(event, yaml.CollectionStartEvent):
            kind = "map" if isinstance(event, yaml.MappingStartEvent) else "list"
            is_flow = event.flow_style or (bool(stack) and stack[-1][0] == "flow")
            stack.append(["flow" if is_flow else kind, True, mark.column])
    return found
