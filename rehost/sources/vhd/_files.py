"""Where the bytes of virtual disks come from."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import Protocol

from rehost.sources.vhd._errors import DiskDamaged, FileReadFailed, NotAVirtualDisk


class ByteSource(Protocol):
    """A file somewhere: on this machine, over SMB, in memory. Thread-safe."""

    @property
    def size(self) -> int:
        """Bytes, as it was opened."""

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Fill `buffer` from `offset`; fewer bytes than asked only at the end. Raises OSError or a SourceError."""

    def close(self) -> None: ...


class Files(Protocol):
    """Where names are looked up: the disk's own, and those by which a differencing disk knows its parent."""

    def open(self, path: str) -> ByteSource:
        """Raises FileNotFoundError or DiskMissing where there is no such file, DiskUnreadable where it cannot be opened: then
        a parent's next name is tried. Everything else ends the attempt."""


class LocalFile:
    """A file of this machine."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO would wait for a writer
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._fd)
            raise NotAVirtualDisk(path=os.fspath(path), reason="it is not a regular file")
        self.size = status.st_size

    def read_into(self, offset: int, buffer: memoryview) -> int:
        return os.preadv(self._fd, [buffer], offset)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class LocalFiles:
    """The files of this machine. A name that only means something on a Windows machine is not found here."""

    def open(self, path: str) -> LocalFile:
        if "\\" in path or path[1:2] == ":":
            raise FileNotFoundError(path)
        return LocalFile(path)


class Patches(Protocol):
    """What a log changes in a file without its being written to."""

    @property
    def size(self) -> int:
        """Bytes that the file has at least."""

    def apply(self, offset: int, buffer: memoryview) -> None: ...


class DiskFile:
    """A byte source with its name: what goes wrong with it is said in this package's errors."""

    def __init__(self, path: str, source: ByteSource) -> None:
        self.path = path
        self.size = source.size
        self._source = source
        self._real_size = source.size
        self._patches: Patches | None = None
        self.close: Callable[[], None] = source.close

    def patch(self, patches: Patches) -> None:
        """From now on, read the file as it will be once its log has been written back."""
        self._patches = patches
        self.size = max(self.size, patches.size)

    def read(self, offset: int, length: int, what: str) -> bytes:
        """`length` bytes of `what`. Raises DiskDamaged where the file ends before."""
        if offset < 0 or offset + length > self.size:
            raise self.damaged(what, f"it lies at byte {offset}, past the end of the file ({self.size} bytes)")
        data = bytearray(length)
        self.fill(offset, memoryview(data))
        return bytes(data)

    def fill(self, offset: int, buffer: memoryview) -> None:
        """All of `buffer`, which lies within the file. Raises FileReadFailed, DiskDamaged."""
        self.fill_unpatched(offset, buffer)
        if self._patches is not None:
            self._patches.apply(offset, buffer)

    def fill_unpatched(self, offset: int, buffer: memoryview) -> None:
        """The bytes that the file itself has; zeros where only its log makes it longer."""
        real = max(0, min(len(buffer), self._real_size - offset))
        if real < len(buffer):
            buffer[real:] = bytes(len(buffer) - real)
        done = 0
        while done < real:
            try:
                count = self._source.read_into(offset + done, buffer[done:real])
            except OSError as error:
                raise FileReadFailed(disk=self.path, offset=offset + done, detail=error) from error
            if not count:
                raise FileReadFailed(disk=self.path, offset=offset + done, detail="the file ends here, before its size")
            done += count

    def damaged(self, where: str, reason: str) -> DiskDamaged:
        return DiskDamaged(path=self.path, where=where, reason=reason)
