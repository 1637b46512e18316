"""VHDX: what stands in the first mebibyte, and the metadata. Source: [MS-VHDX] v20240423, sections 2.2 and 2.6."""

from __future__ import annotations

import itertools
import struct
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rehost.sources.vhd._crc32c import crc32c
from rehost.sources.vhd._errors import FeatureUnknown
from rehost.sources.vhd._files import DiskFile

KIB, MIB, TIB = 1 << 10, 1 << 20, 1 << 40
SIGNATURE = b"vhdxfile"
HEADERS = (64 * KIB, 128 * KIB)  # 2.2.2
REGION_TABLES = (192 * KIB, 256 * KIB)  # 2.2.3
_HEADER_SIZE, _TABLE_SIZE = 4 * KIB, 64 * KIB
_MOST_ENTRIES = 2047
_MOST_USER_ENTRIES = 1024
_LARGEST_ITEM = MIB
_LARGEST_DISK = 64 * TIB

_BAT = uuid.UUID("2dc27766-f623-4200-9d64-115e9bfd4a08")
_METADATA = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")
_FILE_PARAMETERS = uuid.UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b")
_DISK_SIZE = uuid.UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
_DISK_ID = uuid.UUID("beca12ab-b2e6-4523-93ef-c309e000c746")
_LOGICAL_SECTOR = uuid.UUID("8141bf1d-a96f-4709-ba47-f233a8faab5f")
_PHYSICAL_SECTOR = uuid.UUID("cda348c7-445d-4471-9cc9-e9885251c556")
_PARENT_LOCATOR = uuid.UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c")
_VHDX_LOCATOR = uuid.UUID("b04aefb7-d19e-4a81-b789-25b8e9445913")
#: The items that every file has, each with its length; 0 for one of any length.
_ITEMS = {_FILE_PARAMETERS: 8, _DISK_SIZE: 8, _DISK_ID: 16, _LOGICAL_SECTOR: 4, _PHYSICAL_SECTOR: 4, _PARENT_LOCATOR: 0}
_EMPTY = uuid.UUID(int=0)


@dataclass(frozen=True)
class Header:
    """The current one of the two (2.2.2)."""

    sequence: int
    file_write: uuid.UUID
    data_write: uuid.UUID
    log: uuid.UUID | None  # None where there is nothing to replay
    log_offset: int
    log_length: int

    @property
    def state(self) -> str:
        """2.2.2: whoever opens the file to write changes FileWriteGuid before anything else."""
        return f"{self.sequence}/{self.file_write}/{self.data_write}/{self.log}"


@dataclass(frozen=True)
class Region:
    name: str
    offset: int
    length: int

    @property
    def end(self) -> int:
        return self.offset + self.length


@dataclass(frozen=True)
class Metadata:
    block_size: int
    disk_size: int
    sector_size: int
    disk_id: uuid.UUID
    locator: Mapping[str, str] | None  # of a differencing disk


def read_header(file: DiskFile) -> Header:
    """The current header. Raises DiskDamaged where none is valid."""
    found: list[tuple[int, bytes]] = []
    for offset in HEADERS:
        if offset + _HEADER_SIZE > file.size:
            continue
        data = bytearray(_HEADER_SIZE)
        file.fill_unpatched(offset, memoryview(data))
        if data[:4] == b"head" and _checksum_holds(data):
            found.append((struct.unpack_from("<Q", data, 8)[0], bytes(data)))
    if not found:
        raise file.damaged("its headers", "neither copy is valid")
    sequence, current = max(found, key=lambda pair: pair[0])
    file_write, data_write, log = (uuid.UUID(bytes_le=current[at : at + 16]) for at in (16, 32, 48))
    log_version, version, log_length, log_offset = struct.unpack_from("<HHIQ", current, 64)
    if version != 1:
        raise FeatureUnknown(path=file.path, reason=f"it has version {version} of the VHDX format, and only 1 is known")
    if log != _EMPTY and log_version != 0:
        raise FeatureUnknown(path=file.path, reason=f"its log has version {log_version}, and only 0 is known")
    if log_length % MIB or log_offset % MIB or (log_length and log_offset < MIB) or log_offset + log_length > file.size:
        raise file.damaged("its log", f"it cannot lie at byte {log_offset} with {log_length} bytes")
    return Header(sequence, file_write, data_write, None if log == _EMPTY else log, log_offset, log_length)


