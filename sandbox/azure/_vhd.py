"""The footer of a fixed VHD, which stands behind the bytes of a managed disk that is read as a page blob.

Its fields: "Virtual Hard Disk Image Format Specification", Hard Disk Footer Format. That an exported disk is a fixed VHD:
https://learn.microsoft.com/azure/virtual-machines/linux/download-vhd
"""

from __future__ import annotations

import struct
import uuid

FOOTER_SIZE = 512
_FIELDS = struct.Struct(">8sIIQI4sI4sQQIII16sB427x")
_FEATURES_RESERVED = 2
_VERSION = 0x00010000
_NO_NEXT = 0xFFFFFFFFFFFFFFFF
_FIXED = 2
_CHECKSUM_AT = 64


def footer(size: int, identity: uuid.UUID, seconds_since_2000: int) -> bytes:
    """The footer of a disk of `size` bytes."""
    values = (
        b"conectix", _FEATURES_RESERVED, _VERSION, _NO_NEXT, seconds_since_2000, b"win ", _VERSION, b"Wi2k",
        size, size, _geometry(size), _FIXED, 0, identity.bytes, 0,
    )  # fmt: skip
    raw = bytearray(_FIELDS.pack(*values))
    raw[_CHECKSUM_AT : _CHECKSUM_AT + 4] = struct.pack(">I", ~sum(raw) & 0xFFFFFFFF)
    return bytes(raw)


def _geometry(size: int) -> int:
    """Cylinders, heads and sectors a track in four bytes, as the specification's appendix computes them."""
    sectors = min(size // 512, 65535 * 16 * 255)
    if sectors >= 65535 * 16 * 63:
        heads, per_track = 16, 255
        cylinders_times_heads = sectors // per_track
    else:
        per_track = 17
        cylinders_times_heads = sectors // per_track
        heads = max((cylinders_times_heads + 1023) // 1024, 4)
        if cylinders_times_heads >= heads * 1024 or heads > 16:
            heads, per_track = 16, 31
            cylinders_times_heads = sectors // per_track
        if cylinders_times_heads >= heads * 1024:
            heads, per_track = 16, 63
            cylinders_times_heads = sectors // per_track
    return (cylinders_times_heads // heads) << 16 | heads << 8 | per_track
