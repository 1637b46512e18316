"""The in-memory source, held to the contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from rehost.sources import MemorySource, Quiesce, ReadFailed
from tests.sources.contract import SourceContract
from tests.sources.harness import INITIAL, Harness, whole


class MemoryHarness(Harness):
    survives_writes = True
    tracks_changes = True
    can_require = False  # it has no guest
    max_read: int | None = None

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.locator = {"name": "web-01"}
        self.unknown = {"name": "web-02"}
        self.wrong = ({}, {"nme": "web-01"}, {"name": "web-01", "path": "x"})
        self.memory = self.source = MemorySource({"web-01": INITIAL, "idle": [bytes(512)]}, max_read=self.max_read)

    def content(self, disk: int) -> bytes:
        return self.memory.content("web-01", disk)

    def write(self, disk: int, offset: int, data: bytes) -> None:
        self.memory.write("web-01", disk, offset, data)

    def resize(self, disk: int, size: int) -> None:
        self.memory.resize("web-01", disk, size)

    def made(self) -> Sequence[str]:
        return self.memory.frozen

    def losses(self) -> Mapping[str, Callable[[], None]]:
        return {"forgotten": lambda: self.memory.forget_changes("web-01", 0)}

    def lose_freeze(self, token: str) -> None:
        self.memory.drop(token)


class ShortReads(MemoryHarness):
    max_read = 1536


class TestMemory(SourceContract):
    harness_type = MemoryHarness


class TestShortReads(SourceContract):
    """Every read gives three sectors at most; whoever asks again gets all."""

    harness_type = ShortReads


def test_a_failed_read_may_be_repeated() -> None:
    source = MemorySource({"web-01": [INITIAL[1]]})
    [disk] = source.freeze({"name": "web-01"}, quiesce=Quiesce.NONE, run="run-1").disks
    source.failing_reads = 2
    for _ in range(2):
        with pytest.raises(ReadFailed) as refused:
            whole(disk)
        assert refused.value.retryable
    assert whole(disk) == INITIAL[1]
