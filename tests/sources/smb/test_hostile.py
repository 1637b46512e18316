"""A server, or somebody between, that sends what no server sends: the connection is given up, and no byte of it is believed."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from rehost.sources.smb._channel import Channel
from rehost.sources.smb._frames import Frames
from rehost.sources.smb._status import ChannelLost, StatusError

SESSION, TREE = 0x1122334455667788, 7
READ_SIZE = 128 << 10
SUCCESS, PENDING, END_OF_FILE, IO_DEVICE_ERROR = 0, 0x103, 0xC0000011, 0xC0000185


class Peer:
    """The other end: takes requests apart and seals whatever it is told to. MS-SMB2 2.2.1, 2.2.20, 2.2.41."""

    def __init__(self, connection: socket.socket, there: AESGCM, back: AESGCM) -> None:
        self.connection, self._there, self._back = connection, there, back
        self.requests: list[tuple[int, int, int, int]] = []  # message, charge, offset, length
        self.session = SESSION

    def request(self) -> tuple[int, int]:
        """Offset and length of the next read; (0, 0) where the reader has left."""
        if not (size := self._take(4)):
            return 0, 0
        sealed = self._take(int.from_bytes(size, "big"))
        nonce, tag = sealed[20:32], sealed[4:20]
        plain = self._there.decrypt(nonce, sealed[52:] + tag, sealed[20:52])
        charge, number = struct.unpack_from("<H", plain, 6)[0], struct.unpack_from("<Q", plain, 24)[0]
        length, offset = struct.unpack_from("<IQ", plain, 68)
        self.requests.append((number, charge, offset, length))
        return offset, length

    def _take(self, length: int) -> bytes:
        return self.connection.recv(length, socket.MSG_WAITALL)

    def answer(
        self,
        data: bytes = b"",
        *,
        status: int = SUCCESS,
        which: int = -1,
        at: int = 80,
        length: int | None = None,
        after: int = 0,
    ) -> None:
        number = self.requests[which][0]
        plain = struct.pack(
            "<4sHHIHHIIQIIQ16s", b"\xfeSMB", 64, 1, status, 8, 2, 1, after, number, 0, TREE, SESSION, b""
        )
        plain += struct.pack("<HBBIII", 17, at, 0, len(data) if length is None else length, 0, 0) + data
        self.send(self.seal(plain))

    def seal(self, plain: bytes) -> bytes:
        nonce = os.urandom(12)
        rest = struct.pack("<16sIHHQ", nonce, len(plain), 0, 1, self.session)
        sealed = self._back.encrypt(nonce, plain, rest)
        return b"\xfdSMB" + sealed[-16:] + rest + sealed[:-16]

    def send(self, message: bytes) -> None:
        self.connection.sendall(struct.pack(">I", len(message)) + message)


@contextmanager
def channel(play: Callable[[Peer], None], *, timeout: float = 10.0, granted: int = 8) -> Iterator[Channel]:
    """A channel whose other end plays that part, and leaves then."""
    ours, theirs = socket.socketpair()
    limit = struct.pack("@ll", int(timeout), int(timeout % 1 * 1_000_000))
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    there, back = AESGCM(os.urandom(16)), AESGCM(os.urandom(16))
    frames = Frames(
        ours, sealing=there, opening=back, nonce_size=12, session=SESSION, tree=TREE, message=3, granted=granted, room=READ_SIZE + 4096
    )  # fmt: skip
    peer = Peer(theirs, there, back)

    def act() -> None:
        with theirs:
            play(peer)

    thread = threading.Thread(target=act)
    thread.start()
    made = Channel(frames, read_size=READ_SIZE, timeout=timeout)
    try:
        yield made
    finally:
        made.close()
        thread.join()


def read(made: Channel, length: int, offset: int = 0) -> bytes:
    buffer = bytearray(length)
    got = made.read(b"h" * 16, offset, memoryview(buffer))
    return bytes(buffer[:got])


def _in_any_order(peer: Peer) -> None:
    spans = [peer.request() for _ in range(4)]
    for which in (2, 0, 3, 1):
        offset, length = spans[which]
        peer.answer(status=PENDING, which=which)
        peer.answer(bytes([offset // READ_SIZE]) * length, which=which)


def test_answers_may_come_in_any_order_and_late() -> None:
    with channel(_in_any_order) as made:
        assert read(made, 4 * READ_SIZE) == b"".join(bytes([each]) * READ_SIZE for each in range(4))


def _in_pieces(peer: Peer) -> None:
    end = 2 * READ_SIZE + 1000
    while (span := peer.request())[1]:
        offset, length = span
        if offset >= end:
            peer.answer(status=END_OF_FILE)
        else:
            peer.answer(b"x" * min(length, 100_000, end - offset))


def test_a_short_answer_is_asked_for_the_rest() -> None:
    with channel(_in_pieces) as made:
        assert read(made, 2 * READ_SIZE) == b"x" * 2 * READ_SIZE
        assert read(made, 9 * READ_SIZE) == b"x" * (2 * READ_SIZE + 1000)
        assert read(made, 10, 2 * READ_SIZE + 1000) == b""


def test_a_request_costs_what_it_asks_for() -> None:
    spent: list[tuple[int, int, int, int]] = []

    def play(peer: Peer) -> None:
        while (span := peer.request())[1]:
            peer.answer(b"x" * span[1])
        spent.extend(peer.requests)

    with channel(play, granted=2) as made:  # as few as one request takes, and one more with each answer
        assert len(read(made, 5 * READ_SIZE + 64)) == 5 * READ_SIZE + 64
        made.close()
    numbers = [number for number, *_ in spent]
    assert all(after == before + charge for (before, charge, *_), after in zip(spent, numbers[1:], strict=False))
    assert all(charge == -(-length // 65536) for _, charge, _, length in spent)


def _failing_in_the_middle(peer: Peer) -> None:
    for _ in range(4):
        peer.request()
    peer.answer(which=1, status=IO_DEVICE_ERROR)
    for which in (0, 3, 2):
        peer.answer(b"x" * READ_SIZE, which=which)
    _, length = peer.request()
    peer.answer(b"y" * length)


def test_a_refused_part_leaves_the_connection_in_order() -> None:
    with channel(_failing_in_the_middle) as made:
        with pytest.raises(StatusError, match="STATUS_IO_DEVICE_ERROR"):
            read(made, 6 * READ_SIZE)
        assert read(made, 10) == b"y" * 10


def _damaged(peer: Peer) -> None:
    peer.request()
    whole = bytearray(peer.seal(b"\xfeSMB" + bytes(100)))
    whole[-1] ^= 1
    peer.send(bytes(whole))


def _in_the_clear(peer: Peer) -> None:
    peer.request()
    number = peer.requests[-1][0]
    plain = struct.pack("<4sHHIHHIIQIIQ16s", b"\xfeSMB", 64, 1, 0, 8, 2, 1, 0, number, 0, TREE, SESSION, b"")
    peer.send(plain + struct.pack("<HBBIII", 17, 80, 0, 10, 0, 0) + b"0123456789")


def _of_another_session(peer: Peer) -> None:
    peer.request()
    peer.session += 1
    peer.answer(b"x" * 10)


def _too_long(peer: Peer) -> None:
    peer.request()
    peer.answer(b"x" * (READ_SIZE + 8192))


def _endless(peer: Peer) -> None:
    peer.request()
    peer.connection.sendall(
        b"\xff\xff\xff\xff" + b"\xfdSMB" + bytes(16 + 16) + struct.pack("<IHHQ", 1 << 31, 0, 1, SESSION)
    )


def _cut_short(peer: Peer) -> None:
    peer.request()
    peer.connection.sendall(struct.pack(">I", 200) + peer.seal(bytes(148))[:150])


def _never_asked(peer: Peer) -> None:
    peer.request()
    peer.requests.append((99, 0, 0, 0))
    peer.answer(b"x" * 10)


def _more_than_asked(peer: Peer) -> None:
    peer.request()
    peer.answer(b"x" * 11)


def _beyond_itself(peer: Peer) -> None:
    peer.request()
    peer.answer(b"x" * 10, at=200)


def _before_itself(peer: Peer) -> None:
    peer.request()
    peer.answer(b"x" * 10, at=10)


def _longer_than_it_is(peer: Peer) -> None:
    peer.request()
    peer.answer(b"x" * 5, length=10)


def _several_in_one(peer: Peer) -> None:
    peer.request()
    peer.answer(b"x" * 10, after=64)


def _no_header(peer: Peer) -> None:
    peer.request()
    peer.send(peer.seal(b"\xfeSMB"))


def _no_body(peer: Peer) -> None:
    peer.request()
    number = peer.requests[-1][0]
    peer.send(
        peer.seal(struct.pack("<4sHHIHHIIQIIQ16s", b"\xfeSMB", 64, 1, 0, 8, 2, 1, 0, number, 0, TREE, SESSION, b""))
    )


@pytest.mark.parametrize(
    ("play", "said"),
    [
        (_damaged, "damaged on its way"),
        (_in_the_clear, "without encryption"),
        (_of_another_session, "without encryption"),
        (_too_long, "at most were asked for"),
        (_endless, "at most were asked for"),
        (_cut_short, "closed the connection"),
        (_never_asked, "was not made"),
        (_more_than_asked, "contradicts itself"),
        (_beyond_itself, "contradicts itself"),
        (_before_itself, "contradicts itself"),
        (_longer_than_it_is, "contradicts itself"),
        (_several_in_one, "not asked for"),
        (_no_header, "at most were asked for"),
        (_no_body, "cut short"),
        (lambda peer: None, "closed the connection|reset|Broken pipe"),
    ],
)
def test_what_is_not_believed(play: Callable[[Peer], None], said: str) -> None:
    with channel(play) as made, pytest.raises(ChannelLost, match=said):
        read(made, 10)


def test_a_server_that_is_always_about_to_answer() -> None:
    stopped = threading.Event()

    def play(peer: Peer) -> None:
        peer.request()
        while not stopped.wait(0.02):
            try:
                peer.answer(status=PENDING)
            except OSError:
                return

    with channel(play, timeout=0.2) as made:
        began = time.monotonic()
        with pytest.raises(ChannelLost, match="did not answer in time"):
            read(made, 10)
        assert time.monotonic() - began < 5
        stopped.set()


def test_a_server_that_drips() -> None:
    stopped = threading.Event()

    def play(peer: Peer) -> None:
        peer.request()
        while not stopped.wait(0.02):
            try:
                peer.connection.sendall(b"\0")
            except OSError:
                return

    with channel(play, timeout=0.3) as made:
        began = time.monotonic()
        with pytest.raises(ChannelLost):
            read(made, 10)
        assert time.monotonic() - began < 5
        stopped.set()
