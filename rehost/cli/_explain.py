"""`rehost explain`: what a key of the spec means."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rehost.cli._output import Columns, Exit, escape, fail, print_json, show

if TYPE_CHECKING:
    from rehost.spec import Explained


def explain(
    path: Annotated[str, typer.Argument(help="A key, such as servers.image.conversion; names may be left out.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print what the schema says of it as JSON.")] = False,
) -> None:
    """Say what a key of the spec means, what may stand there, and which keys it has itself.

    Example: [dim]rehost explain servers.image.conversion[/]
    """
    from rehost.spec import NoSuchKey
    from rehost.spec import explain as look_up

    try:
        found = look_up(path)
    except NoSuchKey as error:
        fail(error, Exit.USAGE)
    if as_json:
        print_json(found.as_dict())
        return
    show([*map(escape, _lines(found)), *_keys(found)])


def _lines(found: Explained) -> list[str]:
    entry = found.entry
    facts = [found.value]
    if found.is_required:
        facts.append("required")
    if entry.get("default") not in (None, {}, []):
        facts.append(f"default {_written(entry['default'])}")
    facts += found.limits
    lines = [found.path, *_wrapped(str(entry.get("description", "")), "  "), ""]
    lines += _wrapped("value: " + "; ".join(facts), "  ")
    key = found.path.rsplit(".", 1)[-1].removesuffix("[]")
    for example in entry.get("examples", ()) if found.path != "the spec" else ():
        text = _written(example)
        lines.append(f"  example: {key}: {text}" if "\n" not in text else f"  example of several lines: {example!r}")
    return lines


def _keys(found: Explained) -> list[str | Columns]:
    if not found.keys:
        return []
    rows = []
    for key, entry in found.keys.items():
        first = str(entry.get("description", "")).split(". ")[0].rstrip(".")
        rows.append([f"  [bold]{escape(key)}[/]", "required" if key in found.needed else "", escape(first)])
    return ["", Columns(["  KEY", "", "MEANING"], rows)]


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, 100, initial_indent=indent, subsequent_indent=indent, break_long_words=False)


def _written(value: Any) -> str:
    """A value in YAML's flow style."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_written(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, value)) + "]"
    return value if isinstance(value, str) else json.dumps(value)
