"""The self-test of a source: each way in which a place can fail it, caused on a source in memory."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

import rehost.doctor
from rehost.blocks import Extent
from rehost.doctor import Book, Check, Result, ServerTest, SourceTest
from rehost.doctor._reading import Areas, areas, looks_like, sample_of, touched
from rehost.sources import (
    ChangePosition,
    CredentialsRefused,
    DiscoveredServer,
    Locator,
    MemorySource,
    Quiesce,
    SourceUnavailable,
)

MIB = 1 << 20
CONTENT = os.urandom(2 * MIB) + bytes(2 * MIB) + os.urandom(MIB)


class Meddled(MemorySource):
    """Somebody does something between two calls, or the place has a fault."""

    def __init__(self) -> None:
        super().__init__({"web-01": [CONTENT, bytes(MIB)]})
        self.at_freeze: dict[int, Any] = {}  # what happens before the n-th point in time
        self.freezes = 0
        self.closed = 0

    def freeze(self, server: Locator, *, quiesce: Quiesce, run: str) -> Any:
        self.freezes += 1
        self.at_freeze.get(self.freezes, lambda: None)()
        return super().freeze(server, quiesce=quiesce, run=run)

    def close(self) -> None:
        self.closed += 1


def server_test(source: MemorySource, quiesce: Quiesce = Quiesce.TRY) -> tuple[dict[str, Check], ServerTest, Book]:
    told: dict[str, Check] = {}
    book = Book(lambda check: told.update({check.id: check}))
    test = ServerTest(book, lambda: source, {"name": "web-01"}, quiesce=quiesce, run="doctor-1", budget=64 * MIB)
    return told, test, book


def failed(told: Mapping[str, Check]) -> list[str]:
    return [each.id for each in told.values() if each.result is Result.FAILED]


def test_the_public_names() -> None:
    assert rehost.doctor.__all__ == ["Book", "Check", "Result", "ServerTest", "SourceTest"]
    assert all(getattr(rehost.doctor, name) for name in rehost.doctor.__all__)


def test_a_source_that_does_as_it_should() -> None:
    source = Meddled()
    source.at_freeze[2] = lambda: source.write("web-01", 0, MIB, b"new" * 1024)
    told, test, book = server_test(source)
    test.run()
    assert book.is_well, failed(told)
    assert told["allocated"].figures["bytes"] == 3 * MIB
    assert told["rate"].figures["bytes"] == 3 * MIB
    assert told["changes"].figures["bytes"] == {"disk0": 3072, "disk1": 0}
    assert told["unchanged"].figures == {"bytes": 2 * MIB, "differing": 0}
    assert "zeros" in told["ends"].found
    assert source.frozen == []
    assert source.closed == 4  # its own, and one each for the reopening and for each point in time that is gone


def test_changes_that_are_missed_are_found() -> None:
    source = Meddled()

    def unseen() -> None:
        source._servers["web-01"][0].content[MIB] ^= 1

    source.at_freeze[2] = unseen
    told, test, _ = server_test(source)
    test.run()
    assert failed(told) == ["unchanged"]
    assert told["unchanged"].figures["differing"] == 1
    assert "do not replicate" in told["unchanged"].remedy
    assert source.frozen == []


def test_changes_that_are_not_known_fail_it() -> None:
    source = Meddled()
    source.at_freeze[2] = lambda: source.forget_changes("web-01", 0)
    told, test, _ = server_test(source)
    test.run()
    assert failed(told) == ["changes"]
    assert told["unchanged"].result is Result.SKIPPED
    assert source.frozen == []


def test_a_read_that_fails_now_and_then_is_told() -> None:
    source = Meddled()
    told, test, book = server_test(source)
    source.failing_reads = 1
    test.run()
    assert book.is_well
    assert told["ends"].figures["readAgain"] == 1


def test_a_disk_that_cannot_be_read_is_given_up_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rehost.doctor._reading.ATTEMPTS", 1)
    source = Meddled()
    told, test, _ = server_test(source)
    source.failing_reads = 10**9
    test.run()
    assert set(failed(told)) == {"ends", "rate"}
    assert told["release"].result is Result.OK
    assert source.frozen == []


def test_a_quiesce_that_is_impossible_says_so() -> None:
    told, test, _ = server_test(Meddled(), Quiesce.REQUIRE)
    test.run()
    assert failed(told) == ["freeze"]
    assert "release" not in told
    assert {each.result for id_, each in told.items() if id_ in ("ends", "rate", "changes")} == {Result.SKIPPED}


def test_a_point_in_time_that_does_not_go_fails_it(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Meddled()
    monkeypatch.setattr(source, "drop", lambda token: None)
    told, test, _ = server_test(source)
    test.run()
    assert failed(told) == ["gone", "left"]
    assert told["freeze-again"].result is Result.SKIPPED, "no second one while the first is still there"


@pytest.mark.parametrize("at", ["freeze", "read"])
def test_ctrl_c_gives_the_point_in_time_up(at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Meddled()

    def interrupt(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    if at == "freeze":
        source.at_freeze[1] = interrupt
    else:
        monkeypatch.setattr("rehost.doctor._server.looks_like", interrupt)
    told, test, _ = server_test(source)
    with pytest.raises(KeyboardInterrupt):
        test.run()
    assert told[at if at == "freeze" else "ends"].found == "interrupted"
    assert told["release-after-all"].result is Result.OK
    assert source.frozen == []
    assert source.closed == 1


def test_extents_have_to_make_sense() -> None:
    class Wrong(Meddled):
        def freeze(self, server: Locator, *, quiesce: Quiesce, run: str) -> Any:
            frozen = super().freeze(server, quiesce=quiesce, run=run)
            for disk in frozen.disks:
                disk.extents = overlapping
            return frozen

    def overlapping(since: ChangePosition | None) -> Iterator[Extent]:
        return iter([Extent(0, 1024), Extent(512, 512)])

    told, test, _ = server_test(Wrong())
    test.run()
    assert told["allocated"].result is Result.FAILED
    assert "512+512 after byte 1024" in told["allocated"].found


def test_what_nobody_thought_of_is_a_line_of_its_own() -> None:
    class Broken(Meddled):
        def inspect(self, server: Locator) -> DiscoveredServer:
            message = "no such attribute"
            raise AttributeError(message)

    told, test, _ = server_test(Broken())
    test.run()
    assert "AttributeError: no such attribute (test_doctor.py:" in told["inspect"].found
    assert list(told) == ["inspect"]


@pytest.mark.parametrize(
    "error",
    [CredentialsRefused(place="dc1", reason="wrong password"), SourceUnavailable(place="dc1", reason="no route")],
    ids=lambda error: type(error).__name__,
)
def test_a_place_that_is_not_reached(error: Exception) -> None:
    class Away(Meddled):
        def discover(self) -> Iterator[DiscoveredServer]:
            raise error

    told: list[Check] = []
    SourceTest(Book(told.append), Away).run()
    assert [each.result for each in told] == [Result.OK, Result.FAILED, Result.SKIPPED]
    assert str(error) in told[1].found
    assert told[1].remedy


def test_a_sample_lies_evenly_over_what_is_allocated() -> None:
    allocated = areas([Extent(0, 100 * MIB), Extent(900 * MIB, 100 * MIB + 700)], 1001 * MIB)
    assert allocated.bytes == 200 * MIB + 700
    pieces = list(sample_of(allocated, 64 * MIB))
    assert sum(each.length for each in pieces) == 64 * MIB
    assert sum(each.offset < 100 * MIB for each in pieces) == len(pieces) // 2
    assert all(a.end <= b.offset for a, b in itertools.pairwise(pieces))
    assert all(each.offset % 512 == 0 and each.length % 512 == 0 for each in pieces)
    assert list(sample_of(Areas(), 64 * MIB)) == []


def test_a_piece_is_touched_by_one_byte() -> None:
    changed = [Extent(100, 10), Extent(5000, 1)]
    assert touched(Extent(0, 101), changed)
    assert not touched(Extent(0, 100), changed)
    assert not touched(Extent(110, 4000), changed)
    assert touched(Extent(4096, 4096), changed)
    assert not touched(Extent(0, 100), [])


def test_a_disk_is_known_by_its_head() -> None:
    sector = bytes(510) + b"\x55\xaa"
    assert looks_like(sector + b"EFI PART" + bytes(4096), bytes(1024) + b"EFI PART" + bytes(504)) == "GPT"
    assert looks_like(sector + b"EFI PART" + bytes(4096), bytes(4096)) == "GPT, without its copy at the end"
    assert looks_like(sector, sector) == "MBR"
    assert looks_like(bytes(4096), bytes(4096)) == "zeros"
