"""The line of a file that a finding is about, with a caret below; nothing of a secret is in it."""

from __future__ import annotations

import unicodedata
from bisect import bisect
from dataclasses import dataclass, field
from pathlib import Path

from rehost.spec import _redaction, _secrets, _yaml
from rehost.spec._files import content_of
from rehost.spec._findings import Finding
from rehost.spec._syntax import MAX_BYTES, lines_of

_WIDTH = 110
_BEFORE = 70  # columns kept before the caret, where a line is cut
_AROUND = 2000  # characters before and behind it that are looked at for secrets

_Place = tuple[int, int]
_FAR: _Place = (1 << 60, 1)


@dataclass(frozen=True)
class Excerpt:
    line: int
    text: str  # printable, at most _WIDTH characters
    caret: int  # columns before it

    def __str__(self) -> str:
        number = f"{self.line:5}"
        return f"{number} | {self.text}".rstrip() + f"\n{' ' * len(number)} | {' ' * self.caret}^"


@dataclass
class _Text:
    lines: list[str]
    is_whole: bool
    hidden: dict[int, list[_redaction.Span]] = field(default_factory=dict)  # by line

    def hide(self, start: _Place, end: _Place) -> None:
        for number in range(start[0], min(end[0], len(self.lines)) + 1):
            left = start[1] - 1 if number == start[0] else 0
            right = end[1] - 1 if number == end[0] else len(self.lines[number - 1])
            self.hidden.setdefault(number, []).append((left, right))


class Excerpts:
    """Of the files that findings name, relative to `root`; nothing is read that lies neither there nor in `others`.

    Each file is read once, when the first finding in it is asked for.
    """

    def __init__(self, root: Path, *others: Path) -> None:
        self._root = root
        self._within = (root, *others)
        self._texts: dict[str, _Text | None] = {}

    def of(self, finding: Finding) -> Excerpt | None:
        """None where there is no such line: a folder, or a file that cannot be read or has changed."""
        if finding.path not in self._texts:
            self._texts[finding.path] = _read(self._root, finding.path, self._within)
        text = self._texts[finding.path]
        if text is None or not 1 <= finding.line <= len(text.lines):
            return None
        return _excerpt(text, finding.line, finding.column)


def _read(root: Path, name: str, within: tuple[Path, ...]) -> _Text | None:
    try:
        content = content_of(root / name, within, MAX_BYTES + 1)
    except OSError:
        return None
    if len(content) > MAX_BYTES:
        return None
    document = _yaml.parse(content, name, with_ends=True)
    text = _Text(lines_of(content.decode("utf-8-sig", "replace")), document.is_whole)
    for path in _secrets.places(document):
        start = document.values.get(path)
        if start is not None:
            text.hide(start, document.ends.get(start, _FAR))
    for spans in text.hidden.values():
        spans.sort()
    return text


def _excerpt(text: _Text, number: int, column: int) -> Excerpt:
    line = text.lines[number - 1]
    at = min(column - 1, len(line))
    first = max(0, at - _AROUND)  # a line may have a million characters, and as many findings
    part = line[first : at + _AROUND]
    spans = text.hidden.get(number, [])
    near = spans[max(0, bisect(spans, (first, 0)) - 1) : bisect(spans, (at + _AROUND, 0))]
    found = [(max(left - first, 0), right - first) for left, right in near if right > first]
    found += _redaction.spans(part, is_data=text.is_whole)
    shown, caret = _redaction.replaced(part, [(left, min(right, len(part))) for left, right in found], at - first)
    before, after = _plain(shown[:caret]), _plain(shown[caret:])
    if first > 0 and not text.is_whole:
        before = "..."  # what stands there may be the end of a secret
    elif first > 0 or (len(before) > _BEFORE and len(before) + len(after) > _WIDTH):
        before = "..." + before[3 - _BEFORE :]
    if at + _AROUND < len(line) or len(before) + len(after) > _WIDTH:
        after = after[: _WIDTH - len(before) - 3] + "..."
    return Excerpt(number, before + after, _columns(before))


def _plain(text: str) -> str:
    """One column a character, as far as a terminal has it so: no tabs, no control characters."""
    return "".join(each if each.isprintable() else " " if each == "\t" else "\ufffd" for each in text)


def _columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    wide = sum(unicodedata.east_asian_width(each) in "WF" for each in text)
    return len(text) + wide - sum(unicodedata.combining(each) != 0 for each in text)
