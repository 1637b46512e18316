"""Any sequence of runs, crashes and power cuts leaves a chain of snapshots that reads as the disk."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rehost.blocks import BLOCK_SIZE
from rehost.transfer import (
    BlockFailed,
    Manifest,
    PartialManifest,
    copy_disk,
    open_partial,
    plan_copy,
    verify_against_source,
    verify_snapshot,
)
from rehost.transfer._header import DIGEST_SIZE, HEADER_SIZE, progress_record

from .fakes import Abort, FakeSnapshot, PatternDisk

BLOCKS = 10
SHM = "/dev/shm" if Path("/dev/shm").is_dir() else None  # fsync is what these tests would wait for


@dataclass
class Crash:
    at_put: int
    acknowledged: bool  # whether the snapshot took that block
    power_cut: bytes | None  # None: only the process died; else the seed of what became of the unflushed records


@dataclass
class Run:
    edits: dict[int, int]
    changes_known: bool
    holes: bool  # whether zeros are holes or written zeros
    grow: int
    workers: int
    piece_blocks: int
    crashes: list[Crash] = field(default_factory=list)


crashes = st.builds(
    Crash,
    at_put=st.integers(0, BLOCKS),
    acknowledged=st.booleans(),
    power_cut=st.none() | st.binary(min_size=8, max_size=8),
)
runs = st.builds(
    Run,
    edits=st.dictionaries(st.integers(0, BLOCKS - 1), st.integers(0, 3), max_size=BLOCKS),
    changes_known=st.booleans(),
    holes=st.booleans(),
    grow=st.sampled_from((0, 0, 0, 2)),
    workers=st.integers(1, 3),
    piece_blocks=st.integers(1, 4),
    crashes=st.lists(crashes, max_size=3),
)


@settings(max_examples=120, deadline=None)
@given(st.lists(runs, min_size=1, max_size=4), st.sampled_from((512, 4096 + 512, BLOCK_SIZE)))
def test_the_chain_reads_as_the_disk(sequence: list[Run], tail: int) -> None:
    with tempfile.TemporaryDirectory(dir=SHM) as folder:
        disk = PatternDisk([0] * BLOCKS, tail=tail)
        before: PatternDisk | None = None
        snapshot: FakeSnapshot | None = None
        parent: Manifest | None = None
        for number, run in enumerate(sequence):
            patterns = disk.patterns + [5] * run.grow
            for index, number_of_pattern in run.edits.items():
                patterns[index] = number_of_pattern
            disk = PatternDisk(patterns, tail=tail, max_read=200_000)
            snapshot = FakeSnapshot(snapshot)
            path = Path(folder, f"m{number}")
            manifest = one_run(path, f"snap-{number}", disk, before, snapshot, parent, run)
            assert snapshot.holds(disk)
            assert set(snapshot.blocks) == different(disk, before)
            assert verify_snapshot(snapshot.listing(), snapshot, manifest, in_flight=1).ok
            assert verify_against_source(disk, disk.extents(), manifest, in_flight=1).ok
            if parent is not None:
                parent.close()
            parent, before = manifest, disk
        assert parent is not None
        parent.close()


def different(disk: PatternDisk, before: PatternDisk | None) -> set[int]:
    """The blocks that have to be sent, and no others."""
    old = [] if before is None else [before.block(index) for index in range(len(before.patterns))]
    old += [bytes(BLOCK_SIZE)] * (len(disk.patterns) - len(old))
    return {index for index in range(len(disk.patterns)) if disk.block(index) != old[index]}


def one_run(
    path: Path,
    snapshot_id: str,
    disk: PatternDisk,
    before: PatternDisk | None,
    snapshot: FakeSnapshot,
    parent: Manifest | None,
    run: Run,
) -> Manifest:
    full = not run.changes_known or parent is None or parent.size != disk.size
    if full:
        wanted = [index for index, number in enumerate(disk.patterns) if number or not run.holes]
    else:
        assert before is not None
        wanted = sorted(different(disk, before) | {0})  # a source may name more than what changed
    recorded: set[int] = set()
    for crash in [*run.crashes, None]:
        manifest = open_partial(path, snapshot_id=snapshot_id, size=disk.size, parent=parent)
        assert recorded <= set(manifest.written_blocks())
        earlier = dict(snapshot.puts)
        arm(snapshot, crash)
        plan = plan_copy(disk.extents(wanted), manifest, full=full)
        try:
            result = copy_disk(
                disk, snapshot, manifest, plan, in_flight=run.workers, piece_blocks=run.piece_blocks, read_delays=()
            )
        except BlockFailed as error:
            assert isinstance(error.__cause__, Abort)  # noqa: PT017
            result = None
        assert not any(snapshot.puts[index] > earlier.get(index, 0) for index in recorded)
        recorded = set(manifest.written_blocks())
        if crash is None:
            assert result is not None
            snapshot.complete(result.written_blocks, result.checksum)
            return manifest.finish()
        if crash.power_cut is not None:
            recorded = {index for index in recorded if index < manifest.watermark}
            cut_power(manifest, crash.power_cut)
        manifest.close()
    raise AssertionError


def arm(snapshot: FakeSnapshot, crash: Crash | None) -> None:
    """Make the n-th put of this attempt die, before or after the snapshot took the block."""
    left = [-1 if crash is None else crash.at_put]

    def die(index: int) -> None:
        left[0] -= 1
        if left[0] == -1:
            raise Abort

    nothing = lambda index: None  # noqa: E731
    acknowledged = crash is not None and crash.acknowledged
    snapshot.before_put, snapshot.after_put = (nothing, die) if acknowledged else (die, nothing)


def cut_power(manifest: PartialManifest, seed: bytes) -> None:
    """What is above the watermark may be on the disk in part: random bits, and digests that are garbage."""
    first = manifest.watermark
    bits = int.from_bytes(os.pread(manifest._fd, 2, manifest._header.bitmap_at), "little")
    for index in range(first, manifest.block_count):
        chance = seed[index % len(seed)]
        if manifest.written(index) and chance & 1:
            os.pwrite(manifest._fd, seed * (DIGEST_SIZE // len(seed)), HEADER_SIZE + index * DIGEST_SIZE)
        if manifest.written(index) and chance & 2:
            bits &= ~(1 << index)
    os.pwrite(manifest._fd, bits.to_bytes(2, "little"), manifest._header.bitmap_at)
    os.pwrite(manifest._fd, *progress_record(first, "the boot before"))


def test_a_shrunk_disk_is_refused(tmp_path: Path) -> None:
    manifest = open_partial(tmp_path / "m", snapshot_id="snap-1", size=2 * BLOCK_SIZE, parent=None)
    with manifest.finish() as parent, pytest.raises(Exception, match="shrunk") as caught:
        open_partial(tmp_path / "n", snapshot_id="snap-2", size=BLOCK_SIZE, parent=parent)
    assert not (tmp_path / "n.partial").exists()
    assert caught.type.__name__ == "ManifestInvalid"
