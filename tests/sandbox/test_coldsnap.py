"""An unmodified coldsnap (awslabs) against the sandbox: it checks what it gets by itself, too."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.sandbox.conftest import BLOCK, REGION, Clients, content, data_of, listed, made
from tools._paths import COLDSNAP

SIZE = 1 << 30
DISK = {0: data_of(0), 7: data_of(7), 1000: data_of(1000), 2047: data_of(2047)}


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sparse disk of 1 GiB, with data in its first and last block."""
    path = tmp_path_factory.mktemp("disk") / "disk.raw"
    with path.open("wb") as file:
        file.truncate(SIZE)
        for index, data in DISK.items():
            file.seek(index * BLOCK)
            file.write(data)
    return path


def coldsnap(sandbox: Sandbox, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    if not COLDSNAP.exists():
        pytest.skip("coldsnap is not built; build it: python -m tools.coldsnap")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {"AWS_ACCESS_KEY_ID": "sandbox", "AWS_SECRET_ACCESS_KEY": "sandbox"}
    environment |= {"AWS_EC2_METADATA_DISABLED": "true"}
    command = [COLDSNAP, "--region", REGION, "--endpoint", sandbox.endpoint, *arguments]
    return subprocess.run(
        [str(each) for each in command], env=environment, capture_output=True, text=True, timeout=120, check=check
    )


def test_upload_wait_and_download(sandbox: Sandbox, aws: Clients, disk: Path, tmp_path: Path) -> None:
    snapshot = coldsnap(sandbox, "upload", "--no-progress", "--wait", "--omit-zero-blocks", disk).stdout.split()[-1]
    assert sorted(listed(aws, snapshot)) == sorted(DISK)
    [shown] = aws.ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"]
    assert (shown["State"], shown["VolumeSize"]) == ("completed", 1)
    coldsnap(sandbox, "wait", snapshot)
    back = tmp_path / "back.raw"
    coldsnap(sandbox, "download", "--no-progress", snapshot, back)
    assert subprocess.run(["cmp", str(disk), str(back)], check=False).returncode == 0


def test_an_upload_onto_a_parent(sandbox: Sandbox, aws: Clients, disk: Path, tmp_path: Path) -> None:
    parent = made(aws, {0: data_of("old"), 5: data_of(5)})
    tag = "Key=run,Value=7"
    onto = ["--parent-snapshot-id", parent, "--tag", tag, "--description", "a child"]
    output = coldsnap(sandbox, "upload", "--no-progress", "--wait", "--omit-zero-blocks", *onto, disk).stdout
    snapshot = output.split()[-1]
    [shown] = aws.ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"]
    assert (shown["Tags"], shown["Description"]) == ([{"Key": "run", "Value": "7"}], "a child")
    # It writes no zeros where it is told not to: what the parent has there stays.
    assert content(aws, snapshot) == {**DISK, 5: data_of(5)}


def test_an_encrypted_upload(sandbox: Sandbox, aws: Clients, disk: Path) -> None:
    key = aws.kms.create_key()["KeyMetadata"]["Arn"]
    output = coldsnap(sandbox, "upload", "--no-progress", "--omit-zero-blocks", "--kms-key-id", key, disk).stdout
    [shown] = aws.ec2.describe_snapshots(SnapshotIds=[output.split()[-1]])["Snapshots"]
    assert (shown["Encrypted"], shown["KmsKeyId"]) == (True, key)


def test_a_snapshot_that_is_not_there(sandbox: Sandbox, tmp_path: Path) -> None:
    failed = coldsnap(
        sandbox, "download", "--no-progress", "snap-0123456789abcdef0", tmp_path / "back.raw", check=False
    )
    assert failed.returncode != 0
    assert "snap-0123456789abcdef0" in failed.stderr
