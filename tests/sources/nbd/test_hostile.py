"""The client against servers that lie, dawdle, hang up, or send nonsense."""

from __future__ import annotations

import pickle
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rehost.blocks import Extent
from rehost.sources.nbd import (
    NbdClient,
    NbdError,
    NbdProtocolError,
    NbdRefused,
    NbdRequestFailed,
    NbdTimeout,
    NbdUnavailable,
)
from rehost.sources.nbd import _wire as wire
from tests.sources.nbd.servers import Answer, Server, Talk

CONTENT = bytes(range(256)) * 256  # 64 KiB


def read(client: NbdClient, offset: int, length: int) -> bytes:
    buffer = bytearray(length)
    with memoryview(buffer) as view:
        assert client.read_into(offset, view) == length
    return bytes(buffer)


def test_the_server_by_hand_is_a_good_one_unless_told_otherwise(tmp_path: Path) -> None:
    for number, structured in enumerate((True, False)):
        with Server(tmp_path / f"{number}", CONTENT, structured=structured) as server, NbdClient(server.at) as client:
            assert read(client, 100, 5000) == CONTENT[100:5100]


def test_answers_in_any_order_and_in_pieces(tmp_path: Path) -> None:
    """Two requests are held back; the later one is answered first, in pieces that are mixed with those of the other."""
    held: list[tuple[int, int, int]] = []

    def answer(talk: Talk, _command: int, handle: int, offset: int, length: int) -> None:
        held.append((handle, offset, length))
        if len(held) < 2:
            return
        for part in (1, 0):  # the second half first
            for handle_, offset_, length_ in reversed(held):
                at, half = offset_ + part * length_ // 2, length_ // 2
                talk.data(handle_, at, CONTENT[at : at + half], done=False)
        for handle_, _, _ in held:
            talk.chunk(handle_, wire.CHUNK_NONE)

    with Server(tmp_path / "s", CONTENT, answer=answer) as server, NbdClient(server.at) as client:
        with ThreadPoolExecutor(2) as pool:
            parts = list(pool.map(lambda at: read(client, at, 8192), (0, 32768)))
        assert parts == [CONTENT[:8192], CONTENT[32768:40960]]
        assert server.clients == 1


def test_holes_read_as_zeros(tmp_path: Path) -> None:
    def answer(talk: Talk, _command: int, handle: int, offset: int, length: int) -> None:
        talk.chunk(handle, wire.CHUNK_HOLE, struct.pack("!QI", offset, length - 512), done=False)
        talk.data(handle, offset + length - 512, b"x" * 512)

    with Server(tmp_path / "s", CONTENT, answer=answer) as server, NbdClient(server.at) as client:
        buffer = bytearray(b"\xff" * 4096)
        client.read_into(0, memoryview(buffer))
        assert buffer == bytes(3584) + b"x" * 512


def test_block_sizes_are_kept_to(tmp_path: Path) -> None:
    asked: list[tuple[int, int]] = []

    def answer(talk: Talk, _command: int, handle: int, offset: int, length: int) -> None:
        asked.append((offset, length))
        talk.data(handle, offset, CONTENT[offset : offset + length])

    sizes = (4096, 4096, 16384)
    with Server(tmp_path / "s", CONTENT, answer=answer, block_sizes=sizes) as server, NbdClient(server.at) as client:
        assert read(client, 512, 1024) == CONTENT[512:1536]
        buffer = bytearray(65536)
        assert client.read_into(0, memoryview(buffer)) == 16384
        assert client.read_into(100, memoryview(buffer)) == 12288
        assert bytes(buffer[:12288]) == CONTENT[100:12388]
    assert all(offset % 4096 == length % 4096 == 0 and length <= 16384 for offset, length in asked)


def _short(talk: Talk, _command: int, handle: int, offset: int, length: int) -> None:
    talk.data(handle, offset, CONTENT[offset : offset + length - 1])


def _outside(talk: Talk, _command: int, handle: int, offset: int, length: int) -> None:
    talk.data(handle, offset + 512, CONTENT[:length])


def _before(talk: Talk, _command: int, handle: int, offset: int, length: int) -> None:
    talk.data(handle, offset - 512, CONTENT[:length])


