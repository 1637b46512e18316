"""The JSON Schema, and its errors said for a person."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema

from rehost.spec._findings import Finding, Position, nearest
from rehost.spec._yaml import KEY, Path, Positions

_WORDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "boolean": "true or false",
    "number": "a number",
}
#: Phases of the life cycle that this version does not carry out.
_LATER_PHASES = ("cutover", "complete")


@cache
def schema() -> dict[str, Any]:
    """The schema of one spec file, JSON Schema draft 2020-12."""
    loaded: dict[str, Any] = json.loads(files("rehost.spec").joinpath("schema.json").read_text())
    return loaded


@cache
def _validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema())


def findings(data: Any, positions: Positions) -> Iterator[tuple[Path, Finding]]:
    """Everything in which `data` differs from the schema, with the path of what is wrong."""
    for error in _validator().iter_errors(data):
        path = tuple(error.absolute_path)
        for finding in _translated(error, path, positions):
            # A bad name is reported by its mapping; what is wrong is the entry of that name.
            yield ((*path, error.instance) if error.validator_value and finding.rule == "bad-name" else path), finding


def place(path: Path, positions: Positions) -> Position:
    """The position of a value, or of the nearest thing around it."""
    while path and path not in positions:
        path = path[:-1]
    return positions[path]


def _translated(error: Any, path: Path, positions: Positions) -> Iterator[Finding]:
    where = place(path, positions)
    what = _named(path)
    match error.validator:
        case "additionalProperties":
            known = error.schema.get("properties", {})
            for key in error.instance:
                if key not in known:
                    yield Finding(
                        place((*path, key, KEY), positions),
                        f"unknown key {key!r} in {what}",
                        "unknown-key",
                        nearest(str(key), known),
                    )
        case "propertyNames":
            key = error.instance
            rule = error.schema.get("description", "")
            yield Finding(place((*path, key, KEY), positions), f"{key!r} cannot be a name in {what}", "bad-name", rule)
        case "required":
            missing = [key for key in error.validator_value if key not in error.instance]
            # jsonschema reports each missing key by itself; its message names it first.
            name = next((key for key in missing if repr(key) in error.message), missing[0])
            yield Finding(where, f"{what} lacks {name}", "missing-key", _described(error.schema, name))
        case "type":
            wanted = _WORDS.get(str(error.validator_value), str(error.validator_value))
            yield Finding(
                where, f"{what} must be {wanted}, not {_found(error.instance)}", "wrong-type", _type_hint(error)
            )
        case "enum":
            if path[-1:] == ("phase",) and error.instance in _LATER_PHASES:
                yield Finding(
                    where,
                    f"the phase {error.instance} is not in this version; it has {' and '.join(error.validator_value)}",
                    "later-phase",
                )
            else:
                yield Finding(
                    where,
                    f"{what} cannot be {error.instance!r}",
                    "wrong-value",
                    nearest(str(error.instance), error.validator_value),
                )
        case "const":
            yield Finding(
                where,
                f"{what} must be {json.dumps(error.validator_value)}, not {_found(error.instance)}",
                "wrong-value",
            )
        case "pattern":
            examples = error.schema.get("examples") or []
            hint = f"for example {examples[0]}" if examples else error.schema.get("description", "")
            yield Finding(where, f"{what} cannot be {error.instance!r}", "wrong-value", hint)
        case "oneOf":
            keys = [branch["required"][0] for branch in error.validator_value]
            given = [key for key in keys if key in error.instance]
            found = f"has {' and '.join(given)}" if given else "has none"
            yield Finding(where, f"{what} needs exactly one of {', '.join(keys)}; it {found}", "one-of")
        case "minProperties" | "maxProperties":
            yield Finding(
                where,
                f"{what} needs {_amount(error)} of {', '.join(error.schema.get('properties', {})) or 'its entries'}",
                "one-of",
            )
        case "uniqueItems":
            yield Finding(where, f"{what} names something twice", "duplicate-item")
        case "minItems" | "minLength":
            yield Finding(where, f"{what} must not be empty", "empty")
        case _:
            yield Finding(where, f"{what}: {error.message}", "wrong-value")


def _amount(error: Any) -> str:
    return "exactly one" if "maxProperties" in error.schema else "at least one"


def _named(path: Path) -> str:
    """`servers.web-01.image`, or what stands at the top."""
    return ".".join(str(part) for part in path) or "the spec"


def _found(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return f"the number {value}" if isinstance(value, int | float) else f"the text {value!r}"


def _type_hint(error: Any) -> str:
    if error.validator_value == "string" and isinstance(error.instance, bool | int | float):
        return "put it in quotes"
    if error.validator_value == "boolean" and str(error.instance).lower() in ("yes", "no", "on", "off"):
        return "write true or false"
    return ""


def _described(parent: dict[str, Any], key: str) -> str:
    entry = parent.get("properties", {}).get(key, {})
    text = str(entry.get("description", ""))
    return f"{key}: {text}" if text else ""
