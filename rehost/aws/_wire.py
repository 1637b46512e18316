"""One HTTP/1.1 connection for blocks: a head and a buffer out in one system call, an answer in, nothing copied in between.

Measured against http.client, urllib3, botocore's session, boto3, awscrt and aiohttp (`docs/decisions.md`): their general
request and header objects cost as much a block as reading and sending it. What is general stays theirs: `_transport.py`
gives a proxied connection to botocore's own session.

TLS goes through memory BIOs, so that many records leave in one system call; `SSLSocket` makes one for each 16 KiB.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

_T = TypeVar("_T")

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 60  # without a single byte
HEAD_LIMIT = 64 * 1024
BODY_LIMIT = 16 * 1024 * 1024  # an answer that is not a block: errors, a page of a listing
# Each piece is a few handovers of the interpreter's lock, so larger ones are faster; but OpenSSL keeps the room for one with
# each connection. Of an upload with 80 ms of latency, which has 128 of them: 167 MiB with 128 KiB, 186 with 192, 207 with
# 256 and 246 with a whole block; of a full upload without: 5.08, 4.48, 4.33 and 4.14 s.
_TLS_PIECE = 192 * 1024


class BadAnswer(OSError):
    """What came back is not HTTP, or ended early. A retry on another connection may help."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]  # lower-case names
    body: bytes | memoryview  # the buffer that was given for it, where the answer filled it exactly


class _Stream(Protocol):
    def send(self, head: bytes, body: memoryview | None) -> None: ...
    def recv_into(self, buffer: memoryview) -> int: ...
    def fill(self, buffer: memoryview) -> int:
        """As `recv_into`, of a buffer that all belongs to this answer: it may wait until that is full, or for twice
        `ANSWER_SECONDS` where the other side falls silent in the middle of it."""


