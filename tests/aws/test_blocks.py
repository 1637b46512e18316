"""Blocks, out and back, through everything that a network and a service can do."""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rehost.aws import (
    AccessDenied,
    Aws,
    AwsSettings,
    ChecksumMismatch,
    EndpointUnreachable,
    NotFound,
    QuotaReached,
    Refused,
    Throttled,
)
from rehost.blocks import BLOCK_SIZE
from sandbox import Sandbox

from .conftest import FakeTime, block


@pytest.fixture
def pending(aws: Aws, tags: dict[str, str]) -> str:
    return aws.ebs.start(volume_gib=1, token=tags["rehost:run"], description="test", tags=tags)


def test_a_block_comes_back_as_it_went(aws: Aws, tags: dict[str, str]) -> None:
    from .conftest import snapshot

    made = snapshot(aws, tags, seed=7)
    ((index, token),) = aws.ebs.blocks_of(made)
    assert index == 0
    assert aws.ebs.blocks.get(made, index, token) == bytes(block(7)[0])


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "error", "status": 500, "code": "InternalServerException"},
        {"action": "error", "status": 503, "code": "ServiceUnavailable"},
        {"action": "error", "status": 400, "code": "ThrottlingException"},
        {"action": "error", "status": 400, "code": "ConcurrentLimitExceededException"},
        {"action": "error", "status": 404, "code": "ResourceNotFoundException"},
        {"action": "throttle"},
        {"action": "drop"},
    ],
    ids=lambda fault: str(fault.get("code") or fault["action"]),
)
def test_what_passes_is_tried_again(
    aws: Aws, sandbox: Sandbox, time: FakeTime, pending: str, fault: dict[str, object]
) -> None:
    sandbox.fault(service="ebs", operation="PutSnapshotBlock", match={"SnapshotId": pending}, count=4, **fault)
    data, digest = block()
    aws.ebs.blocks.put(pending, 3, data, digest)
    assert [each["hits"] for each in sandbox.faults()] == [4]
    assert len(time.slept) == 4
    assert time.slept == sorted(time.slept)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (402, "ServiceQuotaExceededException", QuotaReached),
        (403, "AccessDeniedException", AccessDenied),
        (400, "ValidationException", Refused),
    ],
)
def test_what_does_not_pass_is_not(
    aws: Aws, sandbox: Sandbox, time: FakeTime, pending: str, status: int, code: str, expected: type[Exception]
) -> None:
    sandbox.fault(
        action="error", service="ebs", operation="PutSnapshotBlock", status=status, code=code, message="the reason"
    )
    data, digest = block()
    with pytest.raises(expected, match="the reason"):
        aws.ebs.blocks.put(pending, 0, data, digest)
    assert time.slept == []


def test_throttling_that_does_not_end_fails_in_bounded_time(
    aws: Aws, sandbox: Sandbox, time: FakeTime, pending: str
) -> None:
    sandbox.fault(action="throttle", service="ebs", operation="PutSnapshotBlock")
    data, digest = block()
    with pytest.raises(Throttled):
        aws.ebs.blocks.put(pending, 0, data, digest)
    assert 119 <= time.now <= 121


def test_a_dead_endpoint_fails_in_bounded_time_with_its_last_error(time: FakeTime) -> None:
    aws = Aws(AwsSettings(region="eu-central-1", endpoint="http://127.0.0.1:9"), time.policy(30))
    data, digest = block()
    with pytest.raises(EndpointUnreachable, match="Connection refused"):
        aws.ebs.blocks.put("snap-0123", 0, data, digest)
    assert 29 <= time.now <= 31


def test_a_wrong_digest_is_refused_by_the_service(aws: Aws, pending: str) -> None:
    data, _ = block(1)
    with pytest.raises(Refused, match="checksum"):
        aws.ebs.blocks.put(pending, 0, data, block(2)[1])


def test_a_corrupted_answer_is_read_again(aws: Aws, sandbox: Sandbox, tags: dict[str, str]) -> None:
    from .conftest import snapshot

    made = snapshot(aws, tags)
    ((index, token),) = aws.ebs.blocks_of(made)
    sandbox.fault(action="corrupt", service="ebs", operation="GetSnapshotBlock", match={"SnapshotId": made}, count=2)
    assert aws.ebs.blocks.get(made, index, token) == bytes(block()[0])
    sandbox.clear_faults()
    sandbox.fault(action="corrupt", service="ebs", operation="GetSnapshotBlock", match={"SnapshotId": made})
    with pytest.raises(ChecksumMismatch, match=made):
        aws.ebs.blocks.get(made, index, token)


