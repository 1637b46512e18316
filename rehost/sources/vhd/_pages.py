"""Allocation tables and sector bitmaps, read in pages and kept within a bound: the table of a 64 TiB disk may have 512 MiB."""

from __future__ import annotations

import threading
from collections import OrderedDict

from rehost.sources.vhd._files import DiskFile

PAGE_SIZE = 64 * 1024
_LIMIT = 16 << 20  # bytes, for all files of a chain together


class PageCache:
    """Thread-safe; no lock is held while a file is read, so that two threads may at worst read the same page."""

    def __init__(self, limit: int = _LIMIT) -> None:
        self._pages: OrderedDict[tuple[DiskFile, int], bytes] = OrderedDict()
        self._most = limit // PAGE_SIZE
        self._lock = threading.Lock()

    def page(self, file: DiskFile, index: int, what: str) -> bytes:
        """The page `index` of the file, shorter only at its end. Raises as DiskFile.read."""
        key = (file, index)
        with self._lock:
            found = self._pages.get(key)
            if found is not None:
                self._pages.move_to_end(key)
                return found
        offset = index * PAGE_SIZE
        data = file.read(offset, min(PAGE_SIZE, max(0, file.size - offset)), what)
        with self._lock:
            self._pages[key] = data
            while len(self._pages) > self._most:
                self._pages.popitem(last=False)
        return data

    def read(self, file: DiskFile, offset: int, length: int, what: str) -> bytes:
        """Any piece of the file by way of its pages. Raises as DiskFile.read."""
        parts = []
        end = offset + length
        if end > file.size:
            raise file.damaged(what, f"it ends at byte {end}, past the end of the file ({file.size} bytes)")
        while offset < end:
            index, start = divmod(offset, PAGE_SIZE)
            part = self.page(file, index, what)[start : start + end - offset]
            parts.append(part)
            offset += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)
