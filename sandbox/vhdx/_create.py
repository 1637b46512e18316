"""Makes VHDX files, usual ones and others."""

from __future__ import annotations

import os
import struct
import uuid
from collections.abc import Sequence

from sandbox.vhdx._layout import (
    BAT,
    DISK_ID,
    DISK_SIZE,
    FILE_PARAMETERS,
    FULL,
    HEADERS,
    LOGICAL_SECTOR,
    METADATA,
    MIB,
    PARENT_LOCATOR,
    PHYSICAL_SECTOR,
    REGION_TABLES,
    REQUIRED,
    VIRTUAL_DISK,
    Header,
    Item,
    RegionEntry,
    metadata_region,
    parent_locator,
    region_table,
)
from sandbox.vhdx._names import relative_name
from sandbox.vhdx._vhdx import VhdxWriter, os_write


def create_vhdx(
    path: str | os.PathLike[str],
    size: int | None = None,
    *,
    block_size: int | None = None,
    sector_size: int | None = None,
    physical_sector_size: int = 4096,
    fixed: bool = False,
    parent: str | os.PathLike[str] | None = None,
    parent_names: dict[str, str] | None = None,
    log_length: int = MIB,
    gap: int = 0,
    extra_regions: Sequence[RegionEntry] = (),
    extra_items: Sequence[Item] = (),
) -> VhdxWriter:
    """Make a file and open it.

    With `parent` it is a differencing one, of its size, sector and (unless another is given) block size. `parent_names` are
    further entries of the parent locator, in the place of `relative_path` if it has one. `gap` MiB stay free between the
    log, the metadata and the table, which then stand in another order than usual. Sizes in bytes.
    """
    if parent is not None:
        with VhdxWriter(parent) as above:
            size = above.size if size is None else size
            sector_size = above.sector_size if sector_size is None else sector_size
            block_size = above.block_size if block_size is None else block_size
            linkage = above.data_write
    if size is None:
        raise ValueError("a disk without a parent has a size")
    block_size, sector_size = block_size or 2 * MIB, sector_size or 512
    blocks = -(-size // block_size)
    ratio = (1 << 23) * sector_size // block_size
    table_length = max(MIB, -(-(-(-blocks // ratio) * (ratio + 1) * 8) // MIB) * MIB)
    items = [
        Item(FILE_PARAMETERS, struct.pack("<II", block_size, int(fixed) | 2 * (parent is not None)), REQUIRED),
        Item(DISK_SIZE, struct.pack("<Q", size), REQUIRED | VIRTUAL_DISK),
        Item(DISK_ID, uuid.uuid4().bytes_le, REQUIRED | VIRTUAL_DISK),
        Item(LOGICAL_SECTOR, struct.pack("<I", sector_size), REQUIRED | VIRTUAL_DISK),
        Item(PHYSICAL_SECTOR, struct.pack("<I", physical_sector_size), REQUIRED | VIRTUAL_DISK),
        *extra_items,
    ]
    if parent is not None:
        names = {
            "parent_linkage": f"{{{linkage}}}",
            "relative_path": relative_name(parent, path),
            **(parent_names or {}),
        }
        items.append(Item(PARENT_LOCATOR, parent_locator(names), REQUIRED))
    header = Header(log_length=log_length)
    metadata = RegionEntry(METADATA, MIB + log_length, MIB)
    table = RegionEntry(BAT, metadata.offset + metadata.length, table_length)
    if gap:
        table = RegionEntry(BAT, (1 + gap) * MIB, table_length)
        header.log_offset = table.offset + table_length + gap * MIB
        metadata = RegionEntry(METADATA, header.log_offset + log_length + gap * MIB, MIB)
    regions = [table, metadata, *extra_regions]
    end = max([entry.offset + entry.length for entry in regions] + [header.log_offset + log_length])
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        os.ftruncate(descriptor, end)
        os_write(descriptor, b"vhdxfile" + "rehost sandbox".encode("utf-16-le"), 0)
        for at in HEADERS:
            os_write(descriptor, header.encode(), at)
            header.sequence += 1
        for at in REGION_TABLES:
            os_write(descriptor, region_table(regions), at)
        os_write(descriptor, metadata_region(items), metadata.offset)
        if fixed and parent is None:
            _allocate_all(descriptor, table, blocks, ratio, block_size, end)
    finally:
        os.close(descriptor)
    return VhdxWriter(path)


def _allocate_all(descriptor: int, table: RegionEntry, blocks: int, ratio: int, block_size: int, end: int) -> None:
    entries = bytearray()
    for block in range(blocks):
        entries += struct.pack("<Q", end + block * block_size | FULL)
        if block % ratio == ratio - 1:
            entries += bytes(8)
    os_write(descriptor, entries, table.offset)
    os.ftruncate(descriptor, end + blocks * block_size)
