"""Files that qemu-img made, and files of our own writer that QEMU can read, are the same disk for QEMU and for us."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from sandbox.vhdx import VhdxWriter, create, create_vhdx
from sandbox.vhdx._layout import FULL, UNDEFINED, UNMAPPED, USER, ZERO, Item, RegionEntry
from tests.sources.vhd.disks import MIB, contents, patch, qemu_contents, qemu_img, scattered

SIZE = 13 * MIB + 512
OTHER = UUID("11111111-2222-3333-4444-555555555555")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("vhdx", "subformat=dynamic,block_size=1M"),
        ("vhdx", "subformat=dynamic,block_size=8M"),
        ("vhdx", "subformat=dynamic,block_size=256M"),
        ("vhdx", "subformat=dynamic,block_size=2M,block_state_zero=off"),
        ("vhdx", "subformat=fixed,block_size=2M,log_size=3M"),
        ("vpc", "subformat=dynamic"),
        ("vpc", "subformat=dynamic,force_size=on"),
        ("vpc", "subformat=fixed"),
        ("vpc", "subformat=fixed,force_size=on"),
    ],
)
def test_a_file_of_qemu_img_reads_as_qemu_reads_it(tmp_path: Path, kind: str, options: str) -> None:
    raw, path = tmp_path / "disk.raw", tmp_path / "disk.img"
    raw.write_bytes(scattered(SIZE, 1))
    qemu_img("convert", "-f", "raw", "-O", kind, "-o", options, raw, path)
    assert contents(path) == qemu_contents(path, kind)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("disk.vhdx", {"block_size": MIB}),
        ("disk.vhdx", {"block_size": 32 * MIB, "physical_sector_size": 512}),
        ("disk.vhdx", {"fixed": True}),
        ("disk.vhdx", {"block_size": MIB, "gap": 5, "log_length": 2 * MIB}),
        ("disk.vhdx", {"extra_regions": [RegionEntry(OTHER, 64 * MIB, 2 * MIB, required=0)]}),
        ("disk.vhdx", {"extra_items": [Item(OTHER, b"somebody's", USER), Item(OTHER, b"", 0)]}),
        ("disk.vhd", {}),
        ("disk.vhd", {"fixed": True}),
    ],
)
def test_a_file_of_ours_reads_as_qemu_reads_it(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    path, expected = tmp_path / name, bytearray(scattered(SIZE, 2))
    with create(path, SIZE, **options) as disk:
        disk.write(0, expected)
        disk.zero(3 * MIB - 512, 5 * MIB)
    expected[3 * MIB - 512 : 8 * MIB - 512] = bytes(5 * MIB)
    assert contents(path) == expected
    seen = qemu_contents(path, "vhdx" if path.suffix == ".vhdx" else "vpc")
    assert seen[:SIZE] == expected, "QEMU makes a VHD as long as its geometry says"
    assert not any(seen[SIZE:])


@pytest.mark.parametrize("state", [ZERO, UNMAPPED, UNDEFINED])
def test_a_block_that_is_not_there_is_zeros_though_its_entry_names_a_place(tmp_path: Path, state: int) -> None:
    path = tmp_path / "disk.vhdx"
    with create_vhdx(path, SIZE, block_size=MIB) as disk:
        disk.write(0, b"x" * (4 * MIB))
        place, was = disk.entry(2)
        assert was == FULL
        disk.set_entry(2, place, state)
    assert contents(path) == qemu_contents(path, "vhdx")
    assert contents(path)[2 * MIB : 3 * MIB] == bytes(MIB)


@pytest.mark.parametrize("copy", [64 << 10, 128 << 10])
def test_one_header_is_enough(tmp_path: Path, copy: int) -> None:
    path = tmp_path / "disk.vhdx"
    with create_vhdx(path, SIZE) as disk:
        disk.write(0, b"x" * MIB)
    patch(path, copy + 100, b"torn")
    assert contents(path) == qemu_contents(path, "vhdx")


def test_the_second_region_table_is_used_where_the_first_is_torn(tmp_path: Path) -> None:
    # QEMU reads the first one only.
    path = tmp_path / "disk.vhdx"
    with create_vhdx(path, SIZE) as disk:
        disk.write(0, b"x" * MIB)
    patch(path, 192 << 10, b"torn")
    assert contents(path)[: 2 * MIB] == b"x" * MIB + bytes(MIB)


def test_the_copy_of_a_vhds_footer_is_used_where_the_last_is_torn(tmp_path: Path) -> None:
    path = tmp_path / "disk.vhd"
    with create(path, SIZE) as disk:
        disk.write(0, b"x" * MIB)
    expected = contents(path)
    patch(path, path.stat().st_size - 200, b"torn")
    assert contents(path) == expected


def test_a_log_is_read_as_qemu_replays_it(tmp_path: Path) -> None:
    path = tmp_path / "disk.vhdx"
    create_vhdx(path, 40 * MIB, block_size=MIB).close()
    with VhdxWriter(path, defer_log=True) as disk:
        expected = bytearray(scattered(40 * MIB, 3))
        for offset in range(0, 40 * MIB, 2 * MIB):
            disk.write(offset, expected[offset : offset + MIB])
            expected[offset + MIB : offset + 2 * MIB] = bytes(MIB)
    before = path.read_bytes()
    assert contents(path) == expected
    assert path.read_bytes() == before, "reading must not write the log back"
    refused = subprocess.run(
        ["qemu-img", "convert", "-O", "raw", path, tmp_path / "raw"], capture_output=True, text=True
    )
    assert "replay" in refused.stderr.lower(), "the log is one that QEMU sees too"
    qemu_img("check", "-f", "vhdx", "-r", "all", path)
    assert qemu_contents(path, "vhdx") == expected == contents(path)
