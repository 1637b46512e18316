"""An export as a disk: read from several threads over several connections, which are made anew when they break."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from rehost.blocks import Extent
from rehost.sources.nbd._connection import Connection
from rehost.sources.nbd._errors import NbdError, NbdProtocolError, NbdUnavailable
from rehost.sources.nbd._wire import Address, Place

BASE_ALLOCATION = "base:allocation"
_STATE_ZERO = 2  # of base:allocation: it reads as zeros
_STATE_DIRTY = 1  # of qemu:dirty-bitmap

_STATUS_LENGTH = 1 << 30  # bytes asked about at once; a request's length has 32 bits
_STATUS_ATTEMPTS = 3


def dirty_bitmap(name: str) -> str:
    """The meta context of one of QEMU's dirty bitmaps."""
    return f"qemu:dirty-bitmap:{name}"


class NbdClient:
    """Thread-safe. Connects when first used, and again after a connection has broken."""

    def __init__(
        self, address: Address | str, export: str = "", *, connections: int = 1, timeout: float = 30.0
    ) -> None:
        """`address`: the path of a unix socket, or (host, port). `connections`: at most so many at once; the server has
        to allow as many clients. `timeout`: seconds for connecting, and for each request. Reaches nothing yet.
        """
        self._place = Place(Path(address) if isinstance(address, str) else address, export)
        self._timeout = timeout
        self._slots: list[Connection | None] = [None] * connections
        self._locks = [threading.Lock() for _ in range(connections)]
        self._turn = itertools.count()
        self._size: int | None = None
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def size(self) -> int:
        """Bytes; the first time it connects. Raises NbdError."""
        if self._size is None:
            self._connection()
        return self._size or 0

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Fill `buffer` from `offset`, as far as the export goes; returns the bytes read, 0 only at its end.

        Any offset and length will do. A connection that has broken is made anew once within the call. Raises NbdError;
        where its `retryable` is true, the same read may succeed.
        """
        wanted = max(0, min(len(buffer), self.size - offset))
        if wanted:
            try:
                return self._read(offset, buffer[:wanted])
            except NbdError as error:
                if not error.retryable:
                    raise
            return self._read(offset, buffer[:wanted])
        return 0

    def _read(self, offset: int, buffer: memoryview) -> int:
        connection = self._connection()
        grain = connection.export.minimum
        if offset % grain == 0 and len(buffer) % grain == 0:
            piece = min(len(buffer), connection.export.maximum)
            connection.read_into(offset, buffer[:piece])
            return piece
        start = offset - offset % grain
        piece = min(len(buffer), connection.export.maximum - grain)
        end = min(-(-(offset + piece) // grain) * grain, self.size)
        wider = bytearray(end - start)
        with memoryview(wider) as view:
            connection.read_into(start, view)
            buffer[:piece] = view[offset - start : offset - start + piece]
        return piece

    def allocated(self) -> Iterator[Extent]:
        """Ascending extents outside of which the export reads as zeros. Raises NbdError while it is iterated."""
        return self._extents(BASE_ALLOCATION, lambda flags: not flags & _STATE_ZERO)

    def dirty(self, bitmap: str) -> Iterator[Extent]:
        """Ascending extents that QEMU's dirty bitmap marks. Raises NbdError while it is iterated."""
        return self._extents(dirty_bitmap(bitmap), lambda flags: bool(flags & _STATE_DIRTY))

    def _extents(self, context: str, wanted: Callable[[int], bool]) -> Iterator[Extent]:
        """Neighbours are joined. The walk has a connection of its own; it is made anew when it breaks."""
        walk = _Walk(self, context)
        try:
            start = end = 0
            for length, flags in walk:
                if wanted(flags):
                    end += length
                    continue
                if start < end:
                    yield Extent(start, end - start)
                start = end = end + length
            if start < end:
                yield Extent(start, end - start)
        finally:
            walk.close()

    def connect(self, *contexts: str) -> Connection:
        """A connection of the caller's own. Raises NbdError, also where the export has another size than before."""
        connection = Connection(self._place, contexts=contexts, timeout=self._timeout)
        size = connection.export.size
        if self._size is not None and size != self._size:
            connection.close()
            detail = f"its export had {self._size} bytes and has {size} now"
            raise NbdProtocolError(where=self._place, detail=detail)
        self._size = size
        return connection

    def _connection(self) -> Connection:
        """One of the shared connections, in turn."""
        slot = next(self._turn) % len(self._slots)
        with self._locks[slot]:
            if self._closed:
                raise NbdUnavailable(where=self._place, reason="the client was closed here")
            connection = self._slots[slot]
            if connection is None or connection.broken:
                connection = self._slots[slot] = self.connect()
            return connection

    def close(self) -> None:
        """Hang up. Reads under way fail, and later ones."""
        self._closed = True
        for slot, lock in enumerate(self._locks):
            with lock:
                connection, self._slots[slot] = self._slots[slot], None
            if connection is not None:
                connection.close()


class _Walk:
    """Iterates over (length, flags) of a whole export."""

    def __init__(self, client: NbdClient, context: str) -> None:
        self._client, self._context = client, context
        self._connection: Connection | None = None

    def __iter__(self) -> Iterator[tuple[int, int]]:
        at = failures = 0
        size: int | None = None
        while size is None or at < size:
            try:
                if self._connection is None:
                    self._connection = self._client.connect(self._context)
                size = self._connection.export.size
                length = min(_STATUS_LENGTH, size - at)
                found = self._connection.block_status(at, length, self._context) if length else []
            except NbdError as error:
                failures += 1
                if not error.retryable or failures == _STATUS_ATTEMPTS:
                    raise
                self.close()
                continue
            failures = 0
            for status in found:
                at += status.length
                yield status.length, status.flags

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
