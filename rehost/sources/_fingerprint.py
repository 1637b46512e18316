"""Telling whether a file changed, from its inode alone.

A write sets the file's modification and change time before its data can be seen, so equal fingerprints mean equal
bytes, but for three things, which are taken care of here or said in `docs/sources/images.md`:

- The kernel's clock for these times ticks every 1 to 10 ms (CONFIG_HZ; since Linux 6.13 finer on some file systems): a
  write in the tick of the previous one leaves the times as they were. git calls an index entry of that kind "racily
  clean". `settled` waits until the newest time is older than any tick.
- A store through a shared memory map sets the times only when it makes a clean page dirty. Writing the file back
  (`fsync`) makes its pages clean, so that the next store is seen; `settled` does that first.
- The times can be set back by whoever owns the clock.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from typing import Self

#: Five ticks of the slowest kernel clock (CONFIG_HZ=100).
_TICK_MARGIN_NS = 50_000_000

#: For file systems that keep whole seconds (ext3, NFS onto them) or two of them (FAT).
_COARSE_MARGIN_NS = 2_100_000_000

_NO_FSYNC = {errno.EINVAL, errno.EROFS, errno.ENOSYS, errno.EOPNOTSUPP}


@dataclass(frozen=True, slots=True)
class Fingerprint:
    device: int
    inode: int
    size: int  # bytes
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, fd: int) -> Self:
        stat = os.fstat(fd)
        return cls(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

    @classmethod
    def parse(cls, text: str) -> Self:
        """What `str` gave. Raises ValueError."""
        numbers = json.loads(text)
        if not isinstance(numbers, list) or [type(n) for n in numbers] != [int] * len(fields(cls)):
            message = f"not a fingerprint: {text}"
            raise ValueError(message)
        return cls(*numbers)

    def __str__(self) -> str:
        return json.dumps(astuple(self))

    def difference(self, now: Fingerprint) -> str:
        """What became of the file that had this fingerprint, in words; "" if they are equal."""
        if (self.device, self.inode) != (now.device, now.inode):
            return "it is another file now"
        if self.size != now.size:
            return f"its size went from {self.size} to {now.size} bytes"
        if self.mtime_ns != now.mtime_ns:
            return "it was written to"
        if self.ctime_ns != now.ctime_ns:
            return "its inode changed: a write, or its name, owner or mode"
        return ""

    @property
    def newest_ns(self) -> int:
        return max(self.mtime_ns, self.ctime_ns)

    @property
    def margin_ns(self) -> int:
        """How old the newest time must be for a later write to be certain to set another."""
        coarse = self.mtime_ns % 1_000_000_000 == 0 and self.ctime_ns % 1_000_000_000 == 0
        return _COARSE_MARGIN_NS if coarse else _TICK_MARGIN_NS


def settled(fds: Sequence[int], *, timeout: float) -> tuple[Fingerprint, ...] | None:
    """The fingerprints of the files at one moment, such that any later write to one of them changes its own.

    None if they were written to all through `timeout` seconds. Raises OSError where written data cannot reach the disk.
    """
    for fd in fds:
        _write_back(fd)
    deadline = time.monotonic() + timeout
    previous = None
    while True:
        prints = tuple(Fingerprint.of(fd) for fd in fds)
        margin = max(fingerprint.margin_ns for fingerprint in prints)
        age = time.time_ns() - max(fingerprint.newest_ns for fingerprint in prints)
        # Equal over a margin's wait counts as well: a time in the future (another machine's clock) never gets old.
        if age >= margin or prints == previous:
            return prints
        if time.monotonic() >= deadline:
            return None
        previous = prints
        time.sleep((margin - age if age >= 0 else margin) / 1e9)


def _write_back(fd: int) -> None:
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise
