"""A Pulumi project of its own for a test: the repository's program, its own folder, backend, stack and sandbox."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest

from rehost.processes import is_running
from sandbox import Sandbox
from tools.environment import backend_url, project_environment

ROOT = Path(__file__).resolve().parents[2]
MIB = 1 << 20
SPEC = """\
sources:
  exports: {type: images, path: ../exports}
schedules:
  daily: {every: 24h, keepImages: 3}
launchConfigs:
  small: {instanceType: t3.micro}
servers:
  web-01:
    source: exports
    locator: {path: web-01.raw}
    schedule: daily
    image: {conversion: register}
    launchConfig: small
  db-01:
    source: exports
    locator: {disks: [db-01/root.raw, db-01/data.raw]}
    schedule: daily
    image: {conversion: import}
    launchConfig: small
applications:
  shop:
    phase: replicate
    groups:
      db: {servers: [db-01]}
      web: {servers: [web-01], after: [db]}
"""


@dataclass
class EngineProject:
    folder: Path
    sandbox: Sandbox
    stack: str  # unique: the sandbox of a test worker outlives a test, and the tags tell its stacks apart
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def spec(self) -> Path:
        return self.folder / "migration_specs" / "estate.yaml"

    def edit(self, old: str, new: str) -> None:
        text = self.spec.read_text()
        assert old in text
        self.spec.write_text(text.replace(old, new))

    def run(self, *command: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=240, check=False
        )
        if ok:
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    def pulumi(self, *arguments: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("pulumi", *arguments, "--non-interactive", ok=ok)

    def up(self, *arguments: str, ok: bool = True) -> str:
        done = self.pulumi("up", "--yes", "--skip-preview", *arguments, ok=ok)
        return done.stdout + done.stderr

    def steps(self) -> dict[str, str]:
        """What a preview would do: operation by resource name, `same` left out."""
        preview = json.loads(self.pulumi("preview", "--json").stdout)
        return {
            f"{step['urn'].split('::')[-2].split(':')[-1]} {step['urn'].split('::')[-1]}": step["op"]
            for step in preview["steps"]
            if step["op"] != "same"
        }

    def rehost(self, *arguments: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("rehost", *arguments, ok=ok)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.rehost("status", "--json").stdout)
        return found

    def aws(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.sandbox.endpoint,
            region_name="eu-central-1",
            aws_access_key_id="sandbox",
            aws_secret_access_key="sandbox",
        )

    def owned(self) -> list[str]:
        """Ids of every image, snapshot, volume and live instance with this stack's tag."""
        ec2 = self.aws("ec2")
        ours = [{"Name": "tag:rehost:stack", "Values": [self.stack]}]
        instances = [
            instance["InstanceId"]
            for reservation in ec2.describe_instances(Filters=ours)["Reservations"]
            for instance in reservation["Instances"]
            if instance["State"]["Name"] != "terminated"
        ]
        images = [image["ImageId"] for image in ec2.describe_images(Owners=["self"], Filters=ours)["Images"]]
        snapshots = [
            snapshot["SnapshotId"] for snapshot in ec2.describe_snapshots(OwnerIds=["self"], Filters=ours)["Snapshots"]
        ]
        volumes = [volume["VolumeId"] for volume in ec2.describe_volumes(Filters=ours)["Volumes"]]
        return instances + images + snapshots + volumes

    def end_connectors(self) -> None:
        database = self.folder / ".rehost" / "control.db"
        if not database.exists():
            return
        for connector in self.status()["connectors"]:
            try:
                os.kill(connector["pid"], signal.SIGTERM)
            except ProcessLookupError:
                continue
            while is_running(connector["pid"]):
                time.sleep(0.02)


def write_disk(path: Path, size: int, *, seed: int) -> None:
    """A sparse disk with data in three places."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)
        for place in (0, size // 2, size - 4096):
            file.seek(place)
            file.write(bytes((seed + place + step) % 251 for step in range(4096)))


@pytest.fixture
def project(tmp_path: Path, sandbox: Sandbox) -> Iterator[EngineProject]:
    for name in ("Pulumi.yaml", "__main__.py"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "migration_specs").mkdir()
    write_disk(tmp_path / "exports" / "web-01.raw", 64 * MIB, seed=1)
    write_disk(tmp_path / "exports" / "db-01" / "root.raw", 32 * MIB, seed=2)
    write_disk(tmp_path / "exports" / "db-01" / "data.raw", 512 * MIB, seed=3)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "REHOST_", "PULUMI_"))},
        **project_environment(ROOT),
        "PULUMI_BACKEND_URL": backend_url(tmp_path / "backend"),
        "AWS_ACCESS_KEY_ID": "sandbox",
        "AWS_SECRET_ACCESS_KEY": "sandbox",
        "REHOST_CONNECTOR_IDLE": "20",
    }
    (tmp_path / "backend").mkdir()
    here = EngineProject(tmp_path, sandbox, f"test-{uuid4().hex[:12]}", environment)
    here.spec.write_text(SPEC)
    here.pulumi("stack", "init", here.stack)
    here.pulumi("config", "set", "rehost:region", "eu-central-1")
    here.pulumi("config", "set", "rehost:endpoint", sandbox.endpoint)
    yield here
    here.end_connectors()
    sandbox.clear_faults()
