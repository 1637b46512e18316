"""JSON as the AWS CLI prints it: one document or several behind each other, and records that know what was read of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rehost.importers._errors import InventoryUnreadable
from rehost.importers._read import text_of

_SPACE = re.compile(r"\s*")
_DEEPEST = 40
#: Values of one file: ten times what a service prints of the largest estate, and some hundred MB in memory.
MAX_VALUES = 4_000_000


class _Twice(ValueError):
    pass


def documents_of(path: Path, encoding: str = "utf-8") -> Iterator[Any]:
    """Each JSON document of the file. Raises InventoryUnreadable."""
    text = text_of(path, encoding)
    if sum(map(text.count, "{[,")) > MAX_VALUES:
        raise InventoryUnreadable(path=str(path), reason=f"it has more than {MAX_VALUES} values; print it in parts")
    decoder = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_refuse, parse_int=_whole)
    place = _end(text, 0)
    while place < len(text):
        try:
            document, place = decoder.raw_decode(text, place)
        except json.JSONDecodeError as error:
            reason = f"line {error.lineno}, column {error.colno} is not JSON: {error.msg}. It takes what the AWS CLI prints with --output json"
            raise InventoryUnreadable(path=str(path), reason=reason) from None
        except _Twice as error:
            raise InventoryUnreadable(path=str(path), reason=str(error)) from None
        except RecursionError:
            raise InventoryUnreadable(path=str(path), reason="it is nested too deep") from None
        if _is_deep(document):
            raise InventoryUnreadable(path=str(path), reason=f"it is nested more than {_DEEPEST} deep")
        yield document
        place = _end(text, place)


def _end(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return found.end() if found else place


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _Twice(f"the key {twice[:80]!r} stands twice in one object; no AWS command prints that")
    return made


def _refuse(constant: str) -> Any:
    raise _Twice(f"{constant} is not JSON")


def _whole(digits: str) -> Any:
    if len(digits) > 30:
        raise _Twice(f"a number has {len(digits)} digits")
    return int(digits)


def _is_deep(document: Any) -> bool:
    level = [document]
    for _ in range(_DEEPEST):
        level = [
            each
            for value in level
            if isinstance(value, dict | list)
            for each in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return False
    return True


class Record:
    """An object of JSON. What is asked of it in the wrong type becomes one of the `problems`."""

    def __init__(self, data: Mapping[str, Any], where: str, problems: list[str]) -> None:
        self._data = data
        self._read: set[str] = set()
        self.where = where
        self._problems = problems

    def __contains__(self, key: str) -> bool:
        return key in self._data

    def text(self, key: str) -> str:
        """Empty where it is missing."""
        value = self._take(key, (str,), "a text")
        return value.strip() if isinstance(value, str) else ""

    def number(self, key: str) -> int | None:
        value = self._take(key, (int, float), "a number")
        return int(value) if isinstance(value, int | float) and abs(value) < 1e18 else None

    def moment(self, key: str) -> str | float | None:
        """Text, or seconds since 1970: the two versions of the AWS CLI differ."""
        value: str | float | None = self._take(key, (str, int, float), "a moment")
        return value

    def flag(self, key: str) -> bool | None:
        value = self._take(key, (bool,), "true or false")
        return value if isinstance(value, bool) else None

    def texts(self, key: str) -> list[str]:
        value = self._take(key, (list,), "a list") or []
        return [each.strip() for each in value if isinstance(each, str) and each.strip()]

    def pairs(self, key: str) -> dict[str, str]:
        """A mapping of text to text."""
        value = self._take(key, (dict,), "an object") or {}
        return {name: each for name, each in value.items() if isinstance(each, str)}

    def record(self, key: str) -> Record:
        """An empty one where it is missing."""
        value = self._take(key, (dict,), "an object")
        return Record(value or {}, f"{self.where}.{key}", self._problems)

    def records(self, key: str) -> list[Record]:
        value = self._take(key, (list,), "a list") or []
        return records_in(value, f"{self.where}.{key}", self._problems)

    def unread(self) -> list[tuple[str, Any]]:
        """What nobody asked for, and is not empty."""
        return [
            (key, each) for key, each in self._data.items() if key not in self._read and each not in (None, "", [], {})
        ]

    def _take(self, key: str, kinds: tuple[type, ...], wanted: str) -> Any:
        self._read.add(key)
        value = self._data.get(key)
        if value is None:
            return None
        # In Python true is a number, too.
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            self._problems.append(f"{self.where}.{key}: this is not {wanted}")
            return None
        return value


def records_in(values: Sequence[Any], where: str, problems: list[str]) -> list[Record]:
    made = []
    for number, value in enumerate(values):
        if isinstance(value, dict):
            made.append(Record(value, f"{where}[{number}]", problems))
        else:
            problems.append(f"{where}[{number}]: this is not an object")
    return made
