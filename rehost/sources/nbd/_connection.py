"""One connection, shared by threads: each sends its request and waits for its own answer.

Answers come in any order. Whoever waits and finds nobody receiving, receives, for the others too, until its own answer
is complete; then another takes over. So there is no thread of the connection's own that could be left behind.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence

from rehost.sources.nbd import _wire as wire
from rehost.sources.nbd._errors import NbdError, NbdProtocolError, NbdTimeout, NbdUnavailable
from rehost.sources.nbd._handshake import Export, negotiate
from rehost.sources.nbd._requests import BlockStatus, Read, Request, Status
from rehost.sources.nbd._wire import Place, Wire


class Connection:
    """Thread-safe. After an error other than NbdRequestFailed it is `broken` for good."""

    def __init__(self, place: Place, *, contexts: Sequence[str] = (), timeout: float) -> None:
        """Connect and negotiate. `timeout`: seconds for that, and for each request. Raises NbdError."""
        self.place, self.timeout = place, timeout
        self._wire = Wire(place, timeout)
        try:
            self.export: Export = negotiate(self._wire, contexts)
        except BaseException:
            self._wire.close()
            raise
        self._handles = itertools.count(1)
        self._sending = threading.Lock()
        self._turn = threading.Condition()  # guards what follows
        self._waiting: dict[int, Request] = {}
        self._receiving = False
        self._failure: NbdError | None = None

    @property
    def broken(self) -> bool:
        return self._failure is not None

    @property
    def in_flight(self) -> int:
        return len(self._waiting)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer`, at most `export.maximum` bytes, from `offset`. Raises NbdError."""
        self._carry_out(Read(offset, buffer, place=self.place, timeout=self.timeout))

    def block_status(self, offset: int, length: int, context: str) -> list[Status]:
        """The extents from `offset` on, at least one, perhaps fewer than `length` bytes of them. Raises NbdError."""
        number = self.export.contexts[context]
        request = BlockStatus(offset, length, context=number, place=self.place, timeout=self.timeout)
        self._carry_out(request)
        return request.extents

    def close(self) -> None:
        """Tell the server and hang up. Requests under way fail."""
        if not self.broken:
            try:
                with self._sending:
                    self._wire.send(wire.REQUEST.pack(wire.REQUEST_MAGIC, 0, wire.CMD_DISC, 0, 0, 0))
            except NbdError:
                pass  # it hung up first
        self._break(NbdUnavailable(where=self.place, reason="the connection was closed here"))

    def _carry_out(self, request: Request) -> None:
        handle = next(self._handles)
        with self._turn:
            if self._failure is not None:
                raise self._failure
            self._waiting[handle] = request
        try:
            header = wire.REQUEST.pack(wire.REQUEST_MAGIC, 0, request.command, handle, request.offset, request.length)
            with self._sending:
                self._wire.send(header)
            if self._becomes_receiver(request):
                self._receive_until(request)
        except NbdError as error:
            self._break(error)
            raise
        finally:
            with self._turn:
                self._waiting.pop(handle, None)
        if request.failure is not None:
            raise request.failure

    def _becomes_receiver(self, request: Request) -> bool:
        """Wait until the answer has come (False) or it is this thread's turn to receive (True)."""
        with self._turn:
            while not request.done:
                if self._failure is not None:
                    raise self._failure
                if not self._receiving:
                    self._receiving = True
                    return True
                if not self._turn.wait(max(0.0, request.deadline - time.monotonic())):
                    raise NbdTimeout(where=self.place, what=request.what, seconds=self.timeout)
        return False

    def _receive_until(self, request: Request) -> None:
        try:
            while not request.done:
                self._receive_one()
        finally:
            with self._turn:
                self._receiving = False
                self._turn.notify_all()

    def _receive_one(self) -> None:
        """One reply, or one chunk of one."""
        magic = int.from_bytes(self._receive(4), "big")
        if magic == wire.STRUCTURED_REPLY_MAGIC and self.export.structured:
            flags, kind, handle, length = wire.CHUNK.unpack(self._receive(wire.CHUNK.size))
            request = self._request(handle)
            request.chunk(kind, length, self._wire)
            if not flags & wire.CHUNK_DONE:
                return
        elif magic == wire.SIMPLE_REPLY_MAGIC:
            error, handle = wire.SIMPLE_REPLY.unpack(self._receive(wire.SIMPLE_REPLY.size))
            request = self._request(handle)
            if self.export.structured or not isinstance(request, Read):
                raise NbdProtocolError(where=self.place, detail=f"a simple reply to {request.what}")
            request.simple(error, self._wire)
        else:
            raise NbdProtocolError(where=self.place, detail=f"a reply that begins with {magic:#x}")
        request.finish()
        with self._turn:
            request.done = True
            self._turn.notify_all()

    def _request(self, handle: int) -> Request:
        with self._turn:
            request = self._waiting.get(handle)
        if request is None or request.done:
            raise NbdProtocolError(where=self.place, detail="a reply to a request that was never made")
        return request

    def _receive(self, length: int) -> bytes:
        return self._wire.receive(length, self._earliest, "reading")

    def _earliest(self) -> float:
        """The deadline of the request that has waited longest."""
        with self._turn:
            return min((each.deadline for each in self._waiting.values() if not each.done), default=0.0)

    def _break(self, error: NbdError) -> None:
        """Every request under way fails, and each one after."""
        with self._turn:
            if self._failure is None:
                self._failure = error
            self._turn.notify_all()
        self._wire.close()