def _twice(talk: Talk, _command: int, handle: int, offset: int, length: int) -> None:
    talk.data(handle, offset, CONTENT[: length // 2], done=False)
    talk.data(handle, offset, CONTENT[: length // 2])


def _empty(talk: Talk, _command: int, handle: int, _offset: int, _length: int) -> None:
    talk.chunk(handle, wire.CHUNK_NONE)


def _other_handle(talk: Talk, _command: int, handle: int, offset: int, length: int) -> None:
    talk.data(handle + 1, offset, CONTENT[:length])


def _huge_chunk(talk: Talk, _command: int, handle: int, offset: int, _length: int) -> None:
    talk.chunk(handle, wire.CHUNK_DATA, struct.pack("!Q", offset), length=1 << 31)


def _huge_error(talk: Talk, _command: int, handle: int, _offset: int, _length: int) -> None:
    talk.chunk(handle, wire.CHUNK_ERROR + 1, length=1 << 31)


def _short_error(talk: Talk, _command: int, handle: int, _offset: int, _length: int) -> None:
    talk.chunk(handle, wire.CHUNK_ERROR + 1, b"x")


def _unknown_chunk(talk: Talk, _command: int, handle: int, _offset: int, _length: int) -> None:
    talk.chunk(handle, 99, b"x")


def _simple(talk: Talk, _command: int, handle: int, _offset: int, length: int) -> None:
    talk.send(struct.pack("!IIQ", wire.SIMPLE_REPLY_MAGIC, 0, handle) + CONTENT[:length])


def _nonsense(talk: Talk, *_request: int) -> None:
    talk.send(b"\xde\xad\xbe\xef" * 64)


def _empty_hole(talk: Talk, _command: int, handle: int, offset: int, _length: int) -> None:
    talk.chunk(handle, wire.CHUNK_HOLE, struct.pack("!QI", offset, 0))


LIES: list[Answer] = [
    *(_short, _outside, _before, _twice, _empty, _other_handle, _huge_chunk, _huge_error, _short_error, _unknown_chunk),
    *(_simple, _nonsense, _empty_hole),
]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_lie_is_found_out_and_the_next_connection_starts_afresh(tmp_path: Path, lie: Answer) -> None:
    lying = True

    def answer(talk: Talk, command: int, handle: int, offset: int, length: int) -> None:
        (lie if lying else server.good_answer)(talk, command, handle, offset, length)

    with Server(tmp_path / "s", CONTENT, answer=answer) as server, NbdClient(server.at, timeout=5) as client:
        with pytest.raises(NbdProtocolError) as found:
            read(client, 4096, 4096)
        assert found.value.retryable
        assert str(server.at) in str(found.value)
        assert server.clients == 2, "one attempt, and one over a new connection"
        lying = False
        assert read(client, 4096, 4096) == CONTENT[4096:8192]


def test_one_lie_fails_every_request_of_its_connection(tmp_path: Path) -> None:
    """And none of them hangs."""
    asked: dict[Talk, int] = {}

    def answer(talk: Talk, *_request: int) -> None:
        asked[talk] = asked.get(talk, 0) + 1
        if asked[talk] == 3:
            talk.send(b"nonsense")

    def one(at: int) -> str:
        with pytest.raises(NbdProtocolError) as failed:
            read(client, at, 512)
        return str(failed.value)

    with (
        Server(tmp_path / "s", CONTENT, answer=answer) as server,
        NbdClient(server.at, timeout=20) as client,
        ThreadPoolExecutor(3) as pool,
    ):
        assert len(set(pool.map(one, (0, 512, 1024)))) == 1
    assert list(asked.values()) == [3, 3], "each request was made once more, over a new connection"


def test_a_silent_server_is_given_up(tmp_path: Path) -> None:
    silent = threading.Event()

    def answer(_talk: Talk, *_request: int) -> None:
        silent.wait(20)

    with (
        Server(tmp_path / "s", CONTENT, answer=answer) as server,
        NbdClient(server.at, timeout=0.2) as client,
    ):
        started = time.monotonic()
        with pytest.raises(NbdTimeout, match=r"within 0\.2 s"):
            read(client, 0, 512)
        assert time.monotonic() - started < 5
        silent.set()


def test_a_server_that_drips_is_given_up(tmp_path: Path) -> None:
    """A byte now and then keeps no request alive for longer than its time."""
    ended = threading.Event()

    def answer(talk: Talk, _command: int, handle: int, offset: int, length: int) -> None:
        talk.chunk(handle, wire.CHUNK_DATA, struct.pack("!Q", offset), length=8 + length)
        while not ended.wait(0.02):
            talk.send(b"x")

    with Server(tmp_path / "s", CONTENT, answer=answer) as server, NbdClient(server.at, timeout=0.3) as client:
        started = time.monotonic()
        with pytest.raises(NbdTimeout):
            read(client, 0, 60_000)
        assert time.monotonic() - started < 5
        ended.set()


def test_a_request_that_waits_for_another_ones_answer_has_its_own_deadline(tmp_path: Path) -> None:
    ended = threading.Event()

    def answer(talk: Talk, _command: int, handle: int, offset: int, length: int) -> None:
        if offset == 0:
            return  # never
        talk.data(handle, offset, CONTENT[offset : offset + length])

    with Server(tmp_path / "s", CONTENT, answer=answer) as server, NbdClient(server.at, timeout=0.5) as client:
        with ThreadPoolExecutor(2) as pool:
            never = pool.submit(lambda: read(client, 0, 512))
            while server.clients == 0:
                time.sleep(0.01)
            assert read(client, 512, 512) == CONTENT[512:1024]
            with pytest.raises(NbdTimeout):
                never.result(10)
        ended.set()


def test_an_error_is_the_requests_own(tmp_path: Path) -> None:
    def answer(talk: Talk, command: int, handle: int, offset: int, length: int) -> None:
        if offset == 0:
            talk.chunk(handle, wire.CHUNK_ERROR + 1, struct.pack("!IH", 5, 4) + b"worn")
        else:
            server.good_answer(talk, command, handle, offset, length)

    with Server(tmp_path / "s", CONTENT, answer=answer) as server, NbdClient(server.at) as client:
        with pytest.raises(NbdRequestFailed, match=r"at byte 0: Input/output error \(worn\)"):
            read(client, 0, 512)
        assert read(client, 512, 512) == CONTENT[512:1024]
        assert server.clients == 1


def test_an_export_that_changes_its_size_is_another_one(tmp_path: Path) -> None:
    with Server(tmp_path / "s", CONTENT) as server, NbdClient(server.at) as client:
        assert read(client, 0, 512) == CONTENT[:512]
        server.content = CONTENT * 2
        server.hang_up()
        with pytest.raises(NbdProtocolError, match="had 65536 bytes and has 131072 now"):
            read(client, 0, 512)


# Negotiation


def _wrong_greeting(talk: Talk) -> None:
    talk.send(b"SSH-2.0-OpenSSH_9.2\r\n")
    talk.receive(1)


def _oldstyle(talk: Talk) -> None:
    talk.send(struct.pack("!QQH", wire.MAGIC, 0x00420281861253, 0))
    talk.receive(1)


def _endless(talk: Talk) -> None:
    talk.send(struct.pack("!QQH", wire.MAGIC, wire.OPTION_MAGIC, 3))
    talk.receive(4)
    while True:
        _, option, length = wire.OPTION.unpack(talk.receive(wire.OPTION.size))
        talk.receive(length)
        if option == wire.OPT_GO:
            for _ in range(1000):
                talk.option_reply(option, wire.REP_INFO, struct.pack("!HH", 9, 9))
        talk.option_reply(option, wire.REP_ACK)


def _huge_reply(talk: Talk) -> None:
    talk.send(struct.pack("!QQH", wire.MAGIC, wire.OPTION_MAGIC, 3))
    talk.receive(4 + 16)
    talk.send(wire.OPTION_REPLY.pack(wire.OPTION_REPLY_MAGIC, wire.OPT_STRUCTURED_REPLY, wire.REP_INFO, 1 << 30))
    talk.receive(1)


def _no_size(talk: Talk) -> None:
    talk.send(struct.pack("!QQH", wire.MAGIC, wire.OPTION_MAGIC, 3))
    talk.receive(4)
    while True:
        _, option, length = wire.OPTION.unpack(talk.receive(wire.OPTION.size))
        talk.receive(length)
        talk.option_reply(option, wire.REP_ACK)


@pytest.mark.parametrize("handshake", [_wrong_greeting, _oldstyle, _endless, _huge_reply, _no_size])
def test_a_negotiation_that_goes_wrong(tmp_path: Path, handshake: Callable[[Talk], None]) -> None:
    with (
        Server(tmp_path / "s", CONTENT, handshake=handshake) as server,
        NbdClient(server.at, timeout=5) as client,
        pytest.raises(NbdProtocolError),
    ):
        _ = client.size


@pytest.mark.parametrize("sizes", [(0, 4096, 4096), (3, 4096, 4096), (1 << 20, 1 << 20, 1 << 20), (4096, 4096, 512)])
def test_block_sizes_that_cannot_be(tmp_path: Path, sizes: tuple[int, int, int]) -> None:
    with (
        Server(tmp_path / "s", CONTENT, block_sizes=sizes) as server,
        NbdClient(server.at) as client,
        pytest.raises(NbdProtocolError, match="block sizes"),
    ):
        _ = client.size


def test_tls_is_asked_for(tmp_path: Path) -> None:
    def handshake(talk: Talk) -> None:
        talk.send(struct.pack("!QQH", wire.MAGIC, wire.OPTION_MAGIC, 3))
        talk.receive(4)
        while True:
            _, option, length = wire.OPTION.unpack(talk.receive(wire.OPTION.size))
            talk.receive(length)
            talk.option_reply(option, wire.REP_ERROR + 5)

    with (
        Server(tmp_path / "s", handshake=handshake) as server,
        NbdClient(server.at) as client,
        pytest.raises(NbdRefused, match="TLS"),
    ):
        _ = client.size


# Block status


def _statuses(*extents: tuple[int, int], context: int = 7) -> Answer:
    def answer(talk: Talk, _command: int, handle: int, _offset: int, _length: int) -> None:
        payload = struct.pack("!I", context) + b"".join(struct.pack("!II", *extent) for extent in extents)
        talk.chunk(handle, wire.CHUNK_BLOCK_STATUS, payload)

    return answer


def test_neighbours_are_joined_and_the_walk_goes_on_where_an_answer_ends(tmp_path: Path) -> None:
    answer = _statuses((4096, 0), (4096, 1), (4096, 2), (4096, 3))  # data, a hole that is not zero, zero, a zero hole
    with Server(tmp_path / "s", CONTENT, answer=answer) as server, NbdClient(server.at) as client:
        assert list(client.allocated()) == [Extent(at, 8192) for at in range(0, 65536, 16384)]


def test_only_the_last_extent_may_reach_beyond(tmp_path: Path) -> None:
    with (
        Server(tmp_path / "s", CONTENT, answer=_statuses((65536 * 4, 0))) as server,
        NbdClient(server.at) as client,
    ):
        assert list(client.allocated()) == [Extent(0, 65536)]


@pytest.mark.parametrize(
    "answer",
    [
        _statuses(),
        _statuses((0, 0)),
        _statuses((4096, 0), (0, 0)),
        _statuses((65536, 0), (4096, 0)),
        _statuses((4096, 0), context=8),
        _empty,
    ],
    ids=["no extent", "empty extent", "empty last extent", "one too many", "another context", "nothing"],
)
def test_a_block_status_that_cannot_be(tmp_path: Path, answer: Answer) -> None:
    with Server(tmp_path / "s", CONTENT, answer=answer) as server, NbdClient(server.at, timeout=5) as client:
        with pytest.raises(NbdProtocolError):
            list(client.allocated())
        assert server.clients >= 3, "it was tried over new connections"


def test_a_walk_survives_a_broken_connection(tmp_path: Path) -> None:
    answered = 0

    def answer(talk: Talk, _command: int, handle: int, _offset: int, _length: int) -> None:
        nonlocal answered
        answered += 1
        if answered == 2:
            raise EOFError
        _statuses((16384, 0))(talk, 0, handle, 0, 0)

    with Server(tmp_path / "s", CONTENT, answer=answer) as server, NbdClient(server.at) as client:
        assert list(client.allocated()) == [Extent(0, 65536)]


@pytest.mark.parametrize(
    "error",
    [
        NbdUnavailable(where="s", reason="no"),
        NbdTimeout(where="s", what="reading", seconds=1),
        NbdRefused(where="s", what="x", reason="no"),
        NbdProtocolError(where="s", detail="no"),
        NbdRequestFailed(where="s", what="reading", reason="EIO"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_pickle(error: NbdError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.attributes) == (type(error), str(error), error.attributes)
