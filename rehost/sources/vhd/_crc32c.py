"""CRC-32C (Castagnoli), which VHDX protects its headers, tables and log with; `zlib` has only the other CRC-32.

Eight bytes a step ("slicing-by-8", M. Kounavis and F. Berry, 2005). What is checked here is small: 4 KiB a header, 64 KiB a
table, and a log that is empty on all disks but those of a machine that was cut off.
"""

from __future__ import annotations

import functools
import struct

_POLYNOMIAL = 0x82F63B78  # reflected


def crc32c(data: bytes | bytearray | memoryview) -> int:
    t0, t1, t2, t3, t4, t5, t6, t7 = _tables()
    crc = 0xFFFFFFFF
    view = memoryview(data)
    whole = len(view) & ~7
    for low, high in struct.iter_unpack("<II", view[:whole]):
        low ^= crc
        crc = (
            t7[low & 255]
            ^ t6[low >> 8 & 255]
            ^ t5[low >> 16 & 255]
            ^ t4[low >> 24]
            ^ t3[high & 255]
            ^ t2[high >> 8 & 255]
            ^ t1[high >> 16 & 255]
            ^ t0[high >> 24]
        )
    for byte in view[whole:]:
        crc = t0[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


@functools.cache
def _tables() -> tuple[list[int], ...]:
    first = []
    for value in range(256):
        for _bit in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        first.append(value)
    tables = [first]
    for _step in range(7):
        tables.append([first[value & 255] ^ value >> 8 for value in tables[-1]])
    return tuple(tables)
