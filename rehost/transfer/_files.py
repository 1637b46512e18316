"""Sparse files, and what it takes for them to survive a power cut."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

CHUNK = 64 * 1024

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_COPY_CHUNK = 1 << 20
_ZERO_CHUNK = bytes(CHUNK)
_NO_COPY_FILE_RANGE = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


def boot_id() -> str:
    """Differs after every start of the machine; empty where the kernel does not tell."""
    with suppress(OSError):
        return _BOOT_ID.read_text("ascii").strip()
    return ""


def sync_directory(path: Path) -> None:
    """Bring a rename or a new name in `path` to stable storage."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def data_chunks(fd: int, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
    """The chunks between `start` and `stop` that are not all zeros, as (offset, bytes); holes are not read.

    Chunks begin at multiples of their size counted from `start`, wherever the file's holes are.
    """
    at = start
    while at < stop:
        try:
            data = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole to the end
                return
            data = at
        at = max(at, start + (data - start) // CHUNK * CHUNK)
        if at >= stop:
            return
        chunk = os.pread(fd, min(CHUNK, stop - at), at)
        if chunk != _ZERO_CHUNK[: len(chunk)]:
            yield at, chunk
        at += CHUNK


def copy_range(source: int, target: int, start: int, stop: int) -> None:
    """Copy the bytes between two offsets of a file to the same place of another, which has a hole there.

    Holes stay holes. The kernel does it (`copy_file_range`): file systems with reflinks share the extents, the others
    copy within the page cache.
    """
    at = start
    while at < stop:
        try:
            at = os.lseek(source, at, os.SEEK_DATA)
            end = min(stop, os.lseek(source, at, os.SEEK_HOLE))
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole to the end
                return
            end = stop
        while at < end:
            at += _copy_some(source, target, at, end - at)


def _copy_some(source: int, target: int, at: int, length: int) -> int:
    try:
        copied = os.copy_file_range(source, target, length, at, at)
    except OSError as error:
        if error.errno not in _NO_COPY_FILE_RANGE:
            raise
        copied = os.pwrite(target, os.pread(source, min(length, _COPY_CHUNK), at), at)
    if copied == 0:
        raise OSError(errno.EIO, "the file became shorter while it was copied")
    return copied
