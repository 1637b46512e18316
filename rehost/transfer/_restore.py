"""The blocks of a snapshot into a file that is all holes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from rehost.blocks import BLOCK_SIZE
from rehost.pacing import Pause
from rehost.transfer._errors import BlockWriteFailed, CopyStopped
from rehost.transfer._manifest import ZERO_DIGEST
from rehost.transfer._protocol import BlockReader, Handle, StopSignal
from rehost.transfer._verify import read_back
from rehost.transfer._window import MOST_IN_FLIGHT, run_windowed


def restore_blocks(
    fd: int,
    blocks: Iterable[tuple[int, Handle]],
    reader: BlockReader[Handle],
    *,
    name: str,
    in_flight: int = MOST_IN_FLIGHT,
    stop: StopSignal | None = None,
    on_block: Callable[[bool], None] = lambda _: None,
) -> None:
    """Read every listed block and write it to its place; zeros stay holes. `on_block` hears whether it was written.

    `name` is the snapshot's, for errors: BlockReadFailed, BlockWriteFailed, CopyStopped.
    """

    def restore(block: tuple[int, Handle], buffer: bytearray, pause: Pause) -> bool:
        index, handle = block
        written = read_back(name, reader, index, handle, buffer, pause) != ZERO_DIGEST
        if written:
            _write(fd, index, buffer, name)
        on_block(written)
        return written

    if not run_windowed(blocks, restore, in_flight=in_flight, name="restore", stop=stop):
        raise CopyStopped(disk=name, watermark=0)


def _write(fd: int, index: int, buffer: bytearray, name: str) -> None:
    try:
        with memoryview(buffer) as view:
            done = 0
            while done < BLOCK_SIZE:
                done += os.pwrite(fd, view[done:], index * BLOCK_SIZE + done)
    except OSError as error:
        raise BlockWriteFailed.at(name, index, error) from error
