"""Whether a value can stand at a key of the spec: asked of the schema itself, so that what is written is what a spec takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import jsonschema

from rehost.spec import schema

_TRUE = frozenset({"true", "yes", "y", "1", "on"})
_FALSE = frozenset({"false", "no", "n", "0", "off"})
_SHOWN = 80


def fitting(section: str, path: str, value: Any) -> tuple[Any, str]:
    """(the value as the spec has it, "") or (None, what is wrong with it).

    `section` is a definition of the schema, `path` a key of it with dots: `("launchConfig", "placement.tenancy")`. Text becomes what
    the key holds: a number, true or false, a list of what stands between `;`; of an enumeration, the word with the same letters.
    """
    node = _node(section, tuple(path.split(".")))
    if node is None:
        return None, f"the spec has no key {path} there"
    made = _converted(value, node)
    if made is None or next(_validator(section, path).iter_errors(made), None) is not None:
        return None, f"{shown(value)} is not what `{path}` takes{_wanted(node)}"
    return made, ""


def has_key(section: str, path: str) -> bool:
    return _node(section, tuple(path.split("."))) is not None


def is_tag_key(key: str) -> bool:
    return "${" not in key and not any(_tag_key().iter_errors(key))


def shown(value: Any) -> str:
    """One line, cut, whatever it is."""
    text = value if isinstance(value, str) else repr(value)
    text = "".join(each if each.isprintable() else " " for each in text)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def _converted(value: Any, node: Mapping[str, Any]) -> Any:
    kind = node.get("type")
    if not isinstance(value, str):
        if kind == "integer" and isinstance(value, float) and math.isfinite(value) and value.is_integer():
            return int(value)
        return value
    text = value.strip()
    if kind == "boolean":
        folded = text.casefold()
        return True if folded in _TRUE else False if folded in _FALSE else None
    if kind == "integer":
        return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None
    if kind == "array":
        return list(dict.fromkeys(each.strip() for each in text.split(";") if each.strip())) or None
    if "enum" in node:
        return next((each for each in node["enum"] if str(each).casefold() == text.casefold()), None)
    return text or None


def _wanted(node: Mapping[str, Any]) -> str:
    if "enum" in node:
        return f": {', '.join(map(str, node['enum']))}"
    examples: Sequence[Any] = node.get("examples") or ()
    return f", such as {shown(examples[0])}" if examples else ""


@cache
def _node(section: str, path: tuple[str, ...]) -> Mapping[str, Any] | None:
    node: Mapping[str, Any] = schema()["$defs"][section]
    for part in path:
        node = _resolved(node)
        properties = node.get("properties", {})
        found = properties.get(part, node.get("additionalProperties"))
        if not isinstance(found, Mapping):
            return None
        node = found
    return _resolved(node)


def _resolved(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """A reference with what stands beside it."""
    while "$ref" in node:
        beside = {key: value for key, value in node.items() if key != "$ref"}
        node = {**schema()["$defs"][str(node["$ref"]).rsplit("/", 1)[-1]], **beside}
    return node


@cache
def _validator(section: str, path: str) -> Any:
    node = _node(section, tuple(path.split(".")))
    return jsonschema.Draft202012Validator({**(node or {}), "$defs": schema()["$defs"]})


@cache
def _tag_key() -> Any:
    return jsonschema.Draft202012Validator(schema()["$defs"]["tags"]["propertyNames"])
