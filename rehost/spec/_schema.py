"""The JSON Schema of one spec file, and what a file's data differs in."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema

from rehost.spec._findings import Finding
from rehost.spec._messages import findings_of
from rehost.spec._yaml import Document, Path

#: What a refused value makes of the mapping around it is no finding of its own.
_SHAPE = frozenset({"missing-key", "one-of", "empty", "wrong-type", "wrong-value"})


@cache
def schema() -> dict[str, Any]:
    """The schema of one spec file, JSON Schema draft 2020-12. Shared: do not change it."""
    loaded: dict[str, Any] = json.loads(files("rehost.spec").joinpath("schema.json").read_text(encoding="utf-8"))
    return loaded


def findings(document: Document, using: Mapping[str, Any] | None = None) -> Iterator[tuple[Path, Finding]]:
    """Everything in which a document differs from the schema, with the path of the value that is wrong."""
    validator = _validator() if using is None else _Validator(using)
    for error in validator.iter_errors(document.data):
        for path, finding in findings_of(error, document):
            if not (path in document.refused and finding.rule in _SHAPE):
                yield path, finding


def not_text(document: Document, paths: Container[Path]) -> list[Path]:
    """Those of `paths` whose key takes something else than text."""
    found = set()
    errors = list(_validator().iter_errors(document.data))
    while errors:
        error = errors.pop()
        path = tuple(error.absolute_path)
        if error.validator in ("type", "enum", "const") and path in paths:
            found.add(path)
        errors.extend(error.context)
    return sorted(found, key=str)


def _pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[jsonschema.ValidationError]:
    """As in ECMA 262, by which JSON Schema goes: Python's `$` matches before a final line break, too."""
    if isinstance(instance, str) and not _compiled(pattern).search(instance):
        yield jsonschema.ValidationError("does not match")


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\$$", r"\\Z", pattern))


def _unique_items(_validator: Any, wanted: bool, instance: Any, _schema: Any) -> Iterator[jsonschema.ValidationError]:
    """For lists of text, which is all that the spec has: in linear time, and each repetition at its own place."""
    if not wanted or not isinstance(instance, list):
        return
    seen = set()
    for number, item in enumerate(instance):
        if isinstance(item, str):
            if item in seen:
                yield jsonschema.ValidationError("stands here already", path=[number], instance=item)
            seen.add(item)


_Validator: Any = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator, {"pattern": _pattern, "uniqueItems": _unique_items}
)


@cache
def _validator() -> Any:
    return _Validator(schema())
