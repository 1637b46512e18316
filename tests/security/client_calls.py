"""Which AWS operations the code can call, read from its syntax: `service:Operation` with IAM's names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import boto3
from botocore.loaders import Loader
from botocore.model import ServiceModel

SERVICES = ("autoscaling", "ebs", "ec2", "iam", "kms", "service-quotas", "sts")
#: Where IAM knows a service by another name than the SDK.
IAM_NAMES = {"service-quotas": "servicequotas"}
SDK_NAMES = {iam: sdk for sdk, iam in IAM_NAMES.items()}
PACKAGE = Path(__file__).resolve().parents[2] / "rehost" / "aws"


@cache
def operations(service: str) -> dict[str, str]:
    """Client method -> operation, as the SDK has them."""
    client = boto3.client(
        service, region_name="eu-central-1", aws_access_key_id="unused", aws_secret_access_key="unused"
    )
    try:
        return dict(client.meta.method_to_api_mapping)
    finally:
        client.close()


def operation_names(service: str) -> frozenset[str]:
    return frozenset(
        ServiceModel(Loader().load_service_model(SDK_NAMES.get(service, service), "service-2")).operation_names
    )


def code_calls() -> set[str]:
    """Every operation that a module of rehost.aws calls.

    Raises AssertionError for a call by an operation's name on something whose service cannot be told.
    """
    return {call for path in sorted(PACKAGE.glob("*.py")) for call in _calls_of(path)}


def calls_in(text: str, where: str = "text") -> set[str]:
    return set(_calls_in(ast.parse(text), where))


def _calls_of(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text("utf-8"))
    yield from _calls_in(tree, path.name)
    if path.name == "_blocks.py":  # the data plane names its operations itself
        constants = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        yield from (f"ebs:{name}" for name in operation_names("ebs") if name in constants)


def _calls_in(tree: ast.AST, where: str) -> Iterator[str]:
    clients = {
        ast.unparse(target): service
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and (service := _service_of(node.value))
        for target in node.targets
    } | {
        f"self.{node.name}": service  # a property that makes the client when it is first needed
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for end in node.body
        if isinstance(end, ast.Return) and end.value is not None and (service := _service_of(end.value))
    }
    everything = {name for service in SERVICES for name in operations(service)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        name = node.func.attr
        service = _service_of(node.func.value) or clients.get(ast.unparse(node.func.value))
        if name in ("get_paginator", "get_waiter"):
            assert name == "get_paginator", f"{where}:{node.lineno}: what a waiter calls is not known here"
            assert isinstance(node.args[0], ast.Constant), f"{where}:{node.lineno}: the operation must be a literal"
            name = str(node.args[0].value)
        if service is None:
            assert name not in everything, f"{where}:{node.lineno}: of which service is {ast.unparse(node.func)}?"
        elif name in operations(service):
            yield f"{IAM_NAMES.get(service, service)}:{operations(service)[name]}"


def _service_of(node: ast.expr) -> str | None:
    """`ec2` for an expression `....client("ec2")`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "client":
        first = node.args[0] if node.args else None
        if isinstance(first, ast.Constant) and first.value in SERVICES:
            return str(first.value)
    return None
