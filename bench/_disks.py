"""The disks that are measured: random data, so that nothing can be skipped but what is a hole."""

from __future__ import annotations

import os
import random
from pathlib import Path

BLOCK = 512 * 1024
MIB = 1 << 20
GIB = 1 << 30


def dense(path: Path, size: int) -> Path:
    """A file of random bytes; the operating system has them in memory afterwards, as far as it can."""
    if not (path.exists() and path.stat().st_size == size):
        with path.open("wb") as file:
            for _ in range(size // (4 * MIB)):
                file.write(os.urandom(4 * MIB))
            file.flush()
            os.fsync(file.fileno())
    warm(path)
    return path


def sparse(path: Path, size: int, allocated: int) -> Path:
    """A file of holes in which `allocated` random bytes lie, in pieces of 4 MiB spread evenly."""
    if not (path.exists() and path.stat().st_size == size):
        pieces = allocated // (4 * MIB)
        with path.open("wb") as file:
            file.truncate(size)
            for number in range(pieces):
                file.seek(number * (size // pieces) // BLOCK * BLOCK)
                file.write(os.urandom(4 * MIB))
            file.flush()
            os.fsync(file.fileno())
    return path


def change(path: Path, share: float, seed: int) -> int:
    """Write anew that share of a file's blocks, chosen at random; returns how many."""
    blocks = path.stat().st_size // BLOCK
    chosen = random.Random(seed).sample(range(blocks), max(1, int(blocks * share)))
    with path.open("r+b") as file:
        for index in chosen:
            file.seek(index * BLOCK)
            file.write(os.urandom(BLOCK))
        file.flush()
        os.fsync(file.fileno())
    return len(chosen)


def warm(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        while file.read(4 * MIB):
            pass
