"""One block of a disk into a buffer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rehost.blocks import BLOCK_SIZE
from rehost.transfer._errors import BlockReadFailed, TransferError
from rehost.transfer._manifest import ZERO_BLOCK
from rehost.transfer._protocol import ReadableDisk

#: Seconds between the attempts to read a block: long enough for a path to fail over, short enough to be waited for.
READ_DELAYS: Sequence[float] = (0.1, 0.5, 2.0)


def read_block(
    disk: ReadableDisk,
    index: int,
    buffer: bytearray,
    *,
    delays: Sequence[float],
    pause: Callable[[float], bool],
) -> int:
    """Fill `buffer`, a block long, with block `index`, zeros beyond the disk's end; returns the bytes read.

    A failure whose `retryable` is true is tried again after each of `delays` (seconds), unless `pause` returns False.
    Raises BlockReadFailed.
    """
    remaining = iter(delays)
    while True:
        try:
            return _read_once(disk, index, buffer)
        except Exception as error:
            delay = next(remaining, None) if getattr(error, "retryable", False) else None
            if delay is None or not pause(delay):
                raise BlockReadFailed.at(disk.key, index, error) from error


def _read_once(disk: ReadableDisk, index: int, buffer: bytearray) -> int:
    offset = index * BLOCK_SIZE
    wanted = min(BLOCK_SIZE, disk.size - offset)
    with memoryview(buffer) as view:
        done = 0
        while done < wanted:
            got = disk.read_into(offset + done, view[done:wanted])
            if got <= 0:
                raise TransferError(detail=f"the disk ended at byte {offset + done} of {disk.size}")
            done += got
        view[wanted:] = ZERO_BLOCK[wanted:]
    return wanted
