"""The errors of jsonschema, said for a person."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from rehost.spec import _redaction as redaction
from rehost.spec._findings import Finding, Position, closest, nearest, short, shown
from rehost.spec._yaml import Document, Path

_WORDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "boolean": "true or false",
    "number": "a number",
}

_CREDENTIALS = {"username": {"env": "VC_USER"}, "password": {"env": "VC_PASSWORD"}}

_ENOUGH = 500  # characters of a value: more than are shown

Told = Iterator[tuple[Path, Finding]]


def findings_of(error: Any, document: Document) -> Told:
    """What one `jsonschema.ValidationError` comes to: none, where another one says it better, or several.

    The path is that of the value that is wrong.
    """
    path: Path = tuple(error.absolute_path)
    where = document.at(path)
    what = _named(path)
    match error.validator:
        case "additionalProperties":
            yield from _unknown_keys(error, path, document)
        case "propertyNames" | "pattern" if _is_name(error):
            name = str(error.instance)
            rule = str(error.schema.get("description", ""))
            at = document.at_key((*path, name))
            yield (*path, name), Finding.at(at, "bad-name", f"{shown(name)} cannot be a name in {what}", _plainly(rule))
        case "required":
            yield from _missing(error, path, where, what)
        case "oneOf":
            yield from _one_of(error, path, document)
        case "type":
            yield path, _wrong_type(error, where, what)
        case "enum":
            yield path, _not_in(error, path, where, what)
        case "const":
            wanted = json.dumps(error.validator_value)
            yield path, Finding.at(where, "wrong-value", f"{what} must be {wanted}, not {_found(error)}")
        case "pattern":
            yield path, Finding.at(where, "wrong-value", f"{what} cannot be {_found(error)}", _advice(error))
        case "uniqueItems":
            message = f"{shown(error.instance)} stands in {_named(path[:-1])} a second time"
            yield path, Finding.at(where, "duplicate-item", message)
        case "minItems" | "minLength" | "minProperties":
            yield path, Finding.at(where, "empty", f"{what} must not be empty", _advice(error))
        case "maxLength":
            message = f"{what} has {len(error.instance)} characters; it can have {error.validator_value}"
            yield path, Finding.at(where, "wrong-value", message)
        case "minimum" | "maximum":
            bound = f"at {'least' if error.validator == 'minimum' else 'most'} {error.validator_value}"
            yield path, Finding.at(where, "wrong-value", f"{what} must be {bound}, not {error.instance}")
        case _:
            yield path, Finding.at(where, "wrong-value", f"{what}: {shown(error.message, 200)}")


def _is_name(error: Any) -> bool:
    return "propertyNames" in error.absolute_schema_path


def _unknown_keys(error: Any, path: Path, document: Document) -> Told:
    known = error.schema.get("properties", {})
    for key in error.instance:
        if key not in known:
            message = f"unknown key {shown(key)} in {_named(path)}"
            where = document.at_key((*path, key))
            if _is_secret(key, error.instance[key]) and closest(key, known) is None:
                way = next((f"{each}: {_flow(_CREDENTIALS)}" for each in ("credentials",) if each in known), "")
                message += ", and a secret has no place in a spec"
                hint = f"refer to it: {way}" if way else "keys that take a secret take a reference: {env: NAME}"
                yield (*path, key), Finding.at(where, "secret-value", message, hint)
            else:
                yield path, Finding.at(where, "unknown-key", message, nearest(key, known))


def _is_secret(key: str, value: Any) -> bool:
    return redaction.is_telling(key) and isinstance(value, str | int | float) and not isinstance(value, bool)


def _missing(error: Any, path: Path, where: Position, what: str) -> Told:
    known = error.schema.get("properties", {})
    mistyped = {closest(key, known) for key in error.instance if key not in known}
    # jsonschema reports each missing key by itself, and says which in its message alone.
    name = next(key for key in error.validator_value if error.message.startswith(repr(key)))
    if name not in mistyped:
        description = str(known.get(name, {}).get("description", ""))
        yield path, Finding.at(where, "missing-key", f"{what} lacks {name}", f"{name}: {_plainly(description)}")


def _one_of(error: Any, path: Path, document: Document) -> Told:
    """Either the branch that was meant is named by a constant key (`type`), or the branches are one key each."""
    branches = error.validator_value
    if not isinstance(error.instance, Mapping) or any(
        key not in error.instance for key in error.schema.get("required", ())
    ):
        return  # said already, by `type` or `required`
    if all(set(branch) == {"required"} for branch in branches):
        yield from _one_key_of([branch["required"][0] for branch in branches], error, path, document)
        return
    for number in range(len(branches)):
        inner = [each for each in error.context if each.schema_path[0] == number]
        if any(each.validator == "const" and len(each.path) == 1 for each in inner):
            continue  # of another type; where it is of none, the enum of the types says so
        for each in inner:
            yield from findings_of(each, document)


def _one_key_of(keys: list[str], error: Any, path: Path, document: Document) -> Told:
    known = error.schema.get("properties", {})
    given = [key for key in error.instance if key in keys]
    if not given and any(key not in known for key in error.instance):
        return  # the unknown key was meant to be one of them
    where = document.at_key((*path, given[1])) if len(given) > 1 else document.at(path)
    has = f"it has {' and '.join(given)}" if given else "it has none of them"
    yield path, Finding.at(where, "one-of", f"{_named(path)} needs exactly one of {', '.join(keys)}; {has}")


def _wrong_type(error: Any, where: Position, what: str) -> Finding:
    if error.schema.get("writeOnly"):
        message = f"{what} must be a reference to a secret, never the secret itself"
        hint = f"specs are kept in git and read by many; {_advice(error)}"
        return Finding.at(where, "secret-value", message, hint)
    wanted = _WORDS.get(str(error.validator_value), str(error.validator_value))
    return Finding.at(where, "wrong-type", f"{what} must be {wanted}, not {_found(error)}", _type_hint(error))


def _not_in(error: Any, path: Path, where: Position, what: str) -> Finding:
    values = [str(value) for value in error.validator_value]
    word = error.instance if isinstance(error.instance, str) else ""
    return Finding.at(where, "wrong-value", f"{what} cannot be {_found(error)}", nearest(word, values))


def _named(path: Path) -> str:
    """`servers.web-01.image`, or what stands at the top."""
    name = ""
    for part in path:
        name += f"[{part}]" if isinstance(part, int) else f".{short(part)}"
    return name.lstrip(".") or "the spec"


def _found(error: Any) -> str:
    value = error.instance
    if error.schema.get("writeOnly"):
        return "what stands there"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return f"the number {value}" if isinstance(value, int | float) else shown(redaction.masked(str(value)[:_ENOUGH]))


def _type_hint(error: Any) -> str:
    wanted, value = error.validator_value, error.instance
    if (
        wanted == "string"
        and isinstance(value, bool | int | float)
        and re.search(error.schema.get("pattern", ""), str(value))
    ):
        return "put it in quotes"
    if wanted == "boolean" and str(value).lower() in ("yes", "no", "on", "off"):
        return "yes, no, on and off are text"
    if wanted == "boolean":
        return ""
    return _advice(error)


def _advice(error: Any) -> str:
    """An example of the schema, as it would stand in the file."""
    for example in error.schema.get("examples", ())[:1]:
        text = _flow(example)
        if "\n" not in text:
            return f"for example {text}"
    return ""


def _flow(value: Any) -> str:
    """A value in YAML's flow style."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return value if isinstance(value, str) else json.dumps(value)


def _plainly(description: str) -> str:
    """The first sentence of a description, for the end of a line."""
    return description.split(". ")[0].rstrip(".")
