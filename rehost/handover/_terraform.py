"""Terraform: import blocks (since 1.5), and the resource blocks that they fill."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rehost.handover._pieces import Block, Piece, Ref


def terraform_files(application: str, region: str, pieces: Sequence[Piece]) -> dict[str, str]:
    """By name: `main.tf` (provider and resources) and `imports.tf`, which may be removed once it was applied."""
    head = [
        f"# What was the application {_comment(application)} of a migration with rehost: ordinary resources of EC2.",
        "# `terraform plan` must show imports and no change; then `terraform apply`.",
        "",
        *_block("terraform", {"required_version": ">= 1.5", "required_providers": Block(aws=_AWS)}, 0),
        "",
        *_block('provider "aws"', {"region": region}, 0),
    ]
    for piece in pieces:
        head += ["", *(f"# {remark}" for remark in piece.remarks), *_resource(piece)]
    imports = ["# What each resource of main.tf is in AWS. Once it was applied, this file has done its work."]
    for piece in pieces:
        imports += ["", "import {", f"  to = {_address(piece)}", f"  id = {_string(piece.id)}", "}"]
    return {"main.tf": "\n".join(head) + "\n", "imports.tf": "\n".join(imports) + "\n"}


#: Its names of the properties were checked with the Pulumi provider made from it, of version 6; they are the same in 5.
_AWS = {"source": "hashicorp/aws", "version": ">= 5.0"}


def _resource(piece: Piece) -> list[str]:
    lines = _block(f'resource "{piece.kind.terraform}" "{piece.name}"', piece.properties, 0)
    kept = ["  lifecycle {", "    prevent_destroy = true"]
    if piece.ignored:
        kept.append(f"    ignore_changes  = [{', '.join(piece.ignored)}]")
    return [*lines[:-1], "", *kept, "  }", "}"]


def _block(head: str, body: Mapping[str, Any], depth: int) -> list[str]:
    pad = "  " * depth
    values = {key: value for key, value in body.items() if not isinstance(value, Block)}
    width = max(map(len, values), default=0)
    lines = [f"{pad}{head} {{"]
    for key, value in values.items():
        first, *rest = _value(value, depth + 1)
        lines += [f"{pad}  {key.ljust(width)} = {first}", *rest]
    for key, value in body.items():
        if isinstance(value, Block):
            lines += [*([""] if values else []), *_block(key, value, depth + 1)]
    return [*lines, f"{pad}}}"]


def _value(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, Ref):
        yield f"{_address(value.to)}.id"
    elif isinstance(value, bool):
        yield str(value).lower()
    elif isinstance(value, dict):
        yield "{" if value else "{}"
        for key, each in value.items():
            yield f"{'  ' * (depth + 1)}{_string(key)} = {next(_value(each, depth + 1))}"
        if value:
            yield f"{'  ' * depth}}}"
    elif isinstance(value, list):
        yield f"[{', '.join(next(_value(each, depth)) for each in value)}]"
    elif isinstance(value, int):
        yield str(value)
    else:
        yield _string(value)


def _address(piece: Piece) -> str:
    return f"{piece.kind.terraform}.{piece.name}"


def _string(text: str) -> str:
    """A quoted string of HCL: what would begin a template is written twice."""
    escaped = (
        text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    )
    return '"' + re.sub(r"([$%])(?=\{)", r"\1\1", escaped) + '"'


def _comment(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)
