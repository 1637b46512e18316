"""Large disks and files that ask for much: memory and time stay bounded, reads are few, threads may share a disk."""

from __future__ import annotations

import os
import random
import struct
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from rehost.blocks import Extent
from rehost.sources import ReadFailed
from rehost.sources.vhd import DiskDamaged, FeatureUnknown, FileReadFailed, LocalFile, LocalFiles, open_disk
from sandbox.vhdx import VhdxWriter, create, create_vhdx
from sandbox.vhdx._log import log_entry
from tests.sources.vhd.disks import MIB, contents, patch, scattered, whole

TIB = 1 << 40
MOST_MEMORY = 32 * MIB


@contextmanager
def bounded(limit: int = MOST_MEMORY) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


class Counting(LocalFiles):
    """What was read, and on request failures."""

    def __init__(self) -> None:
        self.reads: list[tuple[int, int]] = []
        self.fail = 0
        self.short = 0

    def open(self, path: str) -> LocalFile:
        file, real = super().open(path), None
        real = file.read_into

        def read_into(offset: int, buffer: memoryview) -> int:
            self.reads.append((offset, len(buffer)))
            if self.fail:
                self.fail -= 1
                raise OSError(5, "Input/output error")
            return real(offset, buffer[: self.short] if self.short else buffer)

        file.read_into = read_into  # type: ignore[method-assign]
        return file


def test_a_disk_of_64_tib_in_blocks_of_1_mib(tmp_path: Path) -> None:
    path = tmp_path / "disk.vhdx"
    with create_vhdx(path, 64 * TIB, block_size=MIB) as disk:
        assert disk.regions[max(disk.regions, key=lambda key: disk.regions[key].length)].length > 512 * MIB
        for offset in (0, 3 * TIB, 64 * TIB - MIB):
            disk.write(offset, b"x" * 512)
    with bounded():
        reader = open_disk(str(path), LocalFiles())
        assert list(reader.extents()) == [Extent(0, MIB), Extent(3 * TIB, MIB), Extent(64 * TIB - MIB, MIB)]
        buffer = bytearray(1024)
        assert reader.read_into(3 * TIB - 512, memoryview(buffer)) == 1024
        assert buffer == bytes(512) + b"x" * 512
        reader.close()


