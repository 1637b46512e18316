"""Verification finds each kind of difference, and what proves a disk equal."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from rehost.blocks import BLOCK_SIZE
from rehost.pacing import Pause
from rehost.transfer import (
    ZERO_DIGEST,
    BlockReadFailed,
    CopyStopped,
    Difference,
    Manifest,
    Mismatch,
    VerifyResult,
    copy_disk,
    disk_sha256,
    open_partial,
    plan_copy,
    read_blocks,
    verify_against_source,
    verify_snapshot,
)

from .fakes import FakeSnapshot, PatternDisk, pattern


@pytest.fixture
def disk() -> PatternDisk:
    return PatternDisk([1, 0, 2, 0, 3], tail=1024)


@pytest.fixture
def snapshot() -> FakeSnapshot:
    return FakeSnapshot()


@pytest.fixture
def manifest(tmp_path: Path, disk: PatternDisk, snapshot: FakeSnapshot) -> Manifest:
    with open_partial(tmp_path / "m", snapshot_id="snap-1", size=disk.size, parent=None) as partial:
        copy_disk(disk, snapshot, partial, plan_copy(disk.extents(), partial, full=True))
        return partial.finish()


def verified(snapshot: FakeSnapshot, manifest: Manifest, *, limit: int = 100) -> VerifyResult:
    with manifest:
        return verify_snapshot(snapshot.listing(), snapshot, manifest, limit=limit)


def test_a_good_snapshot_is_verified(snapshot: FakeSnapshot, manifest: Manifest) -> None:
    result = verified(snapshot, manifest)
    assert result == VerifyResult(blocks_read=3, mismatch_count=0, mismatches=())
    assert result.ok
    assert result.bytes_read == 3 * BLOCK_SIZE


def test_a_written_zero_block_is_no_difference(snapshot: FakeSnapshot, manifest: Manifest) -> None:
    snapshot.blocks[1] = bytes(BLOCK_SIZE)
    assert verified(snapshot, manifest).ok


def test_each_difference_is_found_at_its_offset(snapshot: FakeSnapshot, manifest: Manifest) -> None:
    snapshot.blocks[0] = pattern(9)
    snapshot.blocks[1] = pattern(9)
    del snapshot.blocks[2]
    snapshot.blocks[77] = pattern(9)
    result = verified(snapshot, manifest)
    assert result.mismatches == (
        Mismatch(0, Difference.CONTENT),
        Mismatch(BLOCK_SIZE, Difference.UNEXPECTED),
        Mismatch(2 * BLOCK_SIZE, Difference.MISSING),
        Mismatch(77 * BLOCK_SIZE, Difference.UNEXPECTED),
    )
    assert (result.mismatch_count, result.ok) == (4, False)


def test_the_list_of_differences_is_bounded_and_their_number_is_not(snapshot: FakeSnapshot, manifest: Manifest) -> None:
    for index in range(5):
        snapshot.blocks[index] = pattern(9)
    result = verified(snapshot, manifest, limit=2)
    assert (len(result.mismatches), result.mismatch_count) == (2, 5)


def test_a_block_that_cannot_be_read_back_is_an_error(manifest: Manifest) -> None:
    class Gone:
        def read(self, index: int, handle: str, buffer: memoryview, pause: Pause) -> bytes:
            message = f"no block {handle}"
            raise OSError(message)

    with manifest, pytest.raises(BlockReadFailed, match=r"disk snap-1: block 4 .* no block token"):
        verify_snapshot([(4, "token")], Gone(), manifest)


def test_stop_stops_it(manifest: Manifest) -> None:
    stop = threading.Event()

    class Endless:
        def read(self, index: int, handle: int, buffer: memoryview, pause: Pause) -> bytes:
            stop.set()
            pause(0.2)
            return ZERO_DIGEST

    with manifest, pytest.raises(CopyStopped):
        verify_snapshot(((index, index) for index in range(10_000)), Endless(), manifest, stop=stop)


def test_the_source_is_compared_too(disk: PatternDisk, manifest: Manifest) -> None:
    with manifest:
        assert verify_against_source(disk, disk.extents(), manifest).ok
        disk.patterns[2] = 7
        disk.patterns[4] = 0
        result = verify_against_source(disk, disk.extents(), manifest)
    assert result.mismatches == (
        Mismatch(2 * BLOCK_SIZE, Difference.CONTENT),
        Mismatch(4 * BLOCK_SIZE, Difference.MISSING),
    )


@pytest.mark.parametrize("patterns", [[1, 0, 2, 0, 3], [0, 0, 1], [1, 0, 0], [0], [4]])
def test_the_sha256_of_a_snapshot_is_that_of_the_raw_file(patterns: list[int]) -> None:
    disk = PatternDisk(patterns, tail=1536)
    raw = b"".join(disk.block(index) for index in range(len(patterns)))[: disk.size]
    listed = [(index, index) for index, number in enumerate(patterns) if number]
    blocks = read_blocks(listed, lambda index, _: disk.block(index), workers=2)
    assert disk_sha256(blocks, disk.size) == hashlib.sha256(raw).hexdigest()


def test_reading_ahead_is_bounded_and_in_order() -> None:
    begun: list[int] = []

    def read(index: int, _: int) -> bytes:
        begun.append(index)
        return bytes([index])

    blocks = read_blocks(((index, index) for index in range(50)), read, workers=2)
    assert next(blocks) == (0, b"\0")
    assert max(begun) < 4
    assert [index for index, _ in blocks] == list(range(1, 50))