def read_regions(file: DiskFile, header: Header) -> tuple[Region, Region, Sequence[Region]]:
    """The allocation table, the metadata, and everything that no block may overlap. Raises DiskDamaged, FeatureUnknown."""
    for offset in REGION_TABLES:
        table = bytearray(file.read(offset, _TABLE_SIZE, "its region table"))
        if table[:4] == b"regi" and _checksum_holds(table):
            break
    else:
        raise file.damaged("its region tables", "neither copy is valid")
    count = struct.unpack_from("<I", table, 8)[0]
    if count > _MOST_ENTRIES:
        raise file.damaged("its region table", f"it has {count} entries, and {_MOST_ENTRIES} are the most")
    regions: dict[uuid.UUID, Region] = {}
    for index in range(count):
        at = 16 + 32 * index
        key = uuid.UUID(bytes_le=bytes(table[at : at + 16]))
        start, length, required = struct.unpack_from("<QII", table, at + 16)
        if key not in (_BAT, _METADATA) and required & 1:
            raise FeatureUnknown(path=file.path, reason=f"it has a required region {key} that is not known")
        name = {_BAT: "its allocation table", _METADATA: "its metadata"}.get(key, f"its region {key}")
        if key in regions:
            raise file.damaged(name, "it is there twice")
        if start % MIB or start < MIB or length % MIB or not length or start + length > file.size:
            raise file.damaged(name, f"it cannot lie at byte {start} with {length} bytes")
        regions[key] = Region(name, start, length)
    if _BAT not in regions or _METADATA not in regions:
        raise file.damaged("its region table", "the allocation table or the metadata is missing")
    taken = [Region("its first mebibyte", 0, MIB), *regions.values()]
    if header.log_length:
        taken.append(Region("its log", header.log_offset, header.log_length))
    taken.sort(key=lambda region: region.offset)
    for before, after in itertools.pairwise(taken):
        if after.offset < before.end:
            raise file.damaged(after.name, f"it overlaps {before.name}")
    return regions[_BAT], regions[_METADATA], taken


def read_metadata(file: DiskFile, region: Region) -> Metadata:
    """Raises DiskDamaged, FeatureUnknown."""
    where = region.name
    if region.length < _TABLE_SIZE:
        raise file.damaged(where, "it is too short for its table")
    table = file.read(region.offset, _TABLE_SIZE, where)
    count = struct.unpack_from("<H", table, 10)[0]
    if table[:8] != b"metadata" or count > _MOST_ENTRIES:
        raise file.damaged(where, "it does not begin with a metadata table")
    items: dict[uuid.UUID, bytes] = {}
    seen: set[tuple[uuid.UUID, int]] = set()
    pieces: list[tuple[int, int]] = []
    for index in range(count):
        at = 32 + 32 * index
        key = uuid.UUID(bytes_le=table[at : at + 16])
        offset, length, flags = struct.unpack_from("<III", table, at + 16)
        user, required = flags & 1, flags & 4
        if (key, user) in seen:
            raise file.damaged(where, f"the item {key} is there twice")
        seen.add((key, user))
        if length > _LARGEST_ITEM or (length and offset < _TABLE_SIZE) or offset + length > region.length:
            raise file.damaged(where, f"the item {key} cannot lie at {offset} with {length} bytes")
        if length:
            pieces.append((offset, offset + length))
        if user or key not in _ITEMS:
            if required:
                raise FeatureUnknown(path=file.path, reason=f"it has a required metadata item {key} that is not known")
            continue
        if _ITEMS[key] and length != _ITEMS[key]:
            raise file.damaged(where, f"the item {key} has {length} bytes instead of {_ITEMS[key]}")
        items[key] = file.read(region.offset + offset, length, where)
    if sum(user for _key, user in seen) > _MOST_USER_ENTRIES:
        raise file.damaged(where, f"it has more than {_MOST_USER_ENTRIES} items of users")
    pieces.sort()
    if any(after[0] < before[1] for before, after in itertools.pairwise(pieces)):
        raise file.damaged(where, "two of its items overlap")
    missing = [key for key in _ITEMS if key not in items and key != _PARENT_LOCATOR]
    if missing:
        raise file.damaged(where, f"the item {missing[0]} is missing")
    return _metadata(file, where, items)


