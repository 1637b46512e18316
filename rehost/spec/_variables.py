"""Variables: `${stack}` and `${config:KEY}` in values, filled in before the schema sees them.

No template language: no conditions, no defaults, no expressions. A value that is a variable and nothing else is what its key
takes: text, a number, true or false. Any other is text. `$${` is `${`.

Quotes could not decide that: in braces (`{keepImages: ${config:keep}}`) YAML takes no variable without them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rehost.spec._findings import Finding, closest, nearest, short
from rehost.spec._scalars import Scalar, plain
from rehost.spec._yaml import Document, Path

#: Characters of a value. It stands for a name, an id or a number; and a file may use it many times.
LONGEST = 256
MARK, MARK_ITSELF = "${", "$${"
_USE = re.compile(r"\$\$\{|\$\{([^{}]*)(\}?)")
_NAMES = {"stack": "${stack}", "config": "${config:KEY}"}
#: Texts that a shell reads, in which `${HOME}` is the shell's own: the last keys of their paths.
_SCRIPTS = {"text": ("userData", "configureScript"), "command": (), "shell": ()}


@dataclass(frozen=True)
class Variables:
    """What variables stand for on one stack. `values` and `secrets` go by whole keys: `rehost:keep`, `aws:region`."""

    stack: str
    project: str = "rehost"
    values: Mapping[str, str] = field(default_factory=dict)
    secrets: frozenset[str] = frozenset()  # keys whose values are secrets, and not among `values`

    def key(self, name: str) -> str:
        return name if ":" in name else f"{self.project}:{name}"

    def short_names(self) -> list[str]:
        """The keys as a spec names them."""
        own = f"{self.project}:"
        return [each.removeprefix(own) for each in self.values]


@dataclass(frozen=True)
class NoStack:
    """Which stack is meant is not known; `stacks` are those that it may be."""

    stacks: tuple[str, ...] = ()


def fill(
    document: Document, variables: Variables | NoStack, whole: dict[Path, Scalar]
) -> Iterator[tuple[Path, Finding]]:
    """Put the values in, as text; what cannot be filled in is a finding, with the path of its value.

    `whole` gets what else a value could be, that is one variable and nothing else.
    """
    for path in sorted(document.variables, key=document.values.__getitem__):
        if _is_script(path):
            continue
        if path[:1] == ("selections",) and path[2:3] in (("match",), ("except",), ("source",)):
            message = "what a selection matches cannot depend on the stack: its servers are written down once"
            yield path, Finding.at(document.at(path), "variable", message, "make it a selection for each")
            continue
        text = _get(document.data, path)
        if not isinstance(text, str):
            continue  # of a key that was refused
        problem: tuple[str, str] | None = None

        def value_of(found: re.Match[str]) -> str:
            nonlocal problem
            if found[0] == MARK_ITSELF:
                return MARK
            value = _value(found, variables)
            if isinstance(value, tuple):
                problem = problem or value
                return found[0]
            return value

        filled = _USE.sub(value_of, text)
        if problem is not None:
            yield path, Finding.at(document.at(path), "variable", *problem)
            continue
        put(document, path, filled)
        found = _USE.fullmatch(text)
        if found is not None and found[0] != MARK_ITSELF and not isinstance(plain(filled), str):
            whole[path] = plain(filled)
    for path in document.keys:
        if isinstance(path[-1], str) and MARK in path[-1]:
            message = f"{short(path[-1])} is a key, and variables stand in values alone"
            yield path, Finding.at(document.at_key(path), "variable", message)


def _value(found: re.Match[str], variables: Variables | NoStack) -> str | tuple[str, str]:
    """What a variable stands for; or why it stands for nothing, and what to do."""
    name = found[1].strip()
    if not found[2]:
        return f"the variable {short(found[0])} lacks its closing }}", "write $${ where ${ itself is meant"
    kind, _, key = name.partition(":")
    if name != "stack" and (kind != "config" or not key):
        escape = "write $${ where ${ itself is meant"
        near = closest(kind, ("stack", "config"))
        meant = _NAMES[near] if near else " and ".join(_NAMES.values())
        hint = f"did you mean {meant}? {escape}" if near else f"there are {meant}; {escape}"
        return f"there is no variable {short(found[0])}", hint
    if isinstance(variables, NoStack):
        known = f" ({', '.join(variables.stacks)})" if variables.stacks else ""
        return (
            f"{short(found[0])} depends on the stack, and which one is meant is not known",
            f"name it: --stack, or PULUMI_STACK{known}",
        )
    if name == "stack":
        return variables.stack
    return _configured(key.strip(), variables)


def _configured(key: str, variables: Variables) -> str | tuple[str, str]:
    whole = variables.key(key)
    if whole in variables.secrets:
        return (
            f"the setting {short(key)} is a secret, and a secret's value is no part of a spec",
            f"where a secret belongs, refer to it: {{pulumiConfig: {key}}}",
        )
    value = variables.values.get(whole)
    if value is None:
        near = nearest(key, variables.short_names())
        hint = near if near.startswith("did") else f"pulumi config set --stack {variables.stack} {key} VALUE"
        return f"stack {short(variables.stack)} has no setting {short(key)}", hint
    if len(value) > LONGEST or not value.isprintable():
        return (
            f"the setting {short(key)} cannot stand in a spec",
            f"it can be one line of up to {LONGEST} characters",
        )
    return value


def _is_script(path: Path) -> bool:
    last, above = path[-1:], path[-2:-1]
    if last and last[0] in _SCRIPTS:
        around = _SCRIPTS[str(last[0])]
        return not around or (bool(above) and above[0] in around)
    # Words of a command, and parameters of a document of Systems Manager.
    return above == ("run",) or "parameters" in path[-3:-1]


def _get(data: Any, path: Path) -> Any:
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def put(document: Document, path: Path, value: Scalar) -> None:
    if not path:
        document.data = value
        return
    _get(document.data, path[:-1])[path[-1]] = value
