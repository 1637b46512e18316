"""Blocks into a file, with and without the page cache."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rehost.blocks import BLOCK_SIZE
from rehost.transfer import ZERO_DIGEST, BlockWriteFailed, restore_blocks

BLOCKS = {index: bytes([index % 5]) * BLOCK_SIZE for index in range(40)}  # every fifth is zeros


class Reader:
    def read(self, _index: int, handle: int, buffer: memoryview, _pause: object) -> bytes:
        buffer[:] = BLOCKS[handle]
        return ZERO_DIGEST if not handle % 5 else hashlib.sha256(buffer).digest()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "disk.raw", os.O_RDWR | os.O_CREAT, 0o600)
    os.ftruncate(fd, len(BLOCKS) * BLOCK_SIZE)
    yield fd
    os.close(fd)


def restore(fd: int) -> None:
    restore_blocks(fd, ((index, index) for index in BLOCKS), Reader(), name="snap-1", in_flight=4)


def content(fd: int) -> bytes:
    return os.pread(fd, len(BLOCKS) * BLOCK_SIZE, 0)


def is_direct(fd: int) -> bool:
    return bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT)


def test_blocks_are_written_and_zeros_stay_holes(file: int) -> None:
    restore(file)
    assert content(file) == b"".join(BLOCKS.values())
    assert os.lseek(file, 0, os.SEEK_DATA) == BLOCK_SIZE


def test_a_file_system_that_refuses_direct_writes_is_written_through_the_page_cache(
    file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite
    refused = []

    def pwrite(fd: int, data: Any, offset: int) -> int:
        if is_direct(fd):
            refused.append(offset)
            raise OSError(errno.EINVAL, "misaligned")
        return real(fd, data, offset)

    try:
        fcntl.fcntl(file, fcntl.F_SETFL, os.O_DIRECT)
    except OSError:
        pytest.skip("this file system has no direct writes to refuse")
    monkeypatch.setattr(os, "pwrite", pwrite)
    restore(file)
    assert refused
    assert not is_direct(file)
    assert content(file) == b"".join(BLOCKS.values())


def test_a_full_disk_names_the_block(file: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def pwrite(_fd: int, _data: Any, _offset: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(BlockWriteFailed, match=r"snap-1: block \d+ at byte \d+ could not be written: .*No space left"):
        restore(file)
