"""A connector as a process of its own, with a control plane, a source folder and a sandbox: what the fault tests need."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

from rehost.aws import Aws, AwsSettings
from rehost.control import ControlPlane, Job, JobSpec, Run
from sandbox import Sandbox

MIB = 1 << 20
BLOCK = 512 * 1024


@dataclass
class Site:
    """One server to replicate, and everything around it."""

    folder: Path
    sandbox: Sandbox
    stack: str = field(default_factory=lambda: f"test-{uuid4().hex[:12]}")
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.database = f"sqlite:///{self.folder / 'state' / 'control.db'}"
        self.control = ControlPlane.open(self.database)
        self.disk = self.folder / "exports" / "web-01.raw"
        self.disk.parent.mkdir(exist_ok=True)
        self.aws = Aws(AwsSettings(region="eu-central-1", endpoint=self.sandbox.endpoint))

    def write(self, blocks: range, size: int = 256 * MIB, seed: int = 1) -> None:
        """Data in some blocks of the disk; the rest stays a hole."""
        with self.disk.open("r+b" if self.disk.exists() else "w+b") as file:
            file.truncate(size)
            for index in blocks:
                file.seek(index * BLOCK)
                file.write((f"{seed}/{index} ".encode() * 40000)[:BLOCK])

    def declare(self, **changes: object) -> Job:
        values: dict[str, object] = {
            "stack": self.stack,
            "server": "web-01",
            "source_name": "exports",
            "source": {"type": "images", "path": "exports"},
            "locator": {"path": "web-01.raw"},
            "schedule": {"run_once": True, "keep_images": 3},
            "image": {"conversion": "register", "encrypt": False, "architecture": "x86_64", "bootMode": "auto"},
            "aws": {"region": "eu-central-1", "endpoint": self.sandbox.endpoint},
        }
        return self.control.jobs.put(JobSpec(**(values | changes)))  # type: ignore[arg-type]

    def start(self, fault: str = "", *options: str, idle: float = 0.5) -> subprocess.Popen[bytes]:
        """A connector process; it ends itself when there is nothing left to do."""
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "REHOST_"))},
            "AWS_ACCESS_KEY_ID": "sandbox",
            "AWS_SECRET_ACCESS_KEY": "sandbox",
            "REHOST_DATABASE": self.database,
            "REHOST_FAULT": fault,
        }
        command = [sys.executable, "-m", "rehost.cli", "connector", "run", "--idle-exit", str(idle), *options]
        with (self.folder / "connector.log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.processes.append(process)
        return process

    def work(self, fault: str = "", *options: str) -> int:
        """Run a connector until it has nothing left to do, or dies; its exit code."""
        return self.start(fault, *options).wait(timeout=120)

    def log(self) -> str:
        return (self.folder / "connector.log").read_text()

    def run(self, job: Job) -> Run:
        """The job's newest run."""
        return self.control.runs.list(job.id, limit=1)[0]

    def wait(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"it did not happen within {seconds} s\n{self.log()[-3000:]}"
            time.sleep(0.02)

    def owned(self, kind: str) -> list[str]:
        return [each.id for each in self.aws.list_owned(self.stack) if each.kind == kind]

    def content(self, snapshot_id: str) -> dict[int, bytes]:
        """What EBS gives back for each block that the snapshot holds."""
        blocks = self.aws.ebs.blocks
        return {index: blocks.get(snapshot_id, index, token) for index, token in self.aws.ebs.blocks_of(snapshot_id)}

    def assert_image_is_the_disk(self, job: Job) -> None:
        """Byte by byte: every block of the newest image's snapshot is the source's, and all other blocks are zero there."""
        run = self.control.runs.last_completed(job.id)
        assert run is not None, self.log()[-3000:]
        (disk,) = self.control.runs.disks(run.id)
        held = self.content(disk.snapshot_id)
        with self.disk.open("rb") as file:
            for index in range(disk.size // BLOCK):
                expected = file.read(BLOCK)
                assert held.get(index, bytes(BLOCK)) == expected, f"block {index}"

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.control.close()


@pytest.fixture
def site(tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "sandbox")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sandbox")
    here = Site(tmp_path, sandbox)
    yield here
    here.close()
    sandbox.clear_faults()