def test_credentials_that_expire_in_the_middle_are_renewed(
    sandbox: Sandbox, time: FakeTime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tags: dict[str, str]
) -> None:
    """A credential_process hands out another key each time, valid for seconds: botocore asks again before it is used."""
    script = tmp_path / "credentials.py"
    script.write_text(
        "import json, pathlib, datetime\n"
        f"path = pathlib.Path({str(tmp_path / 'count')!r})\n"
        "count = int(path.read_text()) + 1 if path.exists() else 1\n"
        "path.write_text(str(count))\n"
        "until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=5)\n"
        "print(json.dumps({'Version': 1, 'AccessKeyId': f'KEY{count}', 'SecretAccessKey': 's', 'SessionToken': 't', 'Expiration': until.isoformat()}))\n"
    )
    config = tmp_path / "config"
    config.write_text(f"[profile renewed]\ncredential_process = {sys.executable} {script}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    aws = Aws(AwsSettings("eu-central-1", "renewed", sandbox.endpoint), time.policy())
    made = aws.ebs.start(volume_gib=1, token=tags["rehost:run"], description="", tags=tags)
    before = int((tmp_path / "count").read_text())
    data, digest = block()
    aws.ebs.blocks.put(made, 0, data, digest)
    aws.ebs.blocks.put(made, 1, data, digest)
    assert int((tmp_path / "count").read_text()) > before


def test_each_service_may_have_an_endpoint_of_its_own(
    sandbox: Sandbox, time: FakeTime, monkeypatch: pytest.MonkeyPatch, tags: dict[str, str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", sandbox.endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL_EBS", "http://127.0.0.1:9")
    aws = Aws(AwsSettings(region="eu-central-1"), time.policy(1))
    assert aws.ebs.describe("snap-0123456789abcdef0") is None
    data, digest = block()
    with pytest.raises(EndpointUnreachable, match=r"127\.0\.0\.1:9"):
        aws.ebs.blocks.put("snap-0123", 0, data, digest)
    monkeypatch.setenv("AWS_ENDPOINT_URL_EBS", sandbox.endpoint)
    aws = Aws(AwsSettings(region="eu-central-1"), time.policy(1))
    made = aws.ebs.start(volume_gib=1, token=tags["rehost:run"], description="", tags=tags)
    aws.ebs.blocks.put(made, 0, data, digest)


class _Proxy(BaseHTTPRequestHandler):
    """Forwards plain HTTP, and counts."""

    protocol_version = "HTTP/1.1"
    seen: list[str]

    def do_PUT(self) -> None:
        self.server.seen.append(self.path)  # type: ignore[attr-defined]
        self.rfile.read(int(self.headers["Content-Length"]))
        answer = json.dumps({}).encode()
        self.send_response(201)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


def test_blocks_go_through_the_proxy_that_the_environment_names(
    time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Proxy)
    server.seen = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    try:
        aws = Aws(AwsSettings(region="eu-central-1", endpoint="http://ebs.test.invalid"), time.policy(5))
        data, digest = block()
        aws.ebs.blocks.put("snap-0123", 5, data, digest)
        aws.ebs.blocks.close()
        assert server.seen == ["http://ebs.test.invalid/snapshots/snap-0123/blocks/5"]  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_block_has_one_size() -> None:
    assert len(block()[0]) == BLOCK_SIZE == 524_288


def test_a_snapshot_that_was_deleted_under_the_run_is_said_soon(aws: Aws, time: FakeTime, pending: str) -> None:
    aws.ebs.discard(pending)
    data, digest = block()
    with pytest.raises(NotFound, match=pending):
        aws.ebs.blocks.put(pending, 0, data, digest)
    assert time.now <= 30


def test_who_is_halted_waits_no_longer(aws: Aws, sandbox: Sandbox, time: FakeTime, pending: str) -> None:
    sandbox.fault(action="throttle", service="ebs", operation="PutSnapshotBlock", match={"SnapshotId": pending})
    data, digest = block()
    with pytest.raises(Throttled):
        aws.ebs.blocks.put(pending, 0, data, digest, lambda _: False)
    assert time.slept == []


def test_an_endpoint_that_has_failed_everybody_for_long_enough_is_not_waited_for_again(time: FakeTime) -> None:
    aws = Aws(AwsSettings(region="eu-central-1", endpoint="http://127.0.0.1:9"), time.policy(30))
    data, digest = block()
    for _ in range(5):
        with pytest.raises(EndpointUnreachable):
            aws.ebs.blocks.put("snap-0123", 0, data, digest)
    assert time.now <= 31
