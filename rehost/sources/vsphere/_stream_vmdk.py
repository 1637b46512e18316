"""Decoding a stream-optimized VMDK as it comes: what vCenter exports.

Format: VMware, "Virtual Disk Format 5.0" (2011), chapter "Stream-Optimized Compressed Sparse Extents". A header, then grains, each
behind a marker with its place and compressed with deflate, between tables that only a random reader needs.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

_SECTOR = 512
_HEADER = struct.Struct("<4sIIQQQQIQQQB4sH")
_MAGIC = b"KDMV"
_COMPRESSED, _MARKERS = 1 << 16, 1 << 17
_DEFLATE = 1
_END = 0
_MAX_GRAIN = 1 << 20  # bytes; real ones have 64 KiB
_MAX_TABLE = 1 << 20  # sectors of metadata behind one marker
_MAX_OVERHEAD = 1 << 22  # sectors before the first grain: tables of the largest disk


class StreamDamaged(ValueError):
    """The stream ends early or is no stream-optimized VMDK."""


class Readable(Protocol):
    def read(self, amount: int, /) -> bytes: ...


@dataclass(frozen=True)
class StreamHeader:
    size: int  # bytes of the disk
    grain: int  # bytes


class Stream:
    """`header` at once, then `grains` to the end."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self.header, overhead = self._parse(self._exactly(_SECTOR))
        for _ in range(overhead - 1):
            self._exactly(_SECTOR)

    def grains(self) -> Iterator[tuple[int, bytes]]:
        """(offset in bytes, content) of each grain that the stream has; the others are zeros. Raises StreamDamaged."""
        while True:
            sector = self._exactly(_SECTOR)
            value, size, kind = struct.unpack_from("<QII", sector)
            if size:
                yield value * _SECTOR, self._grain(value, size, sector)
            elif kind == _END:
                return
            elif value > _MAX_TABLE:
                raise StreamDamaged(f"a table of {value} sectors")
            else:
                for _ in range(value):
                    self._exactly(_SECTOR)

    def _grain(self, place: int, size: int, sector: bytes) -> bytes:
        if size > 2 * self.header.grain + _SECTOR or place * _SECTOR >= self.header.size:
            raise StreamDamaged(f"a grain of {size} bytes at sector {place} of a disk of {self.header.size} bytes")
        packed = sector[12 : 12 + size]
        missing = size - len(packed)
        if missing > 0:
            padded = -(-missing // _SECTOR) * _SECTOR
            packed += self._exactly(padded)[:missing]
        inflater = zlib.decompressobj()
        try:
            content = inflater.decompress(packed, self.header.grain)
        except zlib.error as error:
            raise StreamDamaged(f"the grain at sector {place} cannot be unpacked: {error}") from None
        return content[: self.header.size - place * _SECTOR]

    def _parse(self, sector: bytes) -> tuple[StreamHeader, int]:
        magic, version, flags, capacity, grain, _, _, _, _, _, overhead, _, _, method = _HEADER.unpack_from(sector)
        if magic != _MAGIC or not flags & _COMPRESSED or not flags & _MARKERS or method != _DEFLATE:
            raise StreamDamaged(f"it is no stream-optimized VMDK (version {version}, flags {flags:#x})")
        if not 0 < grain * _SECTOR <= _MAX_GRAIN or not 0 < overhead <= _MAX_OVERHEAD:
            raise StreamDamaged(f"grains of {grain} sectors behind {overhead} sectors")
        return StreamHeader(capacity * _SECTOR, grain * _SECTOR), overhead

    def _exactly(self, length: int) -> bytes:
        parts = []
        while length:
            part = self._source.read(length)
            if not part:
                raise StreamDamaged("it ends too early")
            parts.append(part)
            length -= len(part)
        return b"".join(parts)
