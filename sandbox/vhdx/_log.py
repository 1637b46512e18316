"""Entries of a VHDX's log. Source: [MS-VHDX] v20240423, 2.3.1."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Sequence

from sandbox.vhdx._layout import sealed

_SECTOR = 4096


def log_entry(
    log: uuid.UUID, sequence: int, tail: int, changes: Sequence[tuple[int, bytes | int]], *, flushed: int, last: int
) -> bytes:
    """An entry with `changes`: 4,096 bytes for a place in the file, or a number of bytes that become zeros there."""
    descriptors, sectors = b"", b""
    for offset, change in changes:
        if isinstance(change, int):
            descriptors += struct.pack("<4sIQQQ", b"zero", 0, change, offset, sequence)
            continue
        leading, trailing = int.from_bytes(change[:8], "little"), int.from_bytes(change[-4:], "little")
        descriptors += struct.pack("<4sIQQQ", b"desc", trailing, leading, offset, sequence)
        sectors += b"data" + struct.pack("<I", sequence >> 32) + change[8:-4] + struct.pack("<I", sequence & 0xFFFFFFFF)
    described = -(-(64 + len(descriptors)) // _SECTOR) * _SECTOR
    length = described + len(sectors)
    header = struct.pack(
        "<4sIIIQII16sQQ", b"loge", 0, length, tail, sequence, len(changes), 0, log.bytes_le, flushed, last
    )
    return sealed((header + descriptors).ljust(described, b"\0") + sectors)
