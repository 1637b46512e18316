"""The faults of docs/sandbox.md, armed as they stand there: each strikes."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from rehost.aws import Aws, AwsError, AwsSettings, RetryPolicy
from rehost.blocks import BLOCK_SIZE
from sandbox import Sandbox
from sandbox._faults import ACTIONS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sandbox.md"
EXAMPLES = [
    json.loads(block) for block in re.findall(r"^```json\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
]
GETS, LOOKS = 102, 40


@pytest.fixture
def aws(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "sandbox")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sandbox")
    yield Aws(AwsSettings(region="eu-central-1", endpoint=sandbox.endpoint), RetryPolicy(sleep=lambda _: None))
    sandbox.clear_faults()


def use(aws: Aws) -> None:
    """A snapshot of three blocks, read back many times, and EC2 asked about it."""
    snapshot = aws.ebs.start(volume_gib=1, token=uuid4().hex, description="", tags={"rehost:stack": "docs"})
    digests = b""
    for index in range(3):
        data = bytes([index + 1]) * BLOCK_SIZE
        digest = hashlib.sha256(data).digest()
        aws.ebs.blocks.put(snapshot, index, memoryview(data), digest)
        digests += digest
    checksum = base64.b64encode(hashlib.sha256(digests).digest()).decode()
    aws.ebs.complete(snapshot, changed_blocks=3, checksum=checksum)
    index, token = next(iter(aws.ebs.blocks_of(snapshot)))
    for _ in range(GETS):
        assert aws.ebs.blocks.get(snapshot, index, token) == b"\1" * BLOCK_SIZE
    for _ in range(LOOKS):
        assert aws.ebs.describe(snapshot) is not None


def test_there_is_an_example_of_each_action() -> None:
    assert {example["action"] for example in EXAMPLES} == set(ACTIONS)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["action"])
def test_an_example_strikes(example: dict[str, Any], sandbox: Sandbox, aws: Aws) -> None:
    sandbox.fault(**example)
    refused = pytest.raises(AwsError, match=example["message"]) if "message" in example else contextlib.nullcontext()
    with refused:
        use(aws)
    (armed,) = sandbox.faults()
    assert armed["hits"] >= 1
    if "count" in example:
        assert armed["hits"] == example["count"]
