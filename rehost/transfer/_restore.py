"""The blocks of a snapshot into a file that is all holes."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import threading
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

    `fd` may be open with O_DIRECT. `name` is the snapshot's, for errors: BlockReadFailed, BlockWriteFailed, CopyStopped.
    """
    buffers = _AlignedBuffers()

    def restore(block: tuple[int, Handle], _buffer: bytearray, pause: Pause) -> bool:
        index, handle = block
        view = buffers.view  # the worker's own is not aligned; never touched, it costs no memory
        written = read_back(name, reader, index, handle, view, pause) != ZERO_DIGEST
        if written:
            _write(fd, index, view, name)
        on_block(written)
        return written

    if not run_windowed(blocks, restore, in_flight=in_flight, name="restore", stop=stop):
        raise CopyStopped(disk=name, watermark=0)


class _AlignedBuffers(threading.local):
    """A block for each thread, at the beginning of a page: what O_DIRECT asks for (open(2))."""

    def __init__(self) -> None:
        self.view = memoryview(mmap.mmap(-1, BLOCK_SIZE))


def _write(fd: int, index: int, view: memoryview, name: str) -> None:
    try:
        try:
            _write_all(fd, index, view)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            # The file system wants another alignment (open(2)): on through the page cache, for this thread and the others.
            fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_DIRECT)
            _write_all(fd, index, view)
    except OSError as error:
        raise BlockWriteFailed.at(name, index, error) from error


def _write_all(fd: int, index: int, view: memoryview) -> None:
    done = 0
    while done < BLOCK_SIZE:
        done += os.pwrite(fd, view[done:], index * BLOCK_SIZE + done)
