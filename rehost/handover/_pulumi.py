"""Pulumi: a file for `pulumi import --file`, and the program that matches it."""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Iterable, Sequence
from typing import Any

from rehost.handover._pieces import Block, Piece, Ref

#: The version of the provider whose names were checked against what is written (requirements/dev.in).
PROVIDER = "pulumi-aws>=7,<8"
#: Terraform's block -> Pulumi's property, where that is a list of them.
_PLURAL = {"attachment": "attachments"}


def pulumi_files(project: str, region: str, pieces: Sequence[Piece]) -> dict[str, str]:
    """By name: `Pulumi.yaml`, `__main__.py`, `requirements.txt`, `import.json`."""
    return {
        "Pulumi.yaml": _project(project, region),
        "__main__.py": _program(project, pieces),
        "requirements.txt": f"pulumi>=3,<4\n{PROVIDER}\n",
        "import.json": _imports(pieces),
    }


def _project(project: str, region: str) -> str:
    return "\n".join(
        [
            f"name: {json.dumps(project)}",
            f"description: {json.dumps(f'What was the application {project} of a migration with rehost.')}",
            "runtime: python",
            "config:",
            "  aws:region:",
            f"    value: {json.dumps(region)}",
            "",
        ]
    )


def _imports(pieces: Iterable[Piece]) -> str:
    resources = [{"type": each.kind.token, "name": each.name, "id": each.id} for each in pieces]
    return json.dumps({"nameTable": {}, "resources": resources}, indent=2) + "\n"


def _program(project: str, pieces: Sequence[Piece]) -> str:
    variables = _variables(pieces)
    lines = [
        f'"""What was the application {project} of a migration with rehost: ordinary resources of EC2.',
        "",
        "First `pulumi import --file import.json --generate-code=false --yes`, then `pulumi preview`: it must show no change.",
        '"""',
        "",
        "import pulumi",
        "import pulumi_aws as aws",
    ]
    for piece in pieces:
        lines += ["", *(f"# {remark}" for remark in piece.remarks)]
        lines.append(f"{variables[piece]} = {piece.kind.python}(")
        lines.append(f"    {piece.name!r},")
        for key, value in piece.properties.items():
            name = _PLURAL.get(key, key)
            wrapped = [value] if key in _PLURAL else value
            lines.append(f"    {name}={_literal(wrapped, variables, 1)},")
        options = ["protect=True"]
        if piece.ignored:
            options.append(f"ignore_changes={[_camel(each) for each in piece.ignored]!r}")
        lines += [f"    opts=pulumi.ResourceOptions({', '.join(options)}),", ")"]
    return "\n".join(lines) + "\n"


def _literal(value: Any, variables: dict[Piece, str], depth: int) -> str:
    """A value in Python; mappings and lists of mappings over several lines."""
    if isinstance(value, Ref):
        return f"{variables[value.to]}.id"
    pad = "    " * (depth + 1)
    if isinstance(value, dict) and value:
        entries = [f"{pad}{key!r}: {_literal(each, variables, depth + 1)}," for key, each in value.items()]
        return "\n".join(["{", *entries, f"{'    ' * depth}}}"])
    if isinstance(value, list) and any(isinstance(each, Block) for each in value):
        return "\n".join(
            ["[", *(f"{pad}{_literal(each, variables, depth + 1)}," for each in value), f"{'    ' * depth}]"]
        )
    return repr(value)


def _variables(pieces: Sequence[Piece]) -> dict[Piece, str]:
    """A variable each, told apart across kinds."""
    taken = {"aws", "pulumi"}
    found: dict[Piece, str] = {}
    for piece in pieces:
        plain = re.sub(r"\W", "_", piece.name)
        for candidate in _candidates(plain, piece.kind.name.lower()):
            if candidate not in taken and not keyword.iskeyword(candidate):
                break
        taken.add(candidate)
        found[piece] = candidate
    return found


def _candidates(plain: str, kind: str) -> Iterable[str]:
    yield plain
    yield f"{plain}_{kind}"
    number = 2
    while True:
        yield f"{plain}_{kind}_{number}"
        number += 1


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