def _metadata(file: DiskFile, where: str, items: Mapping[uuid.UUID, bytes]) -> Metadata:
    block_size, flags = struct.unpack("<II", items[_FILE_PARAMETERS])
    (size,) = struct.unpack("<Q", items[_DISK_SIZE])
    sectors = [struct.unpack("<I", items[key])[0] for key in (_LOGICAL_SECTOR, _PHYSICAL_SECTOR)]
    if not MIB <= block_size <= 256 * MIB or block_size & block_size - 1:
        raise file.damaged(where, f"a block of {block_size} bytes is none: a power of two from 1 to 256 MiB")
    if any(sector not in (512, 4096) for sector in sectors):
        raise file.damaged(where, f"sectors of {sectors[0]} and {sectors[1]} bytes are none: 512 or 4096")
    if not size or size % sectors[0] or size > _LARGEST_DISK:
        raise file.damaged(where, f"a disk of {size} bytes is none: sectors of {sectors[0]} bytes, up to 64 TiB")
    locator = None
    if flags & 2:
        if _PARENT_LOCATOR not in items:
            raise file.damaged(where, "it has a parent and does not say which")
        locator = _read_locator(file, items[_PARENT_LOCATOR])
    return Metadata(block_size, size, sectors[0], uuid.UUID(bytes_le=items[_DISK_ID]), locator)


def _read_locator(file: DiskFile, item: bytes) -> Mapping[str, str]:
    """2.6.2.6: keys and values in UTF-16."""
    where = "its parent locator"
    if len(item) < 20:
        raise file.damaged(where, f"{len(item)} bytes are none")
    kind = uuid.UUID(bytes_le=item[:16])
    if kind != _VHDX_LOCATOR:
        raise FeatureUnknown(path=file.path, reason=f"its parent is not a VHDX (locator type {kind})")
    (count,) = struct.unpack_from("<H", item, 18)
    if 20 + 12 * count > len(item):
        raise file.damaged(where, f"{count} entries do not fit into it")
    found: dict[str, str] = {}
    for index in range(count):
        key_at, value_at, key_length, value_length = struct.unpack_from("<IIHH", item, 20 + 12 * index)
        if key_at + key_length > len(item) or value_at + value_length > len(item):
            raise file.damaged(where, f"its entry {index} leads out of it")
        try:
            key = item[key_at : key_at + key_length].decode("utf-16-le")
            value = item[value_at : value_at + value_length].decode("utf-16-le")
        except UnicodeDecodeError:
            raise file.damaged(where, f"its entry {index} is not text") from None
        if not key or key in found or "\0" in key + value:
            raise file.damaged(where, f"its entry {index} has no usable name")
        found[key] = value
    return found


def _checksum_holds(data: bytearray) -> bool:
    """Whether bytes 4 to 7 are the CRC-32C of the rest; they are zeros afterwards."""
    expected = int.from_bytes(data[4:8], "little")
    data[4:8] = bytes(4)
    return crc32c(data) == expected
