"""Holes of a temporary file."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from rehost.blocks import Extent


def data_extents(fd: int, size: int) -> Iterator[Extent]:
    """What is no hole, ascending; everything where the file system does not know."""
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
            at = min(size, os.lseek(fd, start, os.SEEK_HOLE))
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            start, at = at, size
        if start < at:
            yield Extent(start, at - start)
