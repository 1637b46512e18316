"""Requests under way: what of each has come, and whether that can be true."""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass

from rehost.sources.nbd import _wire as wire
from rehost.sources.nbd._errors import NbdProtocolError, NbdRequestFailed
from rehost.sources.nbd._wire import Place, Wire

_STATUS_BYTES = 4 + 8 * (1 << 20)  # a million extents in one answer; a server that sends more is not to be believed


@dataclass(frozen=True, slots=True)
class Status:
    """One extent of an answer to block status."""

    length: int  # bytes
    flags: int


class Request:
    """One command. A `Connection` feeds it chunks until it is `done`."""

    command: int
    what: str

    def __init__(self, offset: int, length: int, *, place: Place, timeout: float) -> None:
        self.offset, self.length, self.place = offset, length, place
        self.deadline = time.monotonic() + timeout
        self.done = False
        self.error: str | None = None

    @property
    def failure(self) -> NbdRequestFailed | None:
        """What the server said went wrong with it, once it is done."""
        if self.error is None:
            return None
        return NbdRequestFailed(where=self.place, what=f"{self.what} at byte {self.offset}", reason=self.error)

    def chunk(self, kind: int, length: int, connection: Wire) -> None:
        """Take a chunk's payload of `length` bytes from the connection. Raises NbdProtocolError."""
        if kind & wire.CHUNK_ERROR:
            payload = self.payload(connection, length)
            if len(payload) < 6:
                raise self.broken("an error without a number")
            number, told = struct.unpack_from("!IH", payload)
            text = payload[6 : 6 + told].decode(errors="replace")[:200]
            self.error = f"{wire.error_text(number)} ({text})" if text else wire.error_text(number)
        elif kind == wire.CHUNK_NONE and length == 0:
            pass
        else:
            raise self.broken(f"a chunk of type {kind} and {length} bytes in answer to {self.what}")

    def finish(self) -> None:
        """No more chunks come. Raises NbdProtocolError where something is missing."""

    def payload(self, connection: Wire, length: int, limit: int = 1 << 16) -> bytes:
        return connection.receive(length, lambda: self.deadline, self.what, limit=limit)

    def broken(self, detail: str) -> NbdProtocolError:
        return NbdProtocolError(where=self.place, detail=detail)


class Read(Request):
    command = wire.CMD_READ
    what = "reading"

    def __init__(self, offset: int, buffer: memoryview, *, place: Place, timeout: float) -> None:
        super().__init__(offset, len(buffer), place=place, timeout=timeout)
        self._buffer = buffer
        self._pieces: list[tuple[int, int]] = []  # (start, end) within the buffer, as they came

    def simple(self, error: int, connection: Wire) -> None:
        """The whole answer of a server without structured replies."""
        if error:
            self.error = wire.error_text(error)
        else:
            connection.receive_into(self._buffer, lambda: self.deadline, self.what)
            self._pieces.append((0, self.length))

    def chunk(self, kind: int, length: int, connection: Wire) -> None:
        if kind == wire.CHUNK_DATA and length > 8:
            start = self._place_of(int.from_bytes(self.payload(connection, 8), "big"), length - 8)
            connection.receive_into(self._buffer[start : start + length - 8], lambda: self.deadline, self.what)
        elif kind == wire.CHUNK_HOLE and length == 12:
            offset, hole = struct.unpack("!QI", self.payload(connection, 12))
            start = self._place_of(offset, hole)
            self._buffer[start : start + hole] = bytes(hole)
        else:
            super().chunk(kind, length, connection)

    def _place_of(self, offset: int, length: int) -> int:
        start = offset - self.offset
        if start < 0 or length == 0 or start + length > self.length or len(self._pieces) > self.length // 512 + 1:
            raise self.broken(f"{length} bytes at {offset} in answer to {self.length} bytes at {self.offset}")
        self._pieces.append((start, start + length))
        return start

    def finish(self) -> None:
        if self.error is not None:
            return
        at = 0
        for start, end in sorted(self._pieces):
            if start != at:
                break
            at = end
        else:
            if at == self.length:
                return
        raise self.broken(f"an answer that does not cover {self.length} bytes at {self.offset} once")


class BlockStatus(Request):
    command = wire.CMD_BLOCK_STATUS
    what = "block status"

    def __init__(self, offset: int, length: int, *, context: int, place: Place, timeout: float) -> None:
        super().__init__(offset, length, place=place, timeout=timeout)
        self._context = context
        self.extents: list[Status] = []

    def chunk(self, kind: int, length: int, connection: Wire) -> None:
        if kind != wire.CHUNK_BLOCK_STATUS:
            super().chunk(kind, length, connection)
            return
        if length < 12 or (length - 4) % 8:
            raise self.broken(f"a block status of {length} bytes")
        payload = self.payload(connection, length, _STATUS_BYTES)
        if struct.unpack_from("!I", payload)[0] != self._context or self.extents:
            raise self.broken("a block status of a context that was not asked for, or a second one")
        at = 0
        for size, flags in struct.iter_unpack("!II", payload[4:]):
            if size == 0 or at >= self.length:
                raise self.broken("a block status with an empty extent, or with one too many")
            # Only the last may reach further than was asked; what lies there is not needed.
            self.extents.append(Status(min(size, self.length - at), flags))
            at += size

    def finish(self) -> None:
        if self.error is None and not self.extents:
            raise self.broken("a block status without an extent")
