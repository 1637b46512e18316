"""Servers of HTTP and TCP on ports that the system chooses, which answer as a test says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rehost.control import ControlPlane
from rehost.validation import Check, Target


@dataclass
class Server:
    """Answers each connection with what `answer` makes of the request's first line; an empty answer hangs."""

    port: int
    answer: Callable[[str], bytes]
    requests: list[str] = field(default_factory=list)


def page(status: int, body: str = "", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Some", f"Content-Length: {len(body)}", *headers, "", body]
    return "\r\n".join(lines).encode()


@contextmanager
def serving(answer: Callable[[str], bytes]) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Server(listening.getsockname()[1], answer)
        stopping = threading.Event()

        def talk(connection: socket.socket) -> None:
            with connection:
                request = connection.recv(65536).decode("latin-1")
                if not request:
                    return
                server.requests.append(request)
                said = server.answer(request.splitlines()[0])
                if said:
                    with suppress(OSError):
                        connection.sendall(said)
                else:
                    stopping.wait()

        def accept() -> None:
            while not stopping.is_set():
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                threads.append(threading.Thread(target=talk, args=(connection,)))
                threads[-1].start()

        threads = [threading.Thread(target=accept)]
        threads[0].start()
        try:
            yield server
        finally:
            stopping.set()
            listening.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


TARGET = Target("web-01", "i-0123456789abcdef0", "127.0.0.1", None)


def check(
    kind: str, *, timeout: float = 5.0, interval: float = 0.02, attempts: int | None = None, **settings: Any
) -> Check:
    return Check(kind, kind, settings, None, timeout, interval, attempts)


@pytest.fixture
def control(tmp_path: Path) -> Iterator[ControlPlane]:
    opened = ControlPlane.open(f"sqlite:///{tmp_path / 'control.db'}")
    yield opened
    opened.close()
