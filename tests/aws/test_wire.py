"""One connection and the pool, against a peer that answers byte for byte what a test says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from rehost.aws._transport import Direct
from rehost.aws._wire import BadAnswer, Connection

Script = Callable[[socket.socket], None]


@contextmanager
def peer(*scripts: Script) -> Iterator[int]:
    """A listener that plays one script a connection; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def play() -> None:
        for script in scripts:
            connection, _ = listener.accept()
            with connection:
                script(connection)

    thread = threading.Thread(target=play)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        thread.join()
        listener.close()


def says(*pieces: bytes) -> Script:
    def script(connection: socket.socket) -> None:
        connection.recv(65536)
        for piece in pieces:
            connection.sendall(piece)

    return script


def asked(port: int, into: memoryview | None = None) -> tuple[int, bytes, bool]:
    connection = Connection("127.0.0.1", port, None)
    try:
        answer = connection.exchange(b"GET / HTTP/1.1\r\n\r\n", None, into)
        return answer.status, bytes(answer.body), connection.reusable
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"], (200, b"abc", True)),
        ([b"HTTP/1.1 200 OK\r\nContent-", b"Length: 3\r\n\r\na", b"bc"], (200, b"abc", True)),
        ([b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 x\r\nContent-Length: 0\r\n\r\n"], (201, b"", True)),
        (
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", b"1;x=y\r\nc\r\n0\r\n\r\n"],
            (200, b"abc", True),
        ),
        ([b"HTTP/1.1 503 x\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"], (503, b"x", False)),
        ([b"HTTP/1.0 200 OK\r\n\r\nuntil the end"], (200, b"until the end", False)),
        ([b"HTTP/1.1 204 x\r\n\r\n"], (204, b"", True)),
    ],
)
def test_answers_in_every_form(pieces: list[bytes], expected: tuple[int, bytes, bool]) -> None:
    with peer(says(*pieces)) as port:
        assert asked(port) == expected


@pytest.mark.parametrize(
    "piece",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab",
    ],
)
def test_what_is_no_whole_answer_is_an_error(piece: bytes) -> None:
    with peer(says(piece)) as port, pytest.raises(BadAnswer):
        asked(port)


def test_a_body_goes_straight_into_its_buffer() -> None:
    buffer = memoryview(bytearray(4))
    with peer(says(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab", b"cd")) as port:
        asked(port, buffer)
    assert bytes(buffer) == b"abcd"


def test_a_kept_connection_that_the_other_side_closed_costs_nothing() -> None:
    good = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    with peer(says(good), says(good)) as port:
        pool = Direct(f"http://127.0.0.1:{port}", verify=True)
        assert pool.exchange("GET", "/", {}).body == b"ok"
        assert pool.exchange("GET", "/", {}).body == b"ok"  # the first connection is closed by now
        pool.close()


def test_a_refusal_before_the_body_was_read_is_heard() -> None:
    def script(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(b"HTTP/1.1 400 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        while connection.recv(1 << 20):
            pass

    with peer(script) as port:
        connection = Connection("127.0.0.1", port, None)
        body = memoryview(bytearray(1 << 22))
        answer = connection.exchange(b"PUT / HTTP/1.1\r\n\r\n", body, None)
        connection.close()
    assert answer.status == 400
