"""Unmodified boto3 clients, whose every EBS answer is held to the service model that AWS publishes."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from sandbox import Sandbox

BLOCK = 512 * 1024
REGION = "eu-central-1"

#: Errors common to all services are in no service's model.
COMMON_ERRORS = {"UnrecognizedClientException": 403}


class Clients:
    """boto3 clients of one sandbox, each made once. Retries are off: an error is an error."""

    def __init__(self, endpoint: str, *, region: str = REGION, **options: Any) -> None:
        self.endpoint, self.region = endpoint, region
        self._options = {"aws_access_key_id": "sandbox", "aws_secret_access_key": "sandbox"} | options
        self._made: dict[str, Any] = {}

    def __getattr__(self, service: str) -> Any:
        if service.startswith("_"):
            raise AttributeError(service)
        if service not in self._made:
            self._made[service] = self.make(service)
        return self._made[service]

    def make(self, service: str, **config: Any) -> Any:
        config = {"retries": {"total_max_attempts": 1, "mode": "standard"}, "max_pool_connections": 4} | config
        client = boto3.session.Session().client(
            service, region_name=self.region, endpoint_url=self.endpoint, config=Config(**config), **self._options
        )
        if service == "ebs":
            client.meta.events.register("after-call.ebs", _held_to_the_model)
        return client

    def close(self) -> None:
        for client in self._made.values():
            client.close()


def _held_to_the_model(http_response: Any, parsed: Mapping[str, Any], model: Any, **_: Any) -> None:
    status = http_response.status_code
    if "Error" not in parsed:
        assert status == model.http.get("responseCode", 200), f"{model.name} answered {status}"
        _fits(parsed, model.output_shape, model.name)
        return
    code = parsed["Error"]["Code"]
    if COMMON_ERRORS.get(code) == status:
        return
    shape = {each.name: each for each in model.error_shapes}.get(code)
    assert shape is not None, f"{model.name} does not document {code}"
    assert status == shape.metadata["error"]["httpStatusCode"], f"{code} with status {status}"
    assert parsed["Error"]["Message"]
    if "Reason" in parsed:
        _fits(parsed["Reason"], shape.members["Reason"], f"{code}.Reason")


def _fits(value: Any, shape: Any, where: str) -> None:
    """Required members, enumerations, patterns and limits of the service model."""
    if shape.type_name == "structure":
        missing = [name for name in shape.required_members if name not in value]
        assert not missing, f"{where} lacks {missing}"
        for name, member in shape.members.items():
            if name in value:
                _fits(value[name], member, f"{where}.{name}")
    elif shape.type_name == "list":
        for entry in value:
            _fits(entry, shape.member, where)
    elif shape.type_name == "string":
        assert not shape.enum or value in shape.enum, f"{where} is {value}"
        pattern = shape.metadata.get("pattern")
        assert pattern is None or re.search(pattern, value), f"{where} is {value!r}"
        assert shape.metadata.get("min", 0) <= len(value) <= shape.metadata.get("max", 1 << 30), f"{where}: {value!r}"
    elif shape.type_name in ("integer", "long"):
        assert shape.metadata.get("min", value) <= value <= shape.metadata.get("max", value), f"{where} is {value}"


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="module")
def aws(sandbox: Sandbox) -> Iterator[Clients]:
    clients = Clients(sandbox.endpoint)
    yield clients
    clients.close()


@pytest.fixture(scope="module")
def other(sandbox: Sandbox) -> Iterator[Clients]:
    """The same account in another region."""
    clients = Clients(sandbox.endpoint, region="us-east-1")
    yield clients
    clients.close()


@pytest.fixture(scope="module")
def lax(aws: Clients) -> Iterator[Any]:
    """EBS without boto3's own validation of parameters, to see what the service says."""
    client = aws.make("ebs", parameter_validation=False)
    yield client
    client.close()


@pytest.fixture
def own(tmp_path: Any) -> Iterator[Sandbox]:
    """A sandbox of the test's own, which it may stop, kill and move the clock of."""
    with Sandbox(tmp_path / "own") as running:
        yield running


@pytest.fixture
def own_clients(own: Sandbox) -> Iterator[Clients]:
    clients = Clients(own.endpoint)
    yield clients
    clients.close()


def data_of(seed: object) -> bytes:
    """A block told apart from those of other seeds."""
    return hashlib.sha256(str(seed).encode()).digest() * (BLOCK // 32)


def sha(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def linear(blocks: Mapping[int, bytes]) -> str:
    """The aggregate checksum as AWS documents LINEAR."""
    return sha(b"".join(hashlib.sha256(blocks[index]).digest() for index in sorted(blocks)))


def start(aws: Clients, **asked: Any) -> str:
    return str(aws.ebs.start_snapshot(**({"VolumeSize": 1, "ClientToken": uuid4().hex} | asked))["SnapshotId"])


def put(aws: Clients, snapshot: str, index: int, data: bytes, **asked: Any) -> Any:
    values = {
        "SnapshotId": snapshot, "BlockIndex": index, "BlockData": data, "DataLength": len(data),
        "Checksum": sha(data), "ChecksumAlgorithm": "SHA256",
    }  # fmt: skip
    return aws.ebs.put_snapshot_block(**(values | asked))


def complete(aws: Clients, snapshot: str, blocks: Mapping[int, bytes]) -> None:
    answer = aws.ebs.complete_snapshot(
        SnapshotId=snapshot, ChangedBlocksCount=len(blocks), Checksum=linear(blocks), ChecksumAlgorithm="SHA256",
        ChecksumAggregationMethod="LINEAR",
    )  # fmt: skip
    assert answer["Status"] == "completed"


def made(aws: Clients, blocks: Mapping[int, bytes], **asked: Any) -> str:
    """A completed snapshot of these blocks."""
    snapshot = start(aws, **asked)
    for index, data in blocks.items():
        put(aws, snapshot, index, data)
    complete(aws, snapshot, blocks)
    return snapshot


def listed(aws: Clients, snapshot: str, **asked: Any) -> dict[int, str]:
    """Every block's token by its index, over as many pages as it takes."""
    found: dict[int, str] = {}
    while True:
        page = aws.ebs.list_snapshot_blocks(SnapshotId=snapshot, **asked)
        found |= {each["BlockIndex"]: each["BlockToken"] for each in page["Blocks"]}
        if not page.get("NextToken"):
            return found
        asked["NextToken"] = page["NextToken"]


def got(aws: Clients, snapshot: str, index: int, token: str) -> bytes:
    answer = aws.ebs.get_snapshot_block(SnapshotId=snapshot, BlockIndex=index, BlockToken=token)
    data = bytes(answer["BlockData"].read())
    assert (answer["DataLength"], answer["Checksum"], answer["ChecksumAlgorithm"]) == (BLOCK, sha(data), "SHA256")
    return data


def content(aws: Clients, snapshot: str) -> dict[int, bytes]:
    return {index: got(aws, snapshot, index, token) for index, token in listed(aws, snapshot).items()}


def refusal(call: Callable[..., Any], *positional: Any, **asked: Any) -> tuple[str, str]:
    """(code, reason) of the error that a call must end with."""
    with pytest.raises(ClientError) as refused:
        call(*positional, **asked)
    response: Any = refused.value.response
    return response["Error"]["Code"], response.get("Reason", "")
