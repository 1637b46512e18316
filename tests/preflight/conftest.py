"""Applications weighed against a sandbox of their own, whose calls are counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest

from rehost import spec
from rehost.aws import Aws, AwsSettings
from rehost.preflight import ApplicationPlan, Facts, Finding, Surroundings, examine, plans_of
from sandbox import Sandbox

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


name_of = attrgetter("name")


class World:
    def __init__(self, sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sandbox, self.folder = sandbox, folder / "migration_specs"
        self.folder.mkdir()
        self.key = f"KEY{uuid4().hex}"
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", self.key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sandbox")
        self.aws = Aws(AwsSettings(region="eu-central-1", endpoint=sandbox.endpoint))

    def client(self, service: str) -> Any:
        return boto3.client(
            service, endpoint_url=self.sandbox.endpoint, region_name="eu-central-1", aws_access_key_id="other",
            aws_secret_access_key="sandbox",
        )  # fmt: skip

    def estate(self, text: str) -> spec.Estate:
        (self.folder / "estate.yaml").write_text(f"sources: {{exports: {{type: images, path: ../exports}}}}\n{text}")
        return spec.load(self.folder)

    def weigh(self, text: str, **around: Any) -> list[Finding]:
        """Every finding, through the inputs that Pulumi's state would hold."""
        shared = Surroundings(Facts(self.aws), "prod", NOW, **around)
        plans = sorted(plans_of(self.estate(text)), key=lambda plan: not plan.launches)
        there_and_back = [ApplicationPlan.from_inputs(json.loads(json.dumps(plan.as_inputs()))) for plan in plans]
        assert [sorted(plan.servers, key=name_of) for plan in there_and_back] == [
            sorted(plan.servers, key=name_of) for plan in plans
        ]
        return [each for plan in there_and_back for each in examine(plan, shared)]


@pytest.fixture
def world(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    yield World(sandbox, tmp_path, monkeypatch)
    sandbox.set_quotas(L_1216C47A=1152, L_D18FCD1D=50, L_309BACF6=100000)
    sandbox.clear_faults()
