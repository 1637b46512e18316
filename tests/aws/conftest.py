"""A stack of its own in the worker's sandbox, and an Aws that never really sleeps."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import uuid4

import pytest

from rehost.aws import RUN_TAG, SERVER_TAG, STACK_TAG, Aws, AwsSettings, RetryPolicy
from rehost.blocks import BLOCK_SIZE
from sandbox import Sandbox


@dataclass
class FakeTime:
    """A clock that sleeping moves, so that minutes of backoff take none."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def policy(self, seconds: float = 120.0) -> RetryPolicy:
        return RetryPolicy(seconds, self.clock, self.sleep, lambda: 1.0)


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what a test says: nothing of the machine's own AWS settings."""
    for name in (
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_SESSION_TOKEN",
        "AWS_ENDPOINT_URL",
        "AWS_CA_BUNDLE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "sandbox")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret-key")


@pytest.fixture
def aws(sandbox: Sandbox, time: FakeTime) -> Iterator[Aws]:
    yield Aws(AwsSettings(region="eu-central-1", endpoint=sandbox.endpoint), time.policy())
    sandbox.clear_faults()


@pytest.fixture
def tags() -> dict[str, str]:
    return {STACK_TAG: f"test-{uuid4().hex}", SERVER_TAG: "web-01", RUN_TAG: f"run-{uuid4().hex}"}


def block(seed: int = 1) -> tuple[memoryview, bytes]:
    """A block and its SHA-256."""
    data = hashlib.sha256(str(seed).encode()).digest() * (BLOCK_SIZE // 32)
    return memoryview(data), hashlib.sha256(data).digest()


def snapshot(aws: Aws, tags: dict[str, str], *, seed: int = 1) -> str:
    """A completed snapshot of 1 GiB with one block."""
    import base64

    made = aws.ebs.start(volume_gib=1, token=uuid4().hex, description="test", tags=tags)
    data, digest = block(seed)
    aws.ebs.blocks.put(made, 0, data, digest)
    checksum = base64.b64encode(hashlib.sha256(digest).digest()).decode()
    aws.ebs.complete(made, changed_blocks=1, checksum=checksum)
    aws.ebs.wait_completed(made)
    return made
