"""The classic partition table at the start of a disk (MBR), read and written without a tool."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SECTOR = 512
FAT16_LBA = 0x0E
LINUX = 0x83

_TABLE = 446
_ENTRY = struct.Struct("<B3sB3sII")  # status, first CHS, type, last CHS, first LBA, sectors
_SIGNATURE = b"\x55\xaa"
# "Beyond what cylinders, heads and sectors can say": whoever reads it takes the LBA fields.
_NO_CHS = b"\xfe\xff\xff"


@dataclass(frozen=True)
class Partition:
    offset: int  # bytes
    length: int  # bytes
    type: int
    active: bool = False


def write(disk: Path, partitions: Sequence[Partition], *, signature: int, boot_code: bytes = b"") -> None:
    """Write the first sector: boot code (at most 440 bytes), the disk's signature, and at most four partitions."""
    if len(boot_code) > 440 or len(partitions) > 4:
        raise ValueError(len(boot_code), len(partitions))
    sector = bytearray(SECTOR)
    sector[: len(boot_code)] = boot_code
    struct.pack_into("<I", sector, 440, signature)
    for index, part in enumerate(partitions):
        status = 0x80 if part.active else 0
        entry = (status, _NO_CHS, part.type, _NO_CHS, part.offset // SECTOR, part.length // SECTOR)
        _ENTRY.pack_into(sector, _TABLE + index * _ENTRY.size, *entry)
    sector[510:] = _SIGNATURE
    with open(disk, "r+b") as handle:
        handle.write(sector)


def read(disk: Path) -> list[Partition]:
    """The partitions of a disk; none where the first sector has no table."""
    with open(disk, "rb") as handle:
        sector = handle.read(SECTOR)
    if len(sector) < SECTOR or sector[510:] != _SIGNATURE:
        return []
    found = []
    for index in range(4):
        status, _, kind, _, first, count = _ENTRY.unpack_from(sector, _TABLE + index * _ENTRY.size)
        if kind:
            found.append(Partition(first * SECTOR, count * SECTOR, kind, active=status == 0x80))
    return found
