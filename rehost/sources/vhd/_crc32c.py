"""CRC-32C (Castagnoli), which VHDX protects its headers, tables and log with; `zlib` has only the other CRC-32.

A loop over bytes is slow in Python, and long integers are not: the message is one polynomial, and a remainder is not changed
by replacing its first part, multiplied by x^d, by that part times (x^d mod P). Halving the message so again and again takes
some 16 shifts of half of it a step: 12 ms a MiB, where a loop with tables takes 85 to 110 (`docs/decisions.md`).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

_POLYNOMIAL = 0x11EDC6F41  # RFC 3720, B.4
_REFLECTED = int(f"{_POLYNOMIAL:033b}"[::-1], 2)
_PIECE = 64 << 10  # bytes in one integer: what a processor's cache holds
_SHORT = 128  # bits that are not worth folding


def crc32c(data: bytes | bytearray | memoryview) -> int:
    view = memoryview(data)
    state = 0xFFFFFFFF
    for start in range(0, len(view), _PIECE):
        piece = view[start : start + _PIECE]
        # Reflected: the lowest bit is the first one, that of the highest power; 32 zeros are appended by saying so.
        state = _remainder(int.from_bytes(piece, "little") ^ state, 8 * len(piece) + 32)
    return state ^ 0xFFFFFFFF


def _remainder(message: int, bits: int) -> int:
    powers = _powers()
    while bits > _SHORT:
        exponent = (bits - 1).bit_length() - 1
        distance = 1 << exponent
        length = bits - distance
        first, rest = message & (1 << length) - 1, message >> length
        product = 0
        if first:
            for shift in powers[exponent]:
                product ^= first << shift
        bits = max(distance, length + 31)
        message = rest << bits - distance ^ product << bits - (length + 31)
    while bits > 32:
        if message & 1:
            message ^= _REFLECTED
        message >>= 1
        bits -= 1
    return message


@functools.cache
def _powers() -> Sequence[Sequence[int]]:
    """Which bits are set in x^(2^n) mod P, for each n, its 32 bits in reverse."""
    found, value = [], 2
    for _exponent in range((8 * _PIECE + 32).bit_length()):
        found.append([31 - bit for bit in range(32) if value >> bit & 1])
        square = int("0".join(f"{value:b}"), 2)
        while square.bit_length() > 32:
            square ^= _POLYNOMIAL << square.bit_length() - 33
        value = square
    return found