def test_a_table_that_is_full_is_not_kept_whole(tmp_path: Path) -> None:
    """64 MiB of entries, all of them of one block: what the table may not say, but nobody goes through it all to see."""
    path = tmp_path / "disk.vhdx"
    with create_vhdx(path, 8 * TIB, block_size=MIB) as disk:
        disk.write(0, b"x" * MIB)
        place, state = disk.entry(0)
        table = disk.regions[max(disk.regions, key=lambda key: disk.regions[key].length)]
    with open(path, "r+b") as file:
        file.seek(table.offset)
        for _chunk in range(8 * 256):
            file.write(struct.pack("<Q", place | state) * 4096 + bytes(8))
    with bounded():
        reader = open_disk(str(path), LocalFiles())
        buffer = memoryview(bytearray(512))
        for offset in range(0, 8 * TIB, 8 * TIB // 1200):
            assert reader.read_into(offset - offset % 512, buffer) == 512
            assert buffer[0] == ord("x")
        reader.close()


def test_a_log_that_fills_its_place_is_replayed_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "disk.vhdx"
    with create_vhdx(path, 16 * MIB, log_length=8 * MIB) as disk:
        disk.write(0, b"x" * 16 * MIB)
        place, _state = disk.entry(0)
        log, offset = uuid4(), disk.header.log_offset
        entries, number = [], 1
        for start in range(0, 8 * MIB - 130 * 4096, 127 * 4096):
            changes: list[tuple[int, bytes | int]] = [(place + start + 4096 * i, b"y" * 4096) for i in range(126)]
            entries.append(log_entry(log, number, 0, changes, flushed=0, last=0))
            number += 1
        disk.update_header(log=log)
    patch(path, offset, b"".join(entries))
    with bounded():
        reader = open_disk(str(path), LocalFiles())
        buffer = bytearray(4096)
        reader.read_into(0, memoryview(buffer))
        reader.close()
    assert buffer == b"y" * 4096


def test_a_log_that_is_too_long_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "disk.vhdx"
    create_vhdx(path, MIB, log_length=9 * MIB).close()
    with VhdxWriter(path, defer_log=True) as disk:
        disk.write(0, b"x" * 512)
    with bounded(), pytest.raises(FeatureUnknown, match="log of 9 MiB is not empty and too long"):
        open_disk(str(path), LocalFiles())


def test_logs_of_a_chain_share_a_bound(tmp_path: Path) -> None:
    paths = [tmp_path / f"{index}.vhdx" for index in range(3)]
    for index, path in enumerate(paths):
        create(
            path, None if index else 16 * MIB, parent=paths[index - 1] if index else None, log_length=4 * MIB
        ).close()
    for path in paths:
        with VhdxWriter(path) as disk:
            log, offset = uuid4(), disk.header.log_offset
            changes: list[tuple[int, bytes | int]] = [(64 * MIB + 4096 * i, b"y" * 4096) for i in range(900)]
            disk.update_header(log=log)
        patch(path, offset, log_entry(log, 1, 0, changes, flushed=0, last=0))
    open_disk(str(tmp_path / "1.vhdx"), LocalFiles()).close()
    with pytest.raises(FeatureUnknown, match="the logs of its chain"):
        open_disk(str(tmp_path / "2.vhdx"), LocalFiles())


@pytest.mark.parametrize("valid", [True, False])
def test_a_log_of_entries_that_lead_nowhere_is_soon_refused(tmp_path: Path, valid: bool) -> None:
    """Five hundred entries, each of which could begin a sequence that never ends properly."""
    path = tmp_path / "disk.vhdx"
    with create_vhdx(path, MIB, log_length=2 * MIB) as disk:
        log, offset = uuid4(), disk.header.log_offset
        disk.update_header(log=log)
    count = 512
    entries = [
        log_entry(log, n + 1, 4096 * (count - 1) if valid else 4096 * n, [], flushed=0, last=0)
        for n in range(count - 1)
    ]
    if not valid:
        entries = [entry[:4] + bytes(4) + struct.pack("<I", 2 * MIB) + entry[12:] for entry in entries]
    patch(path, offset, b"".join(entries))
    with bounded(), pytest.raises(DiskDamaged, match="its log"):
        open_disk(str(path), LocalFiles())


def test_neighbours_are_read_in_one_piece(tmp_path: Path) -> None:
    path, files = tmp_path / "disk.vhdx", Counting()
    with create_vhdx(path, 64 * MIB, block_size=MIB) as disk:
        disk.write(0, b"x" * 64 * MIB)
    reader = open_disk(str(path), files)
    reader.read_into(0, memoryview(bytearray(512)))
    files.reads.clear()
    assert whole(reader) == b"x" * 64 * MIB
    assert [length for _offset, length in files.reads] == [64 * MIB]
    reader.close()


def test_scattered_sectors_of_a_child_are_read_in_few_pieces(tmp_path: Path) -> None:
    files = Counting()
    expected = bytearray(scattered(4 * MIB, 1))
    with create(tmp_path / "p.vhdx", 4 * MIB) as disk:
        disk.write(0, expected)
    with create(tmp_path / "c.vhdx", parent=tmp_path / "p.vhdx") as disk:
        for offset in range(0, 4 * MIB, 8192):
            disk.write(offset, b"c" * 4096)
            expected[offset : offset + 4096] = b"c" * 4096
    reader = open_disk(str(tmp_path / "c.vhdx"), files)
    reader.read_into(0, memoryview(bytearray(512)))
    files.reads.clear()
    assert whole(reader) == expected
    assert len(files.reads) < 20, "1,024 runs"
    reader.close()


def test_a_source_that_gives_little_at_a_time(tmp_path: Path) -> None:
    path, files = tmp_path / "disk.vhdx", Counting()
    expected = scattered(3 * MIB, 1)
    with create(path, 3 * MIB) as disk:
        disk.write(0, expected)
    files.short = 10007
    reader = open_disk(str(path), files)
    assert whole(reader) == expected
    reader.close()


def test_a_read_that_fails_may_be_tried_again(tmp_path: Path) -> None:
    path, files = tmp_path / "disk.vhdx", Counting()
    with create(path, MIB) as disk:
        disk.write(0, b"x" * MIB)
    reader = open_disk(str(path), files)
    files.fail = 1
    buffer = memoryview(bytearray(4096))
    with pytest.raises(FileReadFailed, match=r"reading at byte .* failed: .*Input/output error") as raised:
        reader.read_into(0, buffer)
    assert isinstance(raised.value, ReadFailed)
    assert raised.value.retryable
    assert reader.read_into(0, buffer) == 4096
    assert bytes(buffer) == b"x" * 4096
    reader.close()


def test_a_file_that_is_cut_off_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "disk.vhdx"
    with create(path, 8 * MIB) as disk:
        disk.write(0, b"x" * 8 * MIB)
    reader = open_disk(str(path), LocalFiles())
    os.truncate(path, 5 * MIB)
    with pytest.raises(FileReadFailed, match="the file ends here"):
        whole(reader)
    reader.close()


def test_threads_share_a_disk(tmp_path: Path) -> None:
    size = 24 * MIB
    expected = bytearray(scattered(size, 1, pieces=60))
    with create(tmp_path / "p.vhdx", size, block_size=MIB) as disk:
        disk.write(0, expected)
    with create(tmp_path / "c.vhdx", parent=tmp_path / "p.vhdx") as disk:
        for offset in range(0, size, 3 * 4096):
            disk.write(offset, b"c" * 4096)
            expected[offset : offset + 4096] = b"c" * 4096
    reader = open_disk(str(tmp_path / "c.vhdx"), LocalFiles())
    gate = threading.Barrier(4)

    def read(seed: int) -> None:
        chance = random.Random(seed)
        gate.wait()
        for _turn in range(30):
            offset = chance.randrange(0, size - MIB, 512)
            buffer = bytearray(512 << 10)
            assert reader.read_into(offset, memoryview(buffer)) == len(buffer)
            assert buffer == expected[offset : offset + len(buffer)]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read, range(4)))
    reader.close()
    assert contents(tmp_path / "c.vhdx") == expected