class Connection:
    """Blocking, for one request after the other. Any OSError leaves it unusable: close it. Not thread-safe."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None) -> None:
        """Connect; with `context`, over TLS, verified as it says. Raises OSError."""
        self._socket = socket.create_connection((host, port), CONNECT_SECONDS)
        try:
            self._socket.settimeout(None)
            # The kernel's own time limits: Python's would make every call two.
            limit = struct.pack("@ll", ANSWER_SECONDS, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._stream: _Stream = _Secure(self._socket, context, host) if context else _Plain(self._socket)
        except BaseException:
            self._socket.close()
            raise
        self._head = bytearray(HEAD_LIMIT)
        self.reusable = True

    def exchange(self, head: bytes, body: memoryview | None, into: memoryview | None) -> Answer:
        """Send a request and return its answer; a body as long as `into` is read into it. Raises OSError."""
        try:
            try:
                self._stream.send(head, body)
            except (BrokenPipeError, ConnectionResetError) as broken:
                return self._refusal_before_the_end(broken)
            return self._receive(into)
        except BlockingIOError:
            raise TimeoutError("timed out") from None

    def close(self) -> None:
        self._socket.close()

    def _refusal_before_the_end(self, broken: OSError) -> Answer:
        """A service may answer and hang up before it has read the whole body."""
        self.reusable = False
        try:
            return self._receive(None)
        except OSError:
            raise broken from None

    def _receive(self, into: memoryview | None) -> Answer:
        view = memoryview(self._head)
        filled = 0
        while True:
            while (end := self._head.find(b"\r\n\r\n", 0, filled)) < 0:
                if filled == len(view):
                    raise BadAnswer("the answer's head does not end")
                got = self._stream.recv_into(view[filled:])
                if not got:
                    raise BadAnswer("Remote end closed connection without response")
                filled += got
            status, headers = _parsed(bytes(view[:end]))
            rest = view[end + 4 : filled]
            if status >= 200:
                break
            filled = len(rest)  # 100 Continue: the answer itself follows
            view[:filled] = bytes(rest)
        if headers.get("connection", "").lower() == "close":
            self.reusable = False
        return Answer(status, headers, self._body(status, headers, rest, into))

    def _body(
        self, status: int, headers: Mapping[str, str], rest: memoryview, into: memoryview | None
    ) -> bytes | memoryview:
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return self._chunked(bytes(rest))
        length = headers.get("content-length")
        if length is None:
            if status in (204, 304):
                return b""
            self.reusable = False
            return self._until_closed(bytes(rest))
        if not length.isdigit():
            raise BadAnswer(f"content-length is {length!r}")
        count = int(length)
        target = into if into is not None and count == len(into) else memoryview(bytearray(_bounded(count)))
        filled = len(rest)
        if filled > count:
            raise BadAnswer("more came back than was announced")
        target[:filled] = rest
        while filled < count:
            got = self._stream.fill(target[filled:])
            if not got:
                raise BadAnswer(f"the answer ended after {filled} of {count} bytes")
            filled += got
        return target if target is into else bytes(target)

    def _until_closed(self, data: bytes) -> bytes:
        while more := self._some():
            data += more
            _bounded(len(data))
        return data

    def _chunked(self, data: bytes) -> bytes:
        body = b""
        while True:
            while b"\r\n" not in data:
                data += self._more()
            line, data = data.split(b"\r\n", 1)
            try:
                count = int(line.split(b";")[0], 16)
            except ValueError:
                raise BadAnswer("a chunk has no length") from None
            _bounded(len(body) + count)
            while len(data) < count + 2:
                data += self._more()
            body, data = body + data[:count], data[count + 2 :]
            if count == 0:
                # Trailers are not expected; a connection that might hold some is not used again.
                self.reusable = self.reusable and not data
                return body

    def _more(self) -> bytes:
        data = self._some()
        if not data:
            raise BadAnswer("the answer ended early")
        return data

    def _some(self) -> bytes:
        buffer = memoryview(bytearray(16 * 1024))
        return bytes(buffer[: self._stream.recv_into(buffer)])


def _bounded(count: int) -> int:
    if count > BODY_LIMIT:
        raise BadAnswer(f"an answer of {count} bytes")
    return count


def _parsed(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    if not first.startswith("HTTP/1.") or not first[9:12].isdigit():
        raise BadAnswer("the answer is not HTTP")
    pairs = [line.partition(":") for line in lines]
    return int(first[9:12]), {name.lower(): value.strip() for name, _, value in pairs}


class _Plain:
    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.recv_into = sock.recv_into

    def fill(self, buffer: memoryview) -> int:
        # One call in place of one for each segment: each hands the interpreter's lock over twice.
        return self._socket.recv_into(buffer, len(buffer), socket.MSG_WAITALL)

    def send(self, head: bytes, body: memoryview | None) -> None:
        if body is None:
            self._socket.sendall(head)
            return
        sent = self._socket.sendmsg([head, body])
        if sent < len(head):
            self._socket.sendall(head[sent:])
            sent = len(head)
        if sent < len(head) + len(body):
            self._socket.sendall(body[sent - len(head) :])


class _Secure:
    def __init__(self, sock: socket.socket, context: ssl.SSLContext, host: str) -> None:
        self._socket = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._read: Callable[[int, memoryview], int] = self._tls.read  # type: ignore[assignment] # typeshed knows no buffer
        self._buffer = memoryview(bytearray(_TLS_PIECE))
        self._until_done(self._tls.do_handshake)
        self._flush()

    def send(self, head: bytes, body: memoryview | None) -> None:
        self._tls.write(head)
        if body is not None:
            for at in range(0, len(body), _TLS_PIECE):
                self._tls.write(body[at : at + _TLS_PIECE])
                self._flush()
        self._flush()

    def fill(self, buffer: memoryview) -> int:
        return self.recv_into(buffer)

    def recv_into(self, buffer: memoryview) -> int:
        try:
            return self._until_done(lambda: self._read(len(buffer), buffer))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return 0

    def _until_done(self, step: Callable[[], _T]) -> _T:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self._flush()
                got = self._socket.recv_into(self._buffer)
                if got:
                    self._incoming.write(self._buffer[:got])
                else:
                    self._incoming.write_eof()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._socket.sendall(self._outgoing.read())
