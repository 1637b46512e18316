"""The parts that need no package and no disk: tables, archives, dependencies."""

from __future__ import annotations

import gzip
import lzma
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.machines import (
    MachineError,
    NoSuchFileSystem,
    PackageUnavailable,
    ToolFailed,
    ToolMissing,
    _initramfs,
    _packages,
    _partitions,
    _tools,
    accelerator,
    write_file,
)

_sectors = st.integers(1, 2**32 - 1)
_partition = st.builds(
    lambda first, count, kind, active: _partitions.Partition(first * 512, count * 512, kind, active),
    _sectors,
    _sectors,
    st.integers(1, 255),
    st.booleans(),
)


@given(parts=st.lists(_partition, max_size=4), code=st.binary(max_size=440), signature=st.integers(0, 2**32 - 1))
def test_a_partition_table_reads_back_as_written(
    tmp_path_factory: pytest.TempPathFactory, parts: list[_partitions.Partition], code: bytes, signature: int
) -> None:
    disk = tmp_path_factory.mktemp("table") / "disk"
    disk.write_bytes(bytes(1024))
    _partitions.write(disk, parts, signature=signature, boot_code=code)
    assert _partitions.read(disk) == parts
    content = disk.read_bytes()
    assert content.startswith(code)
    assert content[440:444] == signature.to_bytes(4, "little")
    assert content[510:512] == b"\x55\xaa"
    assert content[512:] == bytes(512)


def test_more_than_a_sector_holds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="441"):
        _partitions.write(tmp_path / "disk", [], signature=0, boot_code=bytes(441))


def test_a_disk_without_a_table_has_no_partitions(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(bytes(512))
    assert _partitions.read(tmp_path / "disk") == []


def _module(*dependencies: str) -> bytes:
    return b"\x7fELF...\0license=GPL\0depends=" + ",".join(dependencies).encode() + b"\0intree=Y\0"


def test_modules_load_after_what_they_depend_on(tmp_path: Path) -> None:
    known = {"ext4": ("mbcache", "jbd2"), "jbd2": (), "mbcache": (), "nvme": ("nvme-core",), "nvme_core": ()}
    found = {}
    for name, dependencies in known.items():
        found[name] = tmp_path / f"{name}.ko"
        found[name].write_bytes(_module(*dependencies))
    order = _initramfs.load_order(["nvme", "ext4", "built_into_this_kernel", "jbd2"], found)
    assert order == ["nvme_core", "nvme", "mbcache", "jbd2", "ext4"]


def _names(archive: bytes) -> list[str]:
    """The names in a newc archive, read as the kernel reads them: every header and every content on a multiple of 4."""
    names: list[str] = []
    position = 0
    while not names or names[-1] != "TRAILER!!!":
        assert archive[position : position + 6] == b"070701"
        size, length = (int(archive[position + at : position + at + 8], 16) for at in (54, 94))
        names.append(archive[position + 110 : position + 110 + length - 1].decode())
        position += -(-(110 + length) // 4) * 4 + -(-size // 4) * 4
    return names


def test_an_initramfs_holds_busybox_the_modules_and_their_order(tmp_path: Path) -> None:
    (tmp_path / "busybox").write_bytes(b"busybox")
    modules = tmp_path / "modules" / "kernel"
    modules.mkdir(parents=True)
    (modules / "virtio_blk.ko.xz").write_bytes(lzma.compress(_module("virtio")))
    (modules / "virtio.ko").write_bytes(_module())
    archive = gzip.decompress(_initramfs.build(tmp_path / "busybox", tmp_path / "modules"))
    assert {"init", "bin/busybox", "modules/virtio_blk.ko", "modules/virtio.ko"} <= set(_names(archive))
    assert b"virtio.ko\nvirtio_blk.ko\n" in archive


def test_a_disk_without_a_file_system_is_refused_by_name(tmp_path: Path) -> None:
    disk = tmp_path / "empty.raw"
    disk.write_bytes(bytes(1 << 20))
    with pytest.raises(NoSuchFileSystem, match=r"empty\.raw has no Linux partition"):
        write_file(disk, "/etc/motd", "hello")


def test_a_missing_tool_names_its_debian_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tools, "_SYSTEM", ())
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ToolMissing, match="package e2fsprogs"):
        _tools.find("mke2fs")


def test_without_apt_a_package_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tools, "_SYSTEM", ())
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(MachineError, match="apt"):
        _packages.Packages(tmp_path, lambda _: None).root_of("syslinux", ".*")


@pytest.mark.parametrize(
    "error",
    [
        ToolMissing(tool="mke2fs", package="e2fsprogs"),
        ToolFailed(tool="mke2fs", subject="a.raw", detail="no"),
        PackageUnavailable(package="syslinux", detail="no"),
        NoSuchFileSystem(disk=Path("a.raw")),
    ],
)
def test_errors_survive_pickle(error: MachineError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.attributes) == (type(error), str(error), error.attributes)


def test_kvm_is_used_only_where_it_opens_and_is_real(tmp_path: Path) -> None:
    device, software = tmp_path / "kvm", tmp_path / "kvm_pvm"
    assert accelerator(device, software) == "tcg"
    device.touch()
    assert accelerator(device, software) == "kvm"
    software.mkdir()
    assert accelerator(device, software) == "tcg"
