"""The tables of docs/spec.md, made from the schema: what an editor shows and what the page says are one text.

The page holds regions `<!-- table: server -->` ... `<!-- end -->`; everything else in it is written by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from rehost.spec._rules import RULES
from rehost.spec._schema import schema

_REGION = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_TYPES = {"string": "text", "integer": "whole number", "boolean": "`true` or `false`", "object": "mapping"}


def render(page: str) -> str:
    """The page with its tables made anew. Raises KeyError where a region names no definition of the schema."""
    return _REGION.sub(lambda found: found[1] + _region(found[2]) + found[3], page)


def _region(name: str) -> str:
    return rules() if name == "rules" else table(name)


def rules() -> str:
    """What each rule is about."""
    rows = [f"| {', '.join(f'`{name}`' for name in names)} | {text} |" for names, text in RULES]
    return "\n".join(["", "| rule | what is wrong |", "|---|---|", *rows, "", ""])


def table(definition: str) -> str:
    """The keys of one definition, or of the whole spec for `spec`."""
    entry = schema() if definition == "spec" else schema()["$defs"][definition]
    needed = set(entry.get("required", ()))
    rows = ["| key | value | default | |", "|---|---|---|---|"]
    for key, each in entry["properties"].items():
        default = "**required**" if key in needed else _default(each)
        rows.append(f"| `{key}` | {_value(each)} | {default} | {_meaning(each)} |")
    return "\n".join(["", *rows, "", ""])


def _default(entry: Mapping[str, Any]) -> str:
    if "default" not in entry or entry["default"] in ({}, []):
        return ""
    return f"`{_written(entry['default'])}`"


def _meaning(entry: Mapping[str, Any]) -> str:
    text = str(entry["description"])
    if entry.get("type") in ("string", "integer", "array") and (examples := entry.get("examples")):
        shown = [_written(each) for each in examples]
        if not any("\n" in each for each in shown):
            text += f" For example {', '.join(f'`{each}`' for each in shown)}."
    return text.replace("|", "\\|")


def _value(entry: Mapping[str, Any]) -> str:
    if "$ref" in entry:
        return _reference(entry["$ref"])
    if "enum" in entry:
        return ", ".join(f"`{each}`" for each in entry["enum"])
    if "const" in entry:
        return f"`{_written(entry['const'])}`"
    if entry["type"] == "array":
        return f"list of {_value(entry['items'])}"
    inner = entry.get("additionalProperties")
    if entry["type"] == "object" and isinstance(inner, Mapping):
        return f"{_value(inner)}, by name"
    if "properties" in entry:
        return " or ".join(f"`{{{key}: ...}}`" for key in entry["properties"])
    return _TYPES[entry["type"]]


def _reference(target: str) -> str:
    name = target.rsplit("/", 1)[-1]
    entry = schema()["$defs"][name]
    if entry["type"] in ("string", "integer"):
        return _TYPES[entry["type"]]
    return f"[{entry['title'].lower()}](#{entry['title'].lower().replace(' ', '-')})"


def _written(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value).replace('"', "")
