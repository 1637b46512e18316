"""What a file may not say, one thing at a time: each is refused with a message that says where and why."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from rehost.sources.vhd import DiskDamaged, FeatureUnknown, NotAVirtualDisk
from sandbox.vhdx import VhdxWriter, create, create_vhd, create_vhdx
from sandbox.vhdx._layout import (
    BAT,
    DISK_SIZE,
    FULL,
    METADATA,
    PARTIAL,
    REQUIRED,
    Item,
    RegionEntry,
    metadata_region,
    region_table,
)
from sandbox.vhdx._vhd import summed
from tests.sources.vhd.disks import MIB, contents, patch

OTHER = UUID("11111111-2222-3333-4444-555555555555")
SIZE = 8 * MIB


def made(path: Path, change: Callable[[VhdxWriter], None] | None = None, **options: object) -> Path:
    with create_vhdx(path, SIZE, block_size=MIB, **options) as disk:  # type: ignore[arg-type]
        disk.write(0, b"x" * (2 * MIB))
        if change:
            change(disk)
    return path


def refused(path: Path, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as raised:
        contents(path)
    assert str(path) in str(raised.value)


def test_what_is_no_disk_at_all(tmp_path: Path) -> None:
    path = tmp_path / "disk.vhdx"
    for data in (b"", b"vhdx", bytes(511), b"#!/bin/sh\n" * 1000):
        path.write_bytes(data)
        refused(path, NotAVirtualDisk, "not a virtual disk")
    path.write_bytes(b"vhdxfile" + bytes(100))
    refused(path, DiskDamaged, "its headers: neither copy is valid")


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"version": 2}, FeatureUnknown, "version 2 of the VHDX format"),
        ({"log_version": 1, "log": OTHER}, FeatureUnknown, "its log has version 1"),
        ({"log": OTHER}, DiskDamaged, "no sequence of its entries is complete"),
        ({"log": OTHER, "log_length": 0}, DiskDamaged, "has no bytes"),
        ({"log_offset": MIB + 512}, DiskDamaged, "its log: it cannot lie at byte"),
        ({"log_offset": 1 << 50}, DiskDamaged, "its log: it cannot lie at byte"),
        ({"log_length": 3 * MIB}, DiskDamaged, "its metadata: it overlaps its log"),
    ],
)
def test_a_header(tmp_path: Path, changes: dict[str, object], kind: type[Exception], message: str) -> None:
    refused(made(tmp_path / "disk.vhdx", lambda disk: disk.update_header(**changes)), kind, message)


def test_a_log_of_an_unknown_version_does_not_matter_while_it_is_empty(tmp_path: Path) -> None:
    path = made(tmp_path / "disk.vhdx", lambda disk: disk.update_header(log_version=1))
    assert contents(path)[:MIB] == b"x" * MIB


TABLE, DATA = RegionEntry(BAT, 3 * MIB, MIB), RegionEntry(METADATA, 2 * MIB, MIB)


@pytest.mark.parametrize(
    ("entries", "kind", "message"),
    [
        ([TABLE, DATA, RegionEntry(OTHER, 5 * MIB, MIB, required=1)], FeatureUnknown, f"required region {OTHER}"),
        ([TABLE], DiskDamaged, "the allocation table or the metadata is missing"),
        ([TABLE, DATA, TABLE], DiskDamaged, "its allocation table: it is there twice"),
        ([RegionEntry(BAT, 3 * MIB + 4096, MIB), DATA], DiskDamaged, "its allocation table: it cannot lie at byte"),
        ([RegionEntry(BAT, 0, MIB), DATA], DiskDamaged, "its allocation table: it cannot lie at byte 0"),
        ([RegionEntry(BAT, 1 << 40, MIB), DATA], DiskDamaged, "its allocation table: it cannot lie at byte"),
        ([RegionEntry(BAT, 3 * MIB, 0), DATA], DiskDamaged, "its allocation table: it cannot lie at byte"),
        ([RegionEntry(BAT, MIB, MIB), DATA], DiskDamaged, "overlaps"),
        ([RegionEntry(BAT, 2 * MIB, MIB), DATA], DiskDamaged, "overlaps"),
        ([TABLE, DATA, RegionEntry(OTHER, 3 * MIB, 2 * MIB, required=0)], DiskDamaged, "overlaps"),
    ],
)
def test_a_region(tmp_path: Path, entries: list[RegionEntry], kind: type[Exception], message: str) -> None:
    path = made(tmp_path / "disk.vhdx")
    for offset in (192 << 10, 256 << 10):
        patch(path, offset, region_table(entries))
    refused(path, kind, message)


def test_too_many_regions(tmp_path: Path) -> None:
    path = made(tmp_path / "disk.vhdx")
    table = region_table([RegionEntry(OTHER, MIB, MIB)] * 2047)
    for offset in (192 << 10, 256 << 10):
        patch(path, offset, table)
    refused(path, FeatureUnknown, "required region")
    for offset in (192 << 10, 256 << 10):
        patch(path, offset, bytes(65536))
    refused(path, DiskDamaged, "its region tables: neither copy is valid")


def _with(guid_or_item: Item, *, drop: UUID | None = None) -> Callable[[list[Item]], list[Item]]:
    return lambda items: [item for item in items if item.guid != drop] + [guid_or_item]


def _changed(index: int, data: bytes) -> Callable[[list[Item]], list[Item]]:
    return lambda items: [Item(i.guid, data, i.flags) if n == index else i for n, i in enumerate(items)]


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (_with(Item(OTHER, b"1", REQUIRED)), FeatureUnknown, f"required metadata item {OTHER}"),
        (_with(Item(OTHER, b"1", REQUIRED | 1)), FeatureUnknown, f"required metadata item {OTHER}"),
        (lambda items: items[:1] + items[2:], DiskDamaged, f"the item {DISK_SIZE} is missing"),
        (lambda items: items + items[:1], DiskDamaged, "is there twice"),
        (_changed(0, struct.pack("<II", MIB + 512, 0)), DiskDamaged, "a block of 1049088 bytes"),
        (_changed(0, struct.pack("<II", 1 << 29, 0)), DiskDamaged, "a block of 536870912 bytes"),
        (_changed(0, struct.pack("<II", MIB, 2)), DiskDamaged, "it has a parent and does not say which"),
        (_changed(0, b"1234"), DiskDamaged, "has 4 bytes instead of 8"),
        (_changed(1, struct.pack("<Q", 0)), DiskDamaged, "a disk of 0 bytes"),
        (_changed(1, struct.pack("<Q", 513)), DiskDamaged, "a disk of 513 bytes"),
        (_changed(1, struct.pack("<Q", 65 << 40)), DiskDamaged, "a disk of .* bytes"),
        (_changed(1, struct.pack("<Q", 1 << 40)), DiskDamaged, "its allocation table: 1048576 bytes have no room for"),
        (_changed(3, struct.pack("<I", 520)), DiskDamaged, "sectors of 520 and 4096 bytes"),
        (_changed(4, struct.pack("<I", 0)), DiskDamaged, "sectors of 512 and 0 bytes"),
    ],
)
def test_metadata(
    tmp_path: Path, change: Callable[[list[Item]], list[Item]], kind: type[Exception], message: str
) -> None:
    path = tmp_path / "disk.vhdx"
    with create_vhdx(path, SIZE, block_size=MIB) as disk:
        region, items = disk.regions[METADATA], change(disk.items)
    patch(path, region.offset, metadata_region(items))
    refused(path, kind, message)


@pytest.mark.parametrize(
    ("offset", "length", "message"),
    [
        (0, 8, "cannot lie at 0"),
        (MIB - 4, 8, "cannot lie at"),
        (65536, 8, "overlap"),
        (65536, 2 * MIB, "cannot lie at"),
    ],
)
def test_a_metadata_item_in_a_wrong_place(tmp_path: Path, offset: int, length: int, message: str) -> None:
    path = made(tmp_path / "disk.vhdx")
    patch(path, 2 * MIB + 32 + 32 + 16, struct.pack("<II", offset, length))
    refused(path, DiskDamaged, message)


@pytest.mark.parametrize(
    ("place", "state", "message"),
    [
        (0, FULL, "overlaps its first mebibyte"),
        (MIB, FULL, "overlaps its log"),
        (2 * MIB, FULL, "overlaps its metadata"),
        (3 * MIB, FULL, "overlaps its allocation table"),
        (1 << 40, FULL, "past the end of the file"),
        ((1 << 64) - MIB, FULL, "past the end of the file"),
        (4 * MIB, PARTIAL, "partly its parent's, and it has none"),
        (4 * MIB, 4, "has the state 4"),
        (4 * MIB, 5, "has the state 5"),
    ],
)
def test_a_block(tmp_path: Path, place: int, state: int, message: str) -> None:
    refused(made(tmp_path / "disk.vhdx", lambda disk: disk.set_entry(1, place, state)), DiskDamaged, message)


def test_a_block_that_reaches_into_what_follows(tmp_path: Path) -> None:
    path = tmp_path / "disk.vhdx"
    with create_vhdx(path, SIZE, block_size=4 * MIB, gap=3) as disk:
        disk.set_entry(0, MIB, FULL)  # the table begins at 4 MiB
    refused(path, DiskDamaged, "a block at byte 1048576 of the file overlaps its allocation table")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (0, "partly present and has no sector bitmap"),
        (5 * MIB | 1, "partly present and has no sector bitmap"),
        (3 * MIB | FULL, "a sector bitmap at byte 3145728 of the file overlaps"),
        (1 << 40 | FULL, "a sector bitmap at byte .* past the end of the file"),
    ],
)
def test_a_sector_bitmap(tmp_path: Path, entry: int, message: str) -> None:
    made(tmp_path / "parent.vhdx")
    path = tmp_path / "disk.vhdx"
    with create_vhdx(path, parent=tmp_path / "parent.vhdx") as disk:
        disk.write(4096, b"c" * 512)
        at = disk.bitmap_entry_at(0)
    patch(path, at, struct.pack("<Q", entry))
    refused(path, DiskDamaged, message)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"parent_linkage": "nonsense"}, "parent_linkage is no GUID"),
        ({"relative_path": ""}, "does not say which file the parent is"),
        ({"relative_path": "a\0b"}, "has no usable name"),
    ],
)
def test_a_parent_locator(tmp_path: Path, names: dict[str, str], message: str) -> None:
    made(tmp_path / "parent.vhdx")
    create_vhdx(tmp_path / "disk.vhdx", parent=tmp_path / "parent.vhdx", parent_names=names).close()
    refused(tmp_path / "disk.vhdx", DiskDamaged, message)


@pytest.mark.parametrize(
    ("at", "value", "kind", "message"),
    [
        (4, struct.pack("<I", 0), DiskDamaged, "no sequence of its entries is complete"),  # its checksum
        (8, struct.pack("<I", 1 << 30), DiskDamaged, "no sequence of its entries is complete"),
        (16, struct.pack("<Q", 99), DiskDamaged, "no sequence of its entries is complete"),
        (32, bytes(16), DiskDamaged, "no sequence of its entries is complete"),
        (4096 + 100, b"torn", DiskDamaged, "no sequence of its entries is complete"),
    ],
)
def test_a_torn_log(tmp_path: Path, at: int, value: bytes, kind: type[Exception], message: str) -> None:
    path = tmp_path / "disk.vhdx"
    create_vhdx(path, SIZE).close()
    with VhdxWriter(path, defer_log=True) as disk:
        disk.write(0, b"x" * MIB)
    patch(path, MIB + at, value)
    refused(path, kind, message)


def test_a_file_that_was_cut_off_since_its_log_was_written(tmp_path: Path) -> None:
    path = tmp_path / "disk.vhdx"
    with create_vhdx(path, SIZE) as disk:
        disk.write(0, b"x" * SIZE)
    with VhdxWriter(path, defer_log=True) as disk:
        disk.trim(0, SIZE)
    with open(path, "r+b") as file:
        file.truncate(5 * MIB)
    refused(path, DiskDamaged, "it has been cut off")


@pytest.mark.parametrize(
    ("at", "value", "kind", "message"),
    [
        (12, struct.pack(">I", 0x20000), FeatureUnknown, "version 2 of the VHD format"),
        (60, struct.pack(">I", 5), FeatureUnknown, "a VHD of type 5"),
        (48, struct.pack(">Q", 0), DiskDamaged, "a disk of 0 bytes"),
        (48, struct.pack(">Q", 1 << 50), DiskDamaged, "a disk of 1125899906842624 bytes"),
        (48, struct.pack(">Q", 1 << 40), DiskDamaged, "do not reach the end"),
        (16, struct.pack(">Q", 1 << 50), DiskDamaged, "its dynamic header: .* past the end of the file"),
        (16, struct.pack(">Q", 0), DiskDamaged, "its dynamic header: none stands at byte 0"),
    ],
)
def test_a_footer(tmp_path: Path, at: int, value: bytes, kind: type[Exception], message: str) -> None:
    path = tmp_path / "disk.vhd"
    create_vhd(path, SIZE).close()
    end = path.stat().st_size - 512
    footer = path.read_bytes()[end:]
    patch(path, end, summed(footer[:at] + value + footer[at + len(value) :], 64))
    refused(path, kind, message)


def test_a_footer_without_a_checksum(tmp_path: Path) -> None:
    path = tmp_path / "disk.vhd"
    create_vhd(path, SIZE, fixed=True).close()
    patch(path, SIZE + 50, b"torn")
    refused(path, DiskDamaged, "no copy of it has a valid checksum")


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (24, struct.pack(">I", 0x20000), "its dynamic header has version 2"),
        (32, struct.pack(">I", 1000), "a block of 1000 bytes"),
        (28, struct.pack(">I", 1), "do not reach the end"),
        (16, struct.pack(">Q", 1 << 40), "entries cannot lie at byte"),
    ],
)
def test_a_dynamic_header(tmp_path: Path, at: int, value: bytes, message: str) -> None:
    path = tmp_path / "disk.vhd"
    create_vhd(path, SIZE).close()
    header = path.read_bytes()[512:1536]
    patch(path, 512, summed(header[:at] + value + header[at + len(value) :], 36))
    with pytest.raises((DiskDamaged, FeatureUnknown), match=message):
        contents(path)


@pytest.mark.parametrize("number", [0, 1 << 31, 0xFFFFFFFE])
def test_a_block_of_a_vhd(tmp_path: Path, number: int) -> None:
    path = tmp_path / "disk.vhd"
    with create(path, SIZE) as disk:
        disk.write(0, b"x" * 512)
    patch(path, 1536 + 4, struct.pack(">I", number))
    refused(path, DiskDamaged, "a block cannot lie at byte")
