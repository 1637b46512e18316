"""The disks that are built, as they stand: file systems, sparseness, and what a change costs."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from rehost.blocks import BLOCK_SIZE
from sandbox.machines import MESSAGE_PATH, Disk, Machines, PackageUnavailable, _boot, _build, _ext4, build, write_file


def _disks(machines: Machines) -> dict[str, Disk]:
    return {disk.path.name: disk for disk in [*machines.web.disks, *machines.db.disks]}


def _copy(disk: Disk, folder: Path) -> Path:
    subprocess.run(["cp", "--sparse=always", disk.path, folder], check=True)
    return folder / disk.path.name


def _blocks(path: Path) -> list[bytes]:
    """The SHA-256 of each block, empty for one that is all zeros."""
    zero = bytes(BLOCK_SIZE)
    with open(path, "rb") as handle:
        return [
            b"" if block == zero[: len(block)] else hashlib.sha256(block).digest()
            for block in iter(lambda: handle.read(BLOCK_SIZE), b"")
        ]


def test_the_disks_have_their_sizes_and_are_sparse(machines: Machines) -> None:
    disks = _disks(machines)
    assert {name: disk.size >> 20 for name, disk in disks.items()} == {
        "web-01.raw": 512,
        "root.raw": 384,
        "data.raw": 8192,
    }
    for disk in disks.values():
        assert disk.path.stat().st_size == disk.size
        assert 64 << 20 < disk.allocated < 256 << 20


def test_every_file_system_is_clean(machines: Machines) -> None:
    for disk in _disks(machines).values():
        offset = _ext4._find(disk.path)
        done = subprocess.run(
            ["e2fsck", "-fn", f"{disk.path.name}?offset={offset}"],
            cwd=disk.path.parent,
            env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


def test_a_changed_file_touches_under_two_percent_of_the_allocated_blocks(machines: Machines, tmp_path: Path) -> None:
    disk = _copy(machines.web.disks[0], tmp_path)
    before = _blocks(disk)
    write_file(disk, MESSAGE_PATH, "written by a test\n")
    after = _blocks(disk)
    changed = sum(old != new for old, new in zip(before, after, strict=True))
    assert 0 < changed < 0.02 * sum(map(bool, before))
    assert _ext4.read_file(disk, MESSAGE_PATH) == b"written by a test\n"


def test_a_file_that_was_not_there_is_written_too(machines: Machines, tmp_path: Path) -> None:
    disk = _copy(machines.web.disks[0], tmp_path)
    write_file(disk, "/etc/new file", b"\x00\x01\x02" * 3000)
    write_file(disk, "/etc/new file", b"shorter")
    assert _ext4.read_file(disk, "/etc/new file") == b"shorter"


def test_content_is_the_same_every_time(machines: Machines, packages_cache: Path, tmp_path: Path) -> None:
    again = build(tmp_path, cache=packages_cache)
    for name, disk in _disks(machines).items():
        if name != "data.raw":  # 8 GiB of zeros to hash; it is made by the same code as the others
            assert _blocks(_disks(again)[name].path) == _blocks(disk.path), name


def test_without_packages_the_disks_hold_their_file_systems_and_say_why_they_do_not_boot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(_: object) -> _boot.BootFiles:
        raise PackageUnavailable(package="linux-image-cloud-amd64", detail="no mirror")

    monkeypatch.setattr(_build, "gather", unavailable)
    said: list[str] = []
    machines = build(tmp_path, cache=tmp_path / "cache", on_progress=said.append)
    assert not machines.bootable
    assert machines.reason == "the Debian package linux-image-cloud-amd64 cannot be had: no mirror"
    assert said
    write_file(machines.web.disks[0].path, MESSAGE_PATH, "still a file system\n")
    assert _ext4.read_file(machines.web.disks[0].path, MESSAGE_PATH) == b"still a file system\n"
    shutil.rmtree(tmp_path)
