"""The mapping file of `rehost import csv`: which key of the spec is in which column."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rehost.importers._errors import InventoryUnreadable, InventoryWrong
from rehost.importers._read import text_of
from rehost.importers._values import shown

_MAX = 64 << 10
#: Lists and mappings within it, at any depth: a parser's time grows with the square of that.
_NESTED = 1_000
#: Which makes nothing but text, lists and mappings; libyaml's, where PyYAML was built with it.
_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_KEYS = ("columns", "ignore", "delimiter", "encoding")


@dataclass(frozen=True)
class Mapping:
    """`columns` is from a key of the spec to a column of the table."""

    columns: dict[str, str] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()
    delimiter: str | None = None
    encoding: str | None = None


def read_mapping(path: Path) -> Mapping:
    """Raises InventoryUnreadable, InventoryWrong."""
    text = text_of(path)
    if len(text) > _MAX:
        raise InventoryUnreadable(path=str(path), reason=f"a mapping has {_MAX >> 10} KiB at most")
    if len(re.findall(r"[\[{]|- ", text)) > _NESTED:
        raise InventoryUnreadable(path=str(path), reason=f"a mapping has {_NESTED} lists and entries of lists at most")
    try:
        if any(isinstance(each, yaml.AliasEvent) for each in yaml.parse(text, Loader=_LOADER)):
            raise InventoryUnreadable(path=str(path), reason="a mapping has no aliases")
        data = yaml.load(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark is not None else ""
        raise InventoryUnreadable(path=str(path), reason=f"{where}this is not YAML") from None
    except RecursionError:
        raise InventoryUnreadable(path=str(path), reason="it is nested too deep") from None
    return _checked(path, data)


def _checked(path: Path, data: Any) -> Mapping:
    if not isinstance(data, dict) or not isinstance(data.get("columns"), dict):
        raise InventoryWrong(
            [
                f"{path}: a mapping is `columns:` with a key of the spec and a column in each line, such as `server: Hostname`"
            ]
        )
    problems = [f"{path}: it has no key {shown(each)}; known: {', '.join(_KEYS)}" for each in data if each not in _KEYS]
    columns, ignored = data["columns"], data.get("ignore", [])
    problems += [
        f"{path}: columns.{shown(key)} is not the name of a column"
        for key, each in columns.items()
        if not (isinstance(each, str) and each)
    ]
    if not (isinstance(ignored, list) and all(isinstance(each, str) for each in ignored)):
        problems.append(f"{path}: `ignore` is a list of columns")
    for key in ("delimiter", "encoding"):
        if key in data and not isinstance(data[key], str):
            problems.append(f"{path}: `{key}` is a text")
    if problems:
        raise InventoryWrong(problems)
    return Mapping(
        {str(key): each for key, each in columns.items()},
        frozenset(ignored),
        data.get("delimiter"),
        data.get("encoding"),
    )
