"""Damaged virtual disks: whatever a file says, opening and reading it ends soon, in bounded memory, in one of our errors.

python -m tests.sources.vhd.fuzz --seconds 60 [--seed N]

Files of many shapes are made once and mutated in memory: bits, fields with values that are known to hurt, pieces moved or cut
off, in the structures rather than the data; checksums are put right again most of the time, so that what lies behind them is
reached.
"""

from __future__ import annotations

import argparse
import random
import struct
import sys
import tempfile
import time
import traceback
import tracemalloc
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rehost.sources import SourceError
from rehost.sources.vhd import crc32c, open_disk
from sandbox.vhdx import VhdxWriter, create

MIB = 1 << 20
MOST_MEMORY = 32 * MIB  # what the reader may take, beside the file and the caller's buffer
MOST_SECONDS = 10.0  # a case; the slowest ones sum up a whole log byte by byte
_SIZE = 9 * MIB + 4096


@dataclass
class Memory:
    """A file in memory: a shared original, and what differs from it."""

    data: bytes | bytearray

    @property
    def size(self) -> int:
        return len(self.data)

    def read_into(self, offset: int, buffer: memoryview) -> int:
        piece = memoryview(self.data)[offset : offset + len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        return None


@dataclass
class MemoryFiles:
    files: Mapping[str, bytes | bytearray]

    def open(self, path: str) -> Memory:
        if path not in self.files:
            raise FileNotFoundError(path)
        return Memory(self.files[path])


@dataclass(frozen=True)
class Shape:
    """A leaf, with the files it needs; `spots` are (offset, length) of the structures of the leaf."""

    name: str
    leaf: str
    files: Mapping[str, bytes]
    spots: tuple[tuple[int, int], ...]


@dataclass
class Outcome:
    cases: int = 0
    read: int = 0  # of them, those that could be read in spite of it
    errors: int = 0
    peak: int = 0  # bytes
    slowest: float = 0.0  # seconds


def shapes() -> list[Shape]:
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in ("dynamic", "fixed", "child", "large-sectors", "log"):
            found.append(_vhdx_shape(folder / kind, kind))
        for kind in ("dynamic", "fixed", "child"):
            found.append(_vhd_shape(folder / f"vhd-{kind}", kind))
    return found


def _vhdx_shape(folder: Path, kind: str) -> Shape:
    folder.mkdir()
    leaf = folder / "leaf.vhdx"
    options = {"fixed": kind == "fixed", "sector_size": 4096 if kind == "large-sectors" else 512, "block_size": MIB}
    chance = random.Random(1)
    if kind == "child":
        with create(folder / "parent.vhdx", _SIZE, **options) as parent:
            parent.write(0, chance.randbytes(MIB))
        create(leaf, parent=folder / "parent.vhdx").close()
    else:
        create(leaf, _SIZE, **options).close()
    with VhdxWriter(leaf, defer_log=kind == "log") as disk:
        disk.write(MIB - 4096, chance.randbytes(MIB))
        disk.write(5 * MIB, chance.randbytes(4096))
        disk.zero(7 * MIB, MIB)
        regions = [entry.offset for entry in disk.regions.values()]
    spots = [(0, 64), (64 << 10, 88), (128 << 10, 88), (192 << 10, 96), (256 << 10, 96)]
    spots += [(regions[0], 128), (regions[1], 256), (regions[1] + (64 << 10), 400)]
    if kind == "log":
        spots += [(MIB, 400)] * 4
    if kind == "child":
        spots += [(regions[1] + (64 << 10) + 40, 300)] * 2
    return _shape(f"vhdx-{kind}", folder, leaf, spots)


def _vhd_shape(folder: Path, kind: str) -> Shape:
    folder.mkdir()
    leaf = folder / "leaf.vhd"
    chance = random.Random(2)
    if kind == "child":
        with create(folder / "parent.vhd", _SIZE) as parent:
            parent.write(0, chance.randbytes(MIB))
    with (
        create(leaf, parent=folder / "parent.vhd")
        if kind == "child"
        else create(leaf, _SIZE, fixed=kind == "fixed") as disk
    ):
        disk.write(MIB, chance.randbytes(MIB))
    end = leaf.stat().st_size
    spots = [(0, 100), (512, 64), (512 + 576, 60), (1536, 40), (end - 512, 100), (end - 512, 100)]
    return _shape(f"vhd-{kind}", folder, leaf, spots)


def _shape(name: str, folder: Path, leaf: Path, spots: list[tuple[int, int]]) -> Shape:
    return Shape(name, leaf.name, {path.name: path.read_bytes() for path in folder.iterdir()}, tuple(spots))


def run(shape: Shape, seed: int, outcome: Outcome, *, traced: bool) -> None:
    """One case. Raises AssertionError, or whatever the reader should not have raised."""
    chance = random.Random(seed)
    data = bytearray(shape.files[shape.leaf])
    mutate(data, shape, chance)
    files = MemoryFiles({**shape.files, shape.leaf: data})
    buffer = bytearray(256 << 10)
    if traced:
        tracemalloc.start()
    started = time.monotonic()
    try:
        _use(shape.leaf, files, buffer, chance)
        outcome.read += 1
    except SourceError:
        outcome.errors += 1
    finally:
        seconds = time.monotonic() - started
        if traced:
            outcome.peak = max(outcome.peak, tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    outcome.cases += 1
    outcome.slowest = max(outcome.slowest, seconds)
    assert seconds < MOST_SECONDS, f"it took {seconds:.1f} s"
    assert outcome.peak < MOST_MEMORY, f"it took {outcome.peak >> 20} MiB"


def _use(leaf: str, files: MemoryFiles, buffer: bytearray, chance: random.Random) -> None:
    disk = open_disk(leaf, files)
    assert 0 < disk.size <= 64 << 40 or leaf.endswith(".vhd")
    view = memoryview(buffer)
    places = [0, disk.size - 1, MIB - 8192, *(chance.randrange(disk.size) for _ in range(3))]
    end = 0
    for number, extent in enumerate(disk.extents()):
        assert end <= extent.offset < extent.end <= disk.size
        end = extent.end
        if number == 2000:  # a disk may well say that it has millions
            break
        if number < 4:
            places.append(extent.offset)
    for place in places:
        place = max(0, place)
        assert disk.read_into(place, view) == max(0, min(len(view), disk.size - place))
    disk.check()
    assert disk.fingerprint
    disk.close()


_HURTS = (0, 1, 2, 3, 7, 8, 511, 512, 513, 4096, 65535, 65536, MIB, MIB - 1, 3 * MIB, 256 * MIB, 1 << 31, 0xFFFFFFFF, 1 << 40,
          (1 << 44) * MIB - MIB, (1 << 62), (1 << 63), (1 << 64) - 1, MIB | 6, MIB | 7, 3 * MIB | 7, 0xFFFFFFFFFFF00006)  # fmt: skip


def mutate(data: bytearray, shape: Shape, chance: random.Random) -> None:
    touched = []
    for _change in range(chance.choice((1, 1, 1, 2, 3, 8))):
        offset, length = chance.choice(shape.spots)
        touched.append(offset)
        at = offset + chance.randrange(length)
        kind = chance.randrange(8)
        if kind == 0:
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            data[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind <= 5:
            size = chance.choice((2, 4, 4, 8, 8))
            order = "<" if shape.name.startswith("vhdx") or chance.random() < 0.1 else ">"
            value = (
                chance.choice((*_HURTS, chance.getrandbits(64), len(data), len(data) & ~(MIB - 1)))
                & (1 << 8 * size) - 1
            )
            at = offset + (at - offset) // size * size
            data[at : at + size] = struct.pack(order + {2: "H", 4: "I", 8: "Q"}[size], value)
        elif kind == 6:
            other, other_length = chance.choice(shape.spots)
            size = min(length, other_length, chance.choice((8, 32, 64)))
            data[offset : offset + size] = data[other : other + size]
        elif chance.random() < 0.2:
            del data[chance.choice((at, len(data) - 1, len(data) - 511, len(data) // 2, len(data) & ~(MIB - 1))) :]
            break
    if chance.random() < 0.85:
        _reseal(data, shape, touched)


def _reseal(data: bytearray, shape: Shape, touched: list[int]) -> None:
    if shape.name.startswith("vhdx"):
        for offset, length in ((64 << 10, 4096), (128 << 10, 4096), (192 << 10, 64 << 10), (256 << 10, 64 << 10)):
            if offset in touched:
                _seal(data, offset, length)
        if shape.name == "vhdx-log" and data[MIB : MIB + 4] == b"loge":
            (length,) = struct.unpack_from("<I", data, MIB + 8)
            if length <= MIB:
                _seal(data, MIB, length)
        return
    for offset, length, at in ((0, 512, 64), (len(data) - 512, 512, 64), (512, 1024, 36)):
        piece = bytes(data[max(0, offset) :][:length])
        if len(piece) == length and piece[:2] in (b"co", b"cx"):
            total = sum(piece) - sum(piece[at : at + 4])
            data[offset + at : offset + at + 4] = struct.pack(">I", ~total & 0xFFFFFFFF)


def _seal(data: bytearray, offset: int, length: int) -> None:
    if 8 <= length <= len(data) - offset:
        data[offset + 4 : offset + 8] = bytes(4)
        data[offset + 4 : offset + 8] = struct.pack("<I", crc32c(memoryview(data)[offset : offset + length]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--traced", action="store_true", help="measure memory, which is slow")
    arguments = parser.parse_args()
    outcome, seed = Outcome(), arguments.seed
    all_shapes = shapes()
    until = time.monotonic() + arguments.seconds
    while time.monotonic() < until:
        shape = all_shapes[seed % len(all_shapes)]
        try:
            run(shape, seed, outcome, traced=arguments.traced)
        except Exception:
            traceback.print_exc()
            print(f"{shape.name}, seed {seed}: after {outcome}", file=sys.stderr)
            return 1
        seed += 1
    print(outcome)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
