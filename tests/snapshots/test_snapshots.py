"""`rehost upload` and `rehost restore` against the sandbox, as a user runs them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from rehost.blocks import BLOCK_SIZE, GIB
from sandbox import Sandbox

ID = re.compile(r"snap-[0-9a-f]+\n")


class User:
    def __init__(self, sandbox: Sandbox, home: Path) -> None:
        self.sandbox, self.home = sandbox, home
        kept = {name: os.environ[name] for name in ("PATH",)}
        self.env = {
            **kept,
            "HOME": str(home),
            "AWS_ACCESS_KEY_ID": "sandbox",
            "AWS_SECRET_ACCESS_KEY": "sandbox",
            "AWS_REGION": "eu-central-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": sandbox.endpoint,
        }

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "rehost.cli", *map(str, arguments)]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, check=False)

    def upload(self, *arguments: object) -> str:
        done = self.run("upload", *arguments)
        assert done.returncode == 0, done.stderr
        assert ID.fullmatch(done.stdout)
        return done.stdout.strip()

    def snapshots(self, state: str) -> list[str]:
        ec2 = boto3.client(
            "ec2",
            region_name="eu-central-1",
            endpoint_url=self.sandbox.endpoint,
            aws_access_key_id="sandbox",
            aws_secret_access_key="sandbox",
        )
        found = ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
        return [each["SnapshotId"] for each in found if each["State"] == state]


@pytest.fixture
def user(sandbox: Sandbox, tmp_path: Path) -> User:
    return User(sandbox, tmp_path)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """64 MiB: data, a hole, written zeros, data, and a last block that is not whole."""
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        file.write(os.urandom(3 * BLOCK_SIZE))
        file.seek(50 * BLOCK_SIZE)
        file.write(bytes(BLOCK_SIZE))
        file.write(os.urandom(BLOCK_SIZE))
        file.truncate(127 * BLOCK_SIZE)
        file.seek(127 * BLOCK_SIZE)
        file.write(os.urandom(4096))
    return path


def restored(user: User, snapshot: str, image: Path) -> None:
    """The snapshot reads as the image, and zeros are holes."""
    target = user.home / "restored.raw"
    done = user.run("restore", snapshot, target, "--force")
    assert done.returncode == 0, done.stderr
    assert target.stat().st_size == GIB
    assert target.stat().st_blocks * 512 <= 8 * BLOCK_SIZE
    with target.open("rb") as back, image.open("rb") as source:
        length = image.stat().st_size
        assert back.read(length) == source.read()
        with pytest.raises(OSError, match="No such device or address"):  # nothing but a hole follows
            os.lseek(back.fileno(), 129 * BLOCK_SIZE, os.SEEK_DATA)


def test_up_and_down_again(user: User, image: Path) -> None:
    snapshot = user.upload(image, "--tag", "a=b", "--wait")
    assert snapshot in user.snapshots("completed")
    restored(user, snapshot, image)
    again = user.run("restore", snapshot, user.home / "restored.raw")
    assert (again.returncode, again.stdout) == (1, "")
    assert "exists" in again.stderr


def test_an_upload_is_verified_against_its_manifest(user: User, sandbox: Sandbox, image: Path) -> None:
    snapshot = user.upload(image, "--wait")
    good = user.run("verify", snapshot)
    assert (good.returncode, good.stderr) == (0, "")
    assert "5 blocks read back  same as the manifest" in good.stdout
    manifest = user.home / ".local/state/rehost/manifests" / f"{snapshot}.manifest"
    flipped = bytearray(manifest.read_bytes())
    flipped[5000] ^= 1
    manifest.write_bytes(flipped)
    bad = user.run("verify", snapshot)
    assert bad.returncode == 1
    assert "damaged" in bad.stderr


@pytest.mark.parametrize("known", [True, False], ids=["manifest", "no-manifest"])
def test_a_child_holds_what_differs(user: User, image: Path, known: bool) -> None:
    parent = user.upload(image, "--wait")
    with image.open("r+b") as file:
        file.write(bytes(BLOCK_SIZE))  # data that became zero
        file.seek(60 * BLOCK_SIZE)
        file.write(b"new")
    if not known:
        (user.home / ".local/state/rehost/manifests" / f"{parent}.manifest").unlink()
    done = user.run("upload", image, "--parent", parent, "--wait")
    assert done.returncode == 0, done.stderr
    assert ("every block is sent" in done.stderr) is not known
    restored(user, done.stdout.strip(), image)


def test_a_failed_upload_leaves_no_snapshot(user: User, sandbox: Sandbox, image: Path) -> None:
    before = user.snapshots("pending")
    fault = {"service": "ebs", "operation": "PutSnapshotBlock", "status": 403, "code": "AccessDeniedException"}
    sandbox.fault(action="error", message="not for you", **fault)
    try:
        done = user.run("upload", image)
    finally:
        sandbox.clear_faults()
    assert (done.returncode, done.stdout) == (1, "")
    assert "not for you" in done.stderr
    assert "at byte" in done.stderr
    assert "Traceback" not in done.stderr
    assert user.snapshots("pending") == before
    assert not list((user.home / ".local/state/rehost/manifests").iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.raw"], "does not exist"),
        (["disk.raw", "--parent", "snap-0123456789abcdef0"], "snap-0123456789abcdef0"),
        (["disk.raw", "--throttle", "quick"], "200 MiB/s"),
        (["disk.raw", "--tag", "novalue"], "KEY=VALUE"),
        (["disk.raw", "--parent", "snap-1", "--encrypt"], "not allowed with"),
    ],
)
def test_bad_input_is_said_and_nothing_is_made(user: User, image: Path, arguments: list[str], said: str) -> None:
    before = user.snapshots("pending") + user.snapshots("completed")
    done = user.run("upload", *[str(user.home / each) if each.endswith(".raw") else each for each in arguments])
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert user.snapshots("pending") + user.snapshots("completed") == before


def test_a_corrupted_block_is_not_restored(user: User, sandbox: Sandbox, image: Path) -> None:
    snapshot = user.upload(image, "--wait")
    sandbox.fault(action="corrupt", service="ebs", operation="GetSnapshotBlock", match={"SnapshotId": snapshot})
    try:
        done = user.run("restore", snapshot, user.home / "restored.raw")
    finally:
        sandbox.clear_faults()
    assert done.returncode == 1
    assert "does not match its checksum" in done.stderr
    assert sorted(each.name for each in user.home.iterdir()) == [".local", "disk.raw"]
