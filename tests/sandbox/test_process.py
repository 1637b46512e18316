"""The sandbox as a process: it keeps what it was told, through kills; its clock, its faults, its memory, its keys."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, SSLError

from sandbox import Sandbox
from tests.sandbox.conftest import BLOCK, Clients, complete, content, data_of, got, listed, made, put, refusal, start


@pytest.fixture
def faulty(sandbox: Sandbox) -> Iterator[Sandbox]:
    yield sandbox
    sandbox.clear_faults()


# What is kept


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_loses_nothing(own: Sandbox, how: signal.Signals) -> None:
    before = Clients(own.endpoint)
    key = before.kms.create_key()["KeyMetadata"]["Arn"]
    parent = made(before, {0: data_of(0)}, Encrypted=True, KmsKeyArn=key)
    child = made(before, {1: data_of(1)}, ParentSnapshotId=parent, Tags=[{"Key": "run", "Value": "7"}])
    gone = made(before, {0: data_of(0)})
    before.ec2.delete_snapshot(SnapshotId=gone)
    pending = start(before, ClientToken="once", VolumeSize=2)
    put(before, pending, 3, data_of(3))
    mappings = [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": child}}]
    image = before.ec2.register_image(
        Name="kept", Architecture="x86_64", RootDeviceName="/dev/sda1", BlockDeviceMappings=mappings
    )["ImageId"]
    tokens = listed(before, child)
    before.close()
    wait_saved(own.folder / "state" / "moto.pickle", image)
    os.kill(own.pid, how)
    own.stop()

    own.start()
    after = Clients(own.endpoint)
    assert content(after, child) == {0: data_of(0), 1: data_of(1)}
    assert got(after, child, 1, tokens[1]) == data_of(1), "block tokens are good for a week"
    shown = {each["SnapshotId"]: each for each in after.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]}
    assert (shown[child]["State"], shown[child]["Tags"]) == ("completed", [{"Key": "run", "Value": "7"}])
    assert (shown[child]["Encrypted"], shown[child]["KmsKeyId"]) == (True, key)
    assert shown[pending]["State"] == "pending"
    assert gone not in shown
    assert start(after, ClientToken="once", VolumeSize=2) == pending
    assert refusal(after.ebs.start_snapshot, ClientToken="once", VolumeSize=3)[0] == "ConflictException"
    put(after, pending, 4, data_of(4))
    complete(after, pending, {3: data_of(3), 4: data_of(4)})
    [kept] = after.ec2.describe_images(ImageIds=[image])["Images"]
    assert kept["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"] == child
    assert refusal(after.ec2.delete_snapshot, SnapshotId=child)[0] == "InvalidSnapshot.InUse"
    assert after.kms.describe_key(KeyId=key)["KeyMetadata"]["Arn"] == key
    after.close()


def wait_saved(path: Path, image: str) -> None:
    """What moto keeps is written a second after a change; snapshots are on disk at once."""
    deadline = time.monotonic() + 30
    while not path.exists() or image.encode() not in path.read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# The clock


def test_what_time_does(own: Sandbox, own_clients: Clients) -> None:
    aws = own_clients
    short, long, fed = start(aws, Timeout=10), start(aws, Timeout=4320), start(aws, Timeout=10)
    done = made(aws, {0: data_of(0)}, Timeout=10)
    tokens = listed(aws, done)
    own.advance_clock(9 * 60)
    put(aws, fed, 0, data_of(0))
    assert state(aws, short) == "pending"
    own.advance_clock(2 * 60)
    assert state(aws, short) == "error"
    assert "Timeout" in str(shown(aws, short)["StateMessage"])
    assert (state(aws, long), state(aws, fed), state(aws, done)) == ("pending", "pending", "completed")
    refused = ("ValidationException", "INVALID_SNAPSHOT_ID")
    assert refusal(put, aws, short, 0, data_of(0)) == refused
    assert refusal(aws.ebs.complete_snapshot, SnapshotId=short, ChangedBlocksCount=0) == refused
    assert refusal(aws.ebs.start_snapshot, VolumeSize=1, ParentSnapshotId=short) == refused
    complete(aws, fed, {0: data_of(0)})
    own.advance_clock(8 * 24 * 3600)
    assert state(aws, long) == "error"
    assert refusal(aws.ebs.get_snapshot_block, SnapshotId=done, BlockIndex=0, BlockToken=tokens[0]) == (
        "ValidationException",
        "INVALID_BLOCK_TOKEN",
    )
    assert content(aws, done) == {0: data_of(0)}
    aws.ec2.delete_snapshot(SnapshotId=short)


def shown(aws: Clients, snapshot: str) -> dict[str, Any]:
    return dict(aws.ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0])


def state(aws: Clients, snapshot: str) -> str:
    return str(shown(aws, snapshot)["State"])


# Size


def test_a_sparse_disk_of_64_gib_in_constant_memory(own: Sandbox, own_clients: Clients) -> None:
    aws = own_clients
    # A first snapshot brings in whatever a first request imports.
    content(aws, made(aws, {0: data_of(0)}))
    before = memory(own.pid)
    last = 64 * 2048 - 1
    blocks = {index: data_of(index) for index in (*range(0, 128 * 1000, 1000), last)}
    snapshot = made(aws, blocks, VolumeSize=64)
    tokens = listed(aws, snapshot)
    assert sorted(tokens) == sorted(blocks)
    assert all(got(aws, snapshot, index, tokens[index]) == blocks[index] for index in (0, 64_000, last))
    grown = memory(own.pid) - before
    assert grown < 32 << 20, f"{grown >> 20} MiB more for {len(blocks) * BLOCK >> 20} MiB of blocks"
    stored = sum(path.stat().st_blocks * 512 for path in (own.folder / "state").rglob("*") if path.is_file())
    assert stored < 2 * len(blocks) * BLOCK


def memory(pid: int) -> int:
    """The most bytes that a process ever had in memory."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


