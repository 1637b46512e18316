"""What a VHDX is made of, as bytes. Source: [MS-VHDX] v20240423. Written apart from the reader, which it is to test."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rehost.sources.vhd import crc32c

KIB, MIB = 1 << 10, 1 << 20
HEADERS = (64 * KIB, 128 * KIB)
REGION_TABLES = (192 * KIB, 256 * KIB)
BAT = uuid.UUID("2dc27766-f623-4200-9d64-115e9bfd4a08")
METADATA = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")
FILE_PARAMETERS = uuid.UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b")
DISK_SIZE = uuid.UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
DISK_ID = uuid.UUID("beca12ab-b2e6-4523-93ef-c309e000c746")
LOGICAL_SECTOR = uuid.UUID("8141bf1d-a96f-4709-ba47-f233a8faab5f")
PHYSICAL_SECTOR = uuid.UUID("cda348c7-445d-4471-9cc9-e9885251c556")
PARENT_LOCATOR = uuid.UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c")
VHDX_LOCATOR = uuid.UUID("b04aefb7-d19e-4a81-b789-25b8e9445913")
NO_GUID = uuid.UUID(int=0)

#: 2.5.1.1.
NOT_PRESENT, UNDEFINED, ZERO, UNMAPPED, FULL, PARTIAL = 0, 1, 2, 3, 6, 7
#: 2.6.1.2.
USER, VIRTUAL_DISK, REQUIRED = 1, 2, 4


@dataclass
class Header:
    """2.2.2."""

    sequence: int = 1
    file_write: uuid.UUID = field(default_factory=uuid.uuid4)
    data_write: uuid.UUID = field(default_factory=uuid.uuid4)
    log: uuid.UUID = NO_GUID
    log_version: int = 0
    version: int = 1
    log_length: int = MIB
    log_offset: int = MIB

    def encode(self) -> bytes:
        guids = self.file_write.bytes_le + self.data_write.bytes_le + self.log.bytes_le
        rest = struct.pack("<HHIQ", self.log_version, self.version, self.log_length, self.log_offset)
        return sealed(b"head" + bytes(4) + struct.pack("<Q", self.sequence) + guids + rest + bytes(4016))

    @classmethod
    def decode(cls, data: bytes) -> Header | None:
        """None where it is not valid."""
        if data[:4] != b"head" or sealed(data) != data:
            return None
        (sequence,) = struct.unpack_from("<Q", data, 8)
        file_write, data_write, log = (uuid.UUID(bytes_le=data[at : at + 16]) for at in (16, 32, 48))
        return cls(sequence, file_write, data_write, log, *struct.unpack_from("<HHIQ", data, 64))


@dataclass(frozen=True)
class RegionEntry:
    """2.2.3.2."""

    guid: uuid.UUID
    offset: int
    length: int
    required: int = 1


@dataclass(frozen=True)
class Item:
    """2.6.1.2, with its bytes."""

    guid: uuid.UUID
    data: bytes
    flags: int


def region_table(entries: Sequence[RegionEntry]) -> bytes:
    """2.2.3: 64 KiB."""
    table = b"regi" + bytes(4) + struct.pack("<II", len(entries), 0)
    for entry in entries:
        table += entry.guid.bytes_le + struct.pack("<QII", entry.offset, entry.length, entry.required)
    return sealed(table.ljust(64 * KIB, b"\0"))


def decode_region_table(table: bytes) -> list[RegionEntry]:
    (count,) = struct.unpack_from("<I", table, 8)
    found = []
    for at in range(16, 16 + 32 * count, 32):
        found.append(RegionEntry(uuid.UUID(bytes_le=table[at : at + 16]), *struct.unpack_from("<QII", table, at + 16)))
    return found


def metadata_region(items: Sequence[Item]) -> bytes:
    """2.6.1: the table, and the items behind it; not filled up."""
    table = b"metadata" + struct.pack("<HH", 0, len(items)) + bytes(20)
    data, at = b"", 64 * KIB
    for item in items:
        table += item.guid.bytes_le + struct.pack("<IIII", at if item.data else 0, len(item.data), item.flags, 0)
        data += item.data
        at += len(item.data)
    return table.ljust(64 * KIB, b"\0") + data


def decode_metadata(region: bytes) -> list[Item]:
    (count,) = struct.unpack_from("<H", region, 10)
    found = []
    for at in range(32, 32 + 32 * count, 32):
        offset, length, flags = struct.unpack_from("<III", region, at + 16)
        found.append(Item(uuid.UUID(bytes_le=region[at : at + 16]), region[offset : offset + length], flags))
    return found


def parent_locator(entries: Mapping[str, str]) -> bytes:
    """2.6.2.6."""
    table = VHDX_LOCATOR.bytes_le + struct.pack("<HH", 0, len(entries))
    strings, at = b"", 20 + 12 * len(entries)
    for key, value in entries.items():
        encoded_key, encoded_value = key.encode("utf-16-le"), value.encode("utf-16-le")
        lengths = len(encoded_key), len(encoded_value)
        table += struct.pack("<IIHH", at + len(strings), at + len(strings) + lengths[0], *lengths)
        strings += encoded_key + encoded_value
    return table + strings


def decode_locator(item: bytes) -> dict[str, str]:
    found = {}
    (count,) = struct.unpack_from("<H", item, 18)
    for at in range(20, 20 + 12 * count, 12):
        key, value, key_length, value_length = struct.unpack_from("<IIHH", item, at)
        found[item[key : key + key_length].decode("utf-16-le")] = item[value : value + value_length].decode("utf-16-le")
    return found


def sealed(data: bytes) -> bytes:
    """The same with the CRC-32C of it all in bytes 4 to 7."""
    blank = data[:4] + bytes(4) + data[8:]
    return blank[:4] + crc32c(blank).to_bytes(4, "little") + blank[8:]
