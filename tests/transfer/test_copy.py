"""What one copy does with failures, stops and odd sources."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rehost.blocks import BLOCK_SIZE, Extent
from rehost.transfer import (
    BlockReadFailed,
    BlockRecordFailed,
    BlockSendFailed,
    CopyResult,
    CopyStopped,
    Manifest,
    PartialManifest,
    Progress,
    copy_disk,
    open_partial,
    plan_copy,
)
from rehost.transfer._copy import AHEAD

from .fakes import FakeSnapshot, FlakyRead, PatternDisk


@contextmanager
def partial(
    tmp_path: Path, disk: PatternDisk, *, name: str = "m", parent: Manifest | None = None
) -> Iterator[PartialManifest]:
    with open_partial(tmp_path / name, snapshot_id=f"snap-{name}", size=disk.size, parent=parent) as manifest:
        yield manifest


def copy(disk: PatternDisk, sink: FakeSnapshot, manifest: PartialManifest, **options: object) -> CopyResult:
    plan = plan_copy(disk.extents(), manifest, full=True)
    return copy_disk(disk, sink, manifest, plan, **options)  # type: ignore[arg-type]


def copy_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("copy-")]


def test_counts_of_a_first_run(tmp_path: Path) -> None:
    disk, sink = PatternDisk([1, 0, 2, 0, 0, 3], tail=512), FakeSnapshot()
    extents = [Extent(0, 3 * BLOCK_SIZE), Extent(5 * BLOCK_SIZE, 4 * BLOCK_SIZE)]  # the last reaches beyond the disk
    with partial(tmp_path, disk) as manifest:
        result = copy_disk(disk, sink, manifest, plan_copy(extents, manifest, full=True))
    assert result.progress == Progress(
        disk="disk",
        watermark=6,
        blocks_done=4,
        blocks_total=4,
        allocated_bytes=3 * BLOCK_SIZE + 512,
        read_bytes=3 * BLOCK_SIZE + 512,
        sent_blocks=3,
        zero_blocks=1,
        unchanged_blocks=0,
        resumed_blocks=0,
    )
    assert result.progress.sent_bytes == result.written_bytes == 3 * BLOCK_SIZE
    sink.complete(result.written_blocks, result.checksum)
    assert sink.holds(disk)


def test_unknown_changes_send_only_what_differs_and_clear_without_reading(tmp_path: Path) -> None:
    old, base = PatternDisk([1, 2, 3, 4]), FakeSnapshot()
    with partial(tmp_path, old) as manifest:
        copy(old, base, manifest)
        parent = manifest.finish()
    new, sink = PatternDisk([1, 0, 5, 0]), FakeSnapshot(base)
    with parent, partial(tmp_path, new, name="n", parent=parent) as manifest:
        plan = plan_copy(new.extents([0, 1, 2]), manifest, full=True)  # 1 is written zeros, 3 a hole
        progress = copy_disk(new, sink, manifest, plan).progress
    assert (progress.unchanged_blocks, progress.sent_blocks, progress.zero_blocks) == (1, 3, 0)
    assert set(sink.blocks) == {1, 2, 3}
    assert new.reads[3] == 0
    assert sink.holds(new)


def test_changed_extents_need_a_parent_of_the_same_size(tmp_path: Path) -> None:
    disk = PatternDisk([1])
    with partial(tmp_path, disk) as manifest, pytest.raises(ValueError, match="full=True"):
        plan_copy(disk.extents(), manifest, full=False)


def test_short_reads_are_looped_over(tmp_path: Path) -> None:
    disk, sink = PatternDisk([1, 2, 3], tail=4096, max_read=1000), FakeSnapshot()
    with partial(tmp_path, disk) as manifest:
        copy(disk, sink, manifest)
    assert sink.holds(disk)


def test_a_read_that_fails_for_a_while_is_tried_again(tmp_path: Path) -> None:
    disk, sink = PatternDisk([1, 2, 3]), FakeSnapshot()
    disk.failures[1] = 2
    with partial(tmp_path, disk) as manifest:
        copy(disk, sink, manifest, read_delays=(0, 0))
    assert sink.holds(disk)
    assert disk.reads[1] == 3


def test_a_read_that_goes_on_failing_names_disk_and_offset(tmp_path: Path) -> None:
    disk, sink = PatternDisk([1, 2, 3]), FakeSnapshot()
    disk.failures[1] = 3
    with partial(tmp_path, disk) as manifest:
        with pytest.raises(
            BlockReadFailed, match="disk disk: block 1 at byte 524288 could not be read: flaky"
        ) as caught:
            copy(disk, sink, manifest, read_delays=(0, 0))
        assert isinstance(caught.value.__cause__, FlakyRead)
        copy(disk, sink, manifest)  # resumes
    assert sink.holds(disk)
    assert max(sink.puts.values()) == 1
    assert not copy_threads()


def test_a_disk_that_ends_early_is_an_error(tmp_path: Path) -> None:
    disk, sink = PatternDisk([1, 2]), FakeSnapshot()
    with partial(tmp_path, disk) as manifest:
        disk.read_into = lambda offset, buffer: 0  # type: ignore[method-assign]
        with pytest.raises(BlockReadFailed, match="ended at byte"):
            copy(disk, sink, manifest)


def test_the_first_failure_of_the_sink_stops_all_workers(tmp_path: Path) -> None:
    disk, sink = PatternDisk([1] * 200), FakeSnapshot()

    def refuse(index: int) -> None:
        if index == 7:
            message = "quota reached"
            raise RuntimeError(message)

    sink.before_put = refuse
    with partial(tmp_path, disk) as manifest:
        with pytest.raises(BlockSendFailed, match=r"block 7 at byte 3670016 could not be sent: quota reached"):
            copy(disk, sink, manifest, in_flight=4)
        assert not copy_threads()
        assert set(manifest.written_blocks()) == set(sink.blocks)
    assert len(sink.blocks) < 200


def test_a_block_that_cannot_be_recorded_counts_as_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, sink = PatternDisk([1, 2]), FakeSnapshot()
    with partial(tmp_path, disk) as manifest:

        def full(index: int, digest: bytes) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(manifest, "record", full)
            with pytest.raises(BlockRecordFailed, match="No space left"):
                copy(disk, sink, manifest, in_flight=1)
        assert manifest.written_count == 0
        copy(disk, sink, manifest)
        sink.complete(manifest.written_count, manifest.linear_checksum())


def test_stop_stops_and_the_copy_resumes_without_sending_twice(tmp_path: Path) -> None:
    disk, sink, stop = PatternDisk([1] * 50), FakeSnapshot(), threading.Event()
    sink.after_put = lambda index: stop.set() if index == 20 else None
    with partial(tmp_path, disk) as manifest:
        with pytest.raises(CopyStopped) as caught:
            copy(disk, sink, manifest, in_flight=2, piece_blocks=8, stop=stop)
        assert caught.value.watermark == manifest.watermark
        assert 0 < len(sink.blocks) < 50
        stop.clear()
        sink.after_put = lambda index: None
        progress = copy(disk, sink, manifest, stop=stop).progress
    assert sink.holds(disk)
    assert set(sink.puts.values()) == {1}
    assert progress.sent_blocks + progress.resumed_blocks <= 50
    assert progress.blocks_done == 50


def test_a_stop_ends_the_wait_for_a_flaky_read(tmp_path: Path) -> None:
    disk, stop = PatternDisk([1]), threading.Event()
    disk.failures[0] = 100
    original = disk.read_into

    def read_into(offset: int, buffer: memoryview) -> int:
        stop.set()
        return original(offset, buffer)

    disk.read_into = read_into  # type: ignore[method-assign]
    with partial(tmp_path, disk) as manifest, pytest.raises(CopyStopped):
        copy(disk, FakeSnapshot(), manifest, read_delays=(3600,), stop=stop)
    assert disk.reads[0] == 1


def test_pieces_are_reported_in_order_once_durable(tmp_path: Path) -> None:
    disk, sink = PatternDisk([1] * 10), FakeSnapshot()
    seen: list[Progress] = []
    with partial(tmp_path, disk) as manifest:

        def on_piece(progress: Progress) -> None:
            assert threading.current_thread() is threading.main_thread()
            assert manifest.watermark == progress.watermark
            assert all(manifest.written(index) for index in range(progress.watermark))
            seen.append(progress)

        copy(disk, sink, manifest, in_flight=3, piece_blocks=4, on_piece=on_piece, flush_seconds=0)
    assert [progress.watermark for progress in seen] == [4, 8, 10]
    assert seen[-1].blocks_done == seen[-1].blocks_total == 10


def test_workers_are_never_more_than_a_few_pieces_ahead_of_what_is_settled(tmp_path: Path) -> None:
    disk, sink = PatternDisk([1] * 40), FakeSnapshot()
    with partial(tmp_path, disk) as manifest:
        watermarks: list[int] = [0]
        ahead: list[int] = []
        sink.before_put = lambda index: ahead.append(index - watermarks[-1])
        tell = lambda now: watermarks.append(now.watermark)  # noqa: E731
        copy(disk, sink, manifest, in_flight=4, piece_blocks=2, on_piece=tell, flush_seconds=0)
    assert max(ahead) < 2 * (AHEAD + 1)


def test_what_on_piece_raises_ends_the_copy(tmp_path: Path) -> None:
    disk, sink = PatternDisk([1] * 20), FakeSnapshot()

    def on_piece(progress: Progress) -> None:
        message = "the control plane is gone"
        raise ConnectionError(message)

    with partial(tmp_path, disk) as manifest:
        with pytest.raises(ConnectionError, match="control plane"):
            copy(disk, sink, manifest, in_flight=2, piece_blocks=4, on_piece=on_piece, flush_seconds=0)
        assert not copy_threads()
        assert manifest.watermark == 4


def test_a_disk_of_holes_needs_no_block(tmp_path: Path) -> None:
    disk, sink = PatternDisk([0] * 10), FakeSnapshot()
    with partial(tmp_path, disk) as manifest:
        result = copy(disk, sink, manifest)
        assert (result.written_blocks, manifest.watermark) == (0, 10)
    sink.complete(result.written_blocks, result.checksum)
    assert not disk.reads


def test_a_finished_copy_repeated_does_nothing(tmp_path: Path) -> None:
    disk, sink = PatternDisk([1, 2, 3]), FakeSnapshot()
    with partial(tmp_path, disk) as manifest:
        first = copy(disk, sink, manifest)
    reads = disk.reads.total()
    with partial(tmp_path, disk) as manifest:
        again = copy(disk, sink, manifest)
    assert (again.written_blocks, again.checksum) == (first.written_blocks, first.checksum)
    assert again.progress.blocks_done == again.progress.blocks_total == 3
    assert disk.reads.total() == reads
