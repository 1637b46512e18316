"""Previews as Pulumi prints them, made of a few words; tests/engine/test_plan.py holds them to the real ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rehost.control import Image
from rehost.plan import Known, KnownServer, Plan, Preview, make_plan, read_preview, read_prices
from rehost.spec import Estate, load

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
GIB = 1 << 30
SPEC = """\
sources:
  dc1: {type: images, path: ../exports}
schedules:
  daily: {every: 24h, keepImages: 3}
launchConfigs:
  small: {instanceType: t3.micro, userData: {file: web.sh}}
servers:
  db-01:
    source: dc1
    locator: {path: db-01.raw}
    schedule: daily
    image: {conversion: import, encrypt: true}
    launchConfig: small
  web-01:
    source: dc1
    locator: {path: web-01.raw}
    schedule: daily
    image: {conversion: register}
    launchConfig: small
  wiki-01: {source: dc1, locator: {path: wiki-01.raw}, schedule: daily, launchConfig: small}
applications:
  shop:
    phase: replicate
    owner: J. Doe
    groups:
      db: {servers: [db-01]}
      web: {servers: [web-01], after: [db]}
  wiki: {groups: {web: {servers: [wiki-01]}}}
waves:
  wave-1: {applications: [shop], window: {opens: 2026-12-04T22:00:00+01:00, closes: 2026-12-05T06:00:00+01:00}}
"""


class Steps:
    """The steps of a preview of stack `prod`, one call a step."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = [self._step("same", "pulumi:pulumi:Stack", "rehost-prod", {}, {})]
        self.diagnostics: list[dict[str, str]] = []
        self.same = 1

    def add(
        self,
        op: str,
        kind: str,
        name: str,
        *,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Steps:
        type_ = f"rehost:index:Estate$rehost:index:Application$pulumi-python:dynamic/rehost:{kind}"
        self.steps.append({**self._step(op, type_, name, before, after), **more})
        return self

    def job(self, op: str, server: str, **changes: Any) -> Steps:
        """A ReplicationJob; `changes` are inputs after it."""
        was = {**job(server), "fullCopy": "yes, the first one"}
        will = {**was, "fullCopy": "no", **changes} if op != "create" else {**was, **changes}
        return self.add(
            op, "ReplicationJob", server, before=None if op == "create" else was, after=None if op == "delete" else will
        )

    def instance(self, op: str, server: str, **changes: Any) -> Steps:
        was = {"stack": "prod", "server": server, "instanceType": "t3.micro", "imageId": f"ami-{server}", "tags": {}}
        return self.add(
            op,
            "Instance",
            server,
            before=None if op == "create" else was,
            after=None if op == "delete" else {**was, **changes},
        )

    def phase(
        self,
        name: str,
        servers: list[str],
        came_from: str | None,
        to: str | None,
        plan: list[str] | None = None,
        **more: Any,
    ) -> Steps:
        base = {"stack": "prod", "application": name, "servers": servers, **more}
        before = {**base, "phase": came_from, "entry": 1.0, "plan": ["long ago"]} if came_from else None
        after = {**base, "phase": to, "entry": 2.0, "plan": plan or []} if to else None
        return self.add(
            "create" if before is None else "delete" if after is None else "update",
            "Phase",
            name,
            before=before,
            after=after,
        )

    def says(self, message: str, severity: str = "info") -> Steps:
        self.diagnostics.append({"message": f"{message}\n", "severity": severity})
        return self

    def document(self) -> dict[str, Any]:
        return {
            "config": {"rehost:region": "us-east-1"},
            "steps": self.steps,
            **({"diagnostics": self.diagnostics} if self.diagnostics else {}),
            "changeSummary": {"same": self.same},
        }

    def read(self) -> Preview:
        return read_preview(json.dumps(self.document()).encode(), "preview.json")

    @staticmethod
    def _step(
        op: str, type_: str, name: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        urn = f"urn:pulumi:prod::rehost::{type_}::{name}"
        step: dict[str, Any] = {"op": op, "urn": urn, "detailedDiff": None}
        for key, inputs in (("oldState", before), ("newState", after)):
            if inputs is not None:
                step[key] = {"urn": urn, "inputs": {**inputs, "__provider": "gASV"}, "outputs": {}}
        return step


def job(server: str) -> dict[str, Any]:
    return {
        "stack": "prod",
        "server": server,
        "application": "wiki" if server.startswith("wiki") else "shop",
        "sourceName": "dc1",
        "region": "us-east-1",
        "schedule": {"every_seconds": 86400, "keep_images": 3},
        "image": {"conversion": "import", "encrypt": True},
    }


def image(server: str, number: int) -> Image:
    return Image(
        f"ami-{server}-{number}", f"job-{server}", f"run-{number}", (f"snap-{server}-{number}",), NOW, number=number
    )


@pytest.fixture
def known() -> Known:
    """Both servers of the shop: a disk of 100 GiB with 40 in use, a second run that sent 1, and three images."""
    servers = {
        name: KnownServer(
            job_id=f"job-{name}",
            disks=(100 * GIB,),
            full_bytes=40 * GIB,
            sent_bytes=GIB,
            run_seconds=600.0,
            lag_seconds=3600.0,
            images=tuple(image(name, number) for number in (3, 2, 1)),
        )
        for name in ("db-01", "web-01")
    }
    return Known(NOW, servers=servers, rates={"dc1": 64.0 * (1 << 20)})


def estate(folder: Path, text: str = SPEC) -> Estate:
    specs = folder / "migration_specs"
    specs.mkdir(parents=True, exist_ok=True)
    (specs / "web.sh").write_text("#!/bin/sh\necho a-secret-word\n")
    (specs / "estate.yaml").write_text(text)
    return load(specs, root=folder)


def planned(folder: Path, steps: Steps, known: Known, text: str = SPEC, **more: Any) -> Plan:
    return make_plan(estate(folder, text), steps.read(), known=known, prices=read_prices(), **more)


def without(known: Known, server: str) -> Known:
    return replace(known, servers={name: each for name, each in known.servers.items() if name != server})