# Faults


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("AccessDeniedException", 403),
        ("ServiceQuotaExceededException", 402),
        ("ConcurrentLimitExceededException", 400),
        ("InternalServerException", 500),
    ],
)
def test_documented_errors_on_demand(faulty: Sandbox, aws: Clients, code: str, status: int) -> None:
    faulty.fault(action="error", service="ebs", operation="StartSnapshot", code=code, status=status, count=1)
    with pytest.raises(ClientError) as refused:
        aws.ebs.start_snapshot(VolumeSize=1)
    assert refused.value.response["Error"]["Code"] == code
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert start(aws)


def test_throttling_by_service(faulty: Sandbox, aws: Clients) -> None:
    faulty.fault(action="throttle", count=3)
    assert refusal(aws.ebs.start_snapshot, VolumeSize=1)[0] == "RequestThrottledException"
    assert refusal(aws.ec2.describe_images)[0] == "RequestLimitExceeded"
    assert refusal(aws.kms.list_keys)[0]
    assert start(aws)


def test_boto3_rides_out_what_passes(faulty: Sandbox, aws: Clients) -> None:
    client = aws.make("ebs", retries={"total_max_attempts": 5, "mode": "standard"})
    faulty.fault(action="throttle", service="ebs", operation="StartSnapshot", count=1)
    faulty.fault(action="error", service="ebs", operation="StartSnapshot", status=500, after=1, count=1)
    assert client.start_snapshot(VolumeSize=1)["Status"] == "pending"
    client.close()


def test_a_dropped_connection(faulty: Sandbox, aws: Clients) -> None:
    faulty.fault(action="drop", service="ebs", operation="StartSnapshot", count=1)
    with pytest.raises(ConnectionClosedError):
        aws.ebs.start_snapshot(VolumeSize=1)
    assert start(aws)


def test_faults_that_match_count_and_wait(faulty: Sandbox, aws: Clients) -> None:
    snapshot, other = start(aws), start(aws)
    faulty.fault(
        action="error", operation="PutSnapshotBlock", match={"SnapshotId": snapshot}, after=1, count=1, status=500
    )
    outcomes = []
    for target in (snapshot, other, other, snapshot, snapshot):
        try:
            put(aws, target, 0, data_of(0))
        except ClientError:
            outcomes.append("refused")
        else:
            outcomes.append("done")
    assert outcomes == ["done", "done", "done", "refused", "done"]
    [fault] = faulty.faults()
    assert (fault["seen"], fault["hits"]) == (3, 1)
    faulty.clear_faults()
    assert faulty.faults() == []


