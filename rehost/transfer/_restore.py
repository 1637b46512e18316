"""The blocks of a snapshot into a file that is all holes."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

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

    def restore(block: tuple[int, Handle], buffer: memoryview, pause: Pause) -> bool:
        index, handle = block
        written = read_back(name, reader, index, handle, buffer, pause) != ZERO_DIGEST
        if written:
            _write(fd, index, buffer, name)
        on_block(written)
        return written

    with _past_the_page_cache(fd):
        if not run_windowed(blocks, restore, buffer=_aligned_buffer, in_flight=in_flight, name="restore", stop=stop):
            raise CopyStopped(disk=name, watermark=0)


@contextmanager
def _past_the_page_cache(fd: int) -> Iterator[None]:
    """Where the file system can: filling the cache costs as much as receiving and hashing."""
    with suppress(OSError):
        _set_direct(fd, True)
    try:
        yield
    finally:
        _set_direct(fd, False)


def _set_direct(fd: int, wanted: bool) -> None:
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_DIRECT if wanted else flags & ~os.O_DIRECT)


def _aligned_buffer() -> memoryview:
    """Room for a block, at the beginning of a page: what O_DIRECT asks for (open(2))."""
    return memoryview(mmap.mmap(-1, BLOCK_SIZE))


def _write(fd: int, index: int, buffer: memoryview, name: str) -> None:
    try:
        try:
            _write_all(fd, index, buffer)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            _set_direct(fd, False)  # the file system wants another alignment: for this thread and the others
            _write_all(fd, index, buffer)
    except OSError as error:
        raise BlockWriteFailed.at(name, index, error) from error


def _write_all(fd: int, index: int, buffer: memoryview) -> None:
    done = 0
    while done < BLOCK_SIZE:
        done += os.pwrite(fd, buffer[done:], index * BLOCK_SIZE + done)
