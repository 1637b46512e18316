"""NBD servers for tests: real ones as processes, and one written by hand that can do everything wrong."""

from __future__ import annotations

import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from rehost.sources.nbd import _wire as wire
from tests.sources.qemu_machine import need


@contextmanager
def running(program: str, package: str, arguments: Sequence[str | Path], at: Path) -> Iterator[Path]:
    """A server process that listens on the unix socket `at`."""
    command = [need(program, package), *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            deadline = time.monotonic() + 20
            while not listens(at):
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"{program} did not start: {process.stderr and process.stderr.read()!r}")
                time.sleep(0.01)
            yield at
        finally:
            process.kill()


def listens(at: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(at)) == 0


class Talk:
    """One client's connection, from the server's side."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def receive(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            got = self.connection.recv(length - len(data))
            if not got:
                raise EOFError
            data += got
        return data

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def option_reply(self, option: int, kind: int, payload: bytes = b"") -> None:
        self.send(wire.OPTION_REPLY.pack(wire.OPTION_REPLY_MAGIC, option, kind, len(payload)) + payload)

    def chunk(
        self, handle: int, kind: int, payload: bytes = b"", *, done: bool = True, length: int | None = None
    ) -> None:
        size = len(payload) if length is None else length
        header = wire.CHUNK.pack(wire.CHUNK_DONE if done else 0, kind, handle, size)
        self.send(struct.pack("!I", wire.STRUCTURED_REPLY_MAGIC) + header + payload)

    def data(self, handle: int, offset: int, data: bytes, *, done: bool = True) -> None:
        self.chunk(handle, wire.CHUNK_DATA, struct.pack("!Q", offset) + data, done=done)

    def request(self) -> tuple[int, int, int, int]:
        """(command, handle, offset, length); EOFError at the end."""
        magic, _flags, command, handle, offset, length = wire.REQUEST.unpack(self.receive(wire.REQUEST.size))
        assert magic == wire.REQUEST_MAGIC
        if command == wire.CMD_DISC:
            raise EOFError
        return command, handle, offset, length


#: Answers one request.
Answer = Callable[[Talk, int, int, int, int], None]


class Server:
    """Serves `content` by hand; what is passed in takes the place of a part of that."""

    def __init__(
        self,
        at: Path,
        content: bytes = b"",
        *,
        answer: Answer | None = None,
        handshake: Callable[[Talk], None] | None = None,
        structured: bool = True,
        block_sizes: tuple[int, int, int] | None = None,
    ) -> None:
        self.at, self.content = at, content
        self.clients = 0
        self._answer = answer or self.good_answer
        self._handshake = handshake or self.good_handshake
        self._structured, self._block_sizes = structured, block_sizes
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(at))
        self._socket.listen(16)
        self._threads: list[threading.Thread] = []
        self._talks: list[Talk] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._accepting.join(10)
        self.hang_up()
        for thread in self._threads:
            thread.join(10)

    def hang_up(self) -> None:
        """On every client at once."""
        for talk in self._talks:
            with suppress(OSError):
                talk.connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.clients += 1
            talk = Talk(connection)
            self._talks.append(talk)
            thread = threading.Thread(target=self._serve, args=(talk,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, talk: Talk) -> None:
        with talk.connection, suppress(EOFError, OSError):
            self._handshake(talk)
            while True:
                self._answer(talk, *talk.request())

    def good_handshake(self, talk: Talk) -> None:
        talk.send(struct.pack("!QQH", wire.MAGIC, wire.OPTION_MAGIC, wire.FLAG_FIXED_NEWSTYLE | wire.FLAG_NO_ZEROES))
        talk.receive(4)
        while True:
            magic, option, length = wire.OPTION.unpack(talk.receive(wire.OPTION.size))
            assert magic == wire.OPTION_MAGIC
            talk.receive(length)
            if option == wire.OPT_STRUCTURED_REPLY and not self._structured:
                talk.option_reply(option, wire.REP_ERROR + 1)
            elif option == wire.OPT_SET_META_CONTEXT:
                talk.option_reply(option, wire.REP_META_CONTEXT, struct.pack("!I", 7) + b"base:allocation")
                talk.option_reply(option, wire.REP_ACK)
            elif option == wire.OPT_GO:
                size = struct.pack("!HQH", wire.INFO_EXPORT, len(self.content), 3)
                talk.option_reply(option, wire.REP_INFO, size)
                if self._block_sizes is not None:
                    talk.option_reply(
                        option, wire.REP_INFO, struct.pack("!HIII", wire.INFO_BLOCK_SIZE, *self._block_sizes)
                    )
                talk.option_reply(option, wire.REP_ACK)
                return
            else:
                talk.option_reply(option, wire.REP_ACK)

    def good_answer(self, talk: Talk, command: int, handle: int, offset: int, length: int) -> None:
        if command == wire.CMD_BLOCK_STATUS:
            talk.chunk(handle, wire.CHUNK_BLOCK_STATUS, struct.pack("!III", 7, length, 0))
        elif self._structured:
            talk.data(handle, offset, self.content[offset : offset + length])
        else:
            talk.send(struct.pack("!IIQ", wire.SIMPLE_REPLY_MAGIC, 0, handle) + self.content[offset : offset + length])
