"""An estate made of components without an engine: what Pulumi would be asked to make, in Pulumi's own mocks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.stack import wait_for_rpcs

from components import Estate, EstateArgs
from rehost import spec


@dataclass(frozen=True)
class Asked:
    """One registration: what the program asked of the engine."""

    kind: str  # the last part of the type token: `ReplicationJob`, `Server`
    type: str
    name: str
    parent: str  # of the parent, its `kind/name`; "" for the stack
    inputs: dict[str, Any]
    after: frozenset[str]  # `kind/name` of what it depends on, by `depends_on` or through a property
    protected: bool
    ignored: tuple[str, ...] = ()
    aliases: frozenset[str] = frozenset()  # of former parents, their `kind/name`


@dataclass
class Recorder(mocks.Mocks):
    """Answers every resource with an id of its own."""

    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        self.inputs[f"{args.typ}::{args.name}"] = dict(args.inputs)
        outputs = {"instanceId": f"i-{args.name}", "imageId": f"ami-{args.name}", "arn": f"arn:mock:{args.name}"}
        if args.typ.endswith(":Instance"):
            outputs["privateAddress"] = f"10.0.0.{args.name}"
        return f"id-{args.name}", {**outputs, **args.inputs}

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        raise AssertionError(args.token)


class Monitor(mocks.MockMonitor):
    """Keeps the requests as they are on the wire: parents and dependencies are not shown to mocks."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self.requests: list[resource_pb2.RegisterResourceRequest] = []

    def RegisterResource(self, request: resource_pb2.RegisterResourceRequest) -> Any:  # noqa: N802 - gRPC's name
        self.requests.append(request)
        # Pulumi calls this in threads of a pool, and its mocks leave an open event loop in each.
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            return super().RegisterResource(request)  # type: ignore[no-untyped-call]
        finally:
            asyncio.set_event_loop(None)
            loop.close()


def _label(urn: str) -> str:
    *_, types, name = urn.split("::")
    return f"{types.rsplit('$', 1)[-1].rsplit(':', 1)[-1]}/{name}"


def run_program(main: Callable[[], object]) -> list[Asked]:
    """Every registration of a Pulumi program, in their order."""
    recorder = Recorder()
    monitor = Monitor(recorder)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        mocks.set_mocks(recorder, project="test", stack="dev", preview=False, monitor=monitor)
        main()
        loop.run_until_complete(wait_for_rpcs())
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    return [_read(request) for request in monitor.requests]


def _read(request: resource_pb2.RegisterResourceRequest) -> Asked:
    inputs = dict(pulumi.runtime.rpc.deserialize_properties(request.object)) if request.HasField("object") else {}
    inputs.pop("__provider", None)
    return Asked(
        kind=request.type.rsplit(":", 1)[-1],
        type=request.type,
        name=request.name,
        parent=_label(request.parent) if request.parent else "",
        inputs=inputs,
        after=frozenset(_label(urn) for urn in request.dependencies),
        protected=request.protect,
        ignored=tuple(request.ignoreChanges),
        aliases=frozenset(_label(each.spec.parentUrn) for each in request.aliases if each.spec.parentUrn),
    )


Make = Callable[..., dict[str, Asked]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """`make(yaml, wait="image")`: every resource of the estate by `kind/name`, in the order of registration."""

    def made(text: str, wait: str = "image") -> dict[str, Asked]:
        folder = tmp_path / "migration_specs"
        folder.mkdir(exist_ok=True)
        (folder / "estate.yaml").write_text(f"apiVersion: rehost/v1\n{text}")
        estate = spec.load(folder, root=tmp_path)
        asked = run_program(lambda: Estate("estate", EstateArgs(estate=estate, stack="dev", wait=wait)))
        return {each.kind + "/" + each.name: each for each in asked}

    return made