def test_a_corrupted_block_does_not_match_its_checksum(faulty: Sandbox, aws: Clients) -> None:
    snapshot = made(aws, {0: data_of(0)})
    [token] = listed(aws, snapshot).values()
    faulty.fault(action="corrupt", service="ebs", operation="GetSnapshotBlock", count=1)
    answer = aws.ebs.get_snapshot_block(SnapshotId=snapshot, BlockIndex=0, BlockToken=token)
    assert answer["BlockData"].read() != data_of(0)
    assert got(aws, snapshot, 0, token) == data_of(0)


def test_calls_are_counted(sandbox: Sandbox, aws: Clients) -> None:
    before = sandbox.calls()
    start(aws)
    aws.ec2.describe_images(Owners=["self"])
    after = sandbox.calls()
    assert after["ebs.StartSnapshot"] == before.get("ebs.StartSnapshot", 0) + 1
    assert after["ec2.DescribeImages"] == before.get("ec2.DescribeImages", 0) + 1


@pytest.mark.parametrize("settings", [{}, {"action": "explode"}, {"action": "drop", "colour": "red"}], ids=str)
def test_faults_that_are_none(sandbox: Sandbox, settings: dict[str, Any]) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        sandbox.fault(**settings)
    with refused.value as error:
        assert error.code == 400
    assert sandbox.faults() == []


# Who may


def test_other_access_keys_are_refused(tmp_path: Path) -> None:
    with Sandbox(tmp_path / "own", options=("--no-boot", "--access-key", "sandbox")) as strict:
        good = Clients(strict.endpoint)
        bad = Clients(strict.endpoint, aws_access_key_id="stranger")
        assert start(good)
        assert good.sts.get_caller_identity()["Account"] == "123456789012"
        assert refusal(bad.make("ebs").list_snapshot_blocks, SnapshotId="snap-0")[0] == "UnrecognizedClientException"
        assert refusal(bad.ec2.describe_images)[0] == "AuthFailure"
        assert refusal(bad.sts.get_caller_identity)[0] == "InvalidClientTokenId"
        good.close()
        bad.close()


def test_tls(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files]
    subprocess.run(command, check=True, capture_output=True)
    options = ("--no-boot", "--tls-cert", str(certificate), "--tls-key", str(key))
    # Its own calls (faults, statistics) are plain urllib: only boto3 is held against the certificate here.
    with Sandbox(tmp_path / "own", options=options) as secure:
        trusting = Clients(secure.endpoint, verify=str(certificate))
        assert content(trusting, made(trusting, {0: data_of(0)})) == {0: data_of(0)}
        trusting.close()
        doubting = Clients(secure.endpoint)
        with pytest.raises(SSLError):
            doubting.ec2.describe_images()
        doubting.close()
        context = ssl.create_default_context(cafile=str(certificate))
        with urllib.request.urlopen(f"{secure.endpoint}/_sandbox/faults", context=context, timeout=10) as answer:
            assert answer.read() == b"[]"


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--host", "0.0.0.0"], "it serves loopback only"), (["--tls-cert", "a.pem"], "go together")],
)
def test_options_that_are_refused(tmp_path: Path, options: list[str], said: str) -> None:
    with pytest.raises(RuntimeError, match=said):
        Sandbox(tmp_path / "own", options=options).start()


def test_a_restart_remembers_parameters(tmp_path: Path) -> None:
    """moto's SSM holds what pickle does not take by itself; a state that cannot be saved would be lost as a whole."""
    folder = tmp_path / "own"
    for written in (True, False):
        with Sandbox(folder) as sandbox:
            clients = Clients(sandbox.endpoint)
            if written:
                clients.ssm.put_parameter(Name="greeting", Value="hello", Type="String")
                clients.ssm.add_tags_to_resource(
                    ResourceType="Parameter", ResourceId="greeting", Tags=[{"Key": "kind", "Value": "test"}]
                )
            assert clients.ssm.get_parameter(Name="greeting")["Parameter"]["Value"] == "hello"
            clients.close()
