"""SIGKILL, for real: nothing that was recorded is sent again, and at most one block a worker was not recorded."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

from rehost.transfer import copy_disk, open_partial, plan_copy

from .fakes import FakeSnapshot, PatternDisk

ROOT = Path(__file__).parents[2]

WORKERS = 4
AFTER = 21
BLOCKS = 40


def test_a_killed_copy_resumes_where_it_was(tmp_path: Path) -> None:
    disk = PatternDisk([1 + n % 7 for n in range(BLOCKS)], tail=4096)
    image, log = tmp_path / "disk.raw", tmp_path / "log"
    image.write_bytes(b"".join(disk.block(index) for index in range(BLOCKS))[: disk.size])

    script = Path(__file__).with_name("copy_and_hang.py")
    command = [sys.executable, *map(str, (script, image, tmp_path / "m", log, WORKERS, AFTER))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={"PYTHONPATH": str(ROOT)}) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"all workers hang\n"
        process.kill()

    acknowledged = Counter(int(line) for line in log.read_text().split())
    assert acknowledged.total() == AFTER + WORKERS
    sink = FakeSnapshot()
    with open_partial(tmp_path / "m", snapshot_id="snap-1", size=disk.size, parent=None) as manifest:
        recorded = set(manifest.written_blocks())
        assert len(recorded) == AFTER
        assert recorded <= set(acknowledged)
        assert manifest.watermark <= AFTER  # how far it is depends on when it was last flushed
        result = copy_disk(disk, sink, manifest, plan_copy(disk.extents(), manifest, full=True), in_flight=WORKERS)
        manifest.finish().close()

    assert not recorded & set(sink.puts)
    assert len(set(acknowledged) & set(sink.puts)) == WORKERS
    for index in recorded:
        sink.blocks[index] = disk.block(index)  # what the killed process had sent
    sink.complete(result.written_blocks, result.checksum)
    assert sink.holds(disk)
