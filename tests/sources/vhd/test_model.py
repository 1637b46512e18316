"""Whatever is written through chains of any shape is read back: hypothesis against a bytearray."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rehost.sources.vhd import LocalFiles, open_disk
from sandbox.vhdx import VhdxWriter, create, merge
from tests.sources.vhd.disks import MIB, contents

SHAPES: list[tuple[str, int, dict[str, Any]]] = [
    ("vhdx", 512, {"block_size": MIB}),
    ("vhdx", 4096, {"block_size": MIB, "sector_size": 4096}),
    ("vhdx", 512, {"block_size": 2 * MIB, "gap": 2}),
    ("vhdx", 512, {"block_size": 256 * MIB}),
    ("vhdx", 512, {"fixed": True, "block_size": MIB}),
    ("vhd", 512, {"block_size": 1 << 19}),
    ("vhd", 512, {"fixed": True}),
]
OPERATIONS = st.tuples(
    st.sampled_from(["write", "write", "zero", "trim"]),
    st.integers(0, 1 << 20),
    st.sampled_from([1, 2, 9, 300, 256, 512, 1024, 2048, 2500]),  # in sectors
    st.booleans(),
)


@given(
    shape=st.sampled_from(SHAPES),
    sectors=st.integers(1, 5000),
    layers=st.lists(st.lists(OPERATIONS, max_size=5), min_size=1, max_size=4),
    seed=st.integers(0, 1 << 30),
    deferred=st.booleans(),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_a_chain_reads_as_it_was_written(
    shape: tuple[str, int, dict[str, Any]],
    sectors: int,
    layers: list[list[tuple[str, int, int, bool]]],
    seed: int,
    deferred: bool,
) -> None:
    suffix, sector, options = shape
    size = sectors * sector
    expected = bytearray(size)
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        paths: list[Path] = []
        for depth, operations in enumerate(layers):
            path = Path(folder) / f"{depth}.{suffix}"
            writer = create(path, size, **options) if not paths else create(path, parent=paths[-1])
            if deferred and depth == len(layers) - 1 and isinstance(writer, VhdxWriter):
                writer.close()
                writer = VhdxWriter(path, defer_log=True)
            paths.append(path)
            with writer:
                for operation in operations:
                    _apply(writer, expected, operation, chance)
        assert contents(paths[-1]) == expected
        _read_pieces(paths[-1], expected, chance)
        if not deferred:
            for child, parent in zip(reversed(paths), list(reversed(paths))[1:], strict=False):
                merge(child, parent)
                assert contents(parent) == expected


def _apply(writer: Any, expected: bytearray, operation: tuple[str, int, int, bool], chance: random.Random) -> None:
    kind, where, count, aligned = operation
    sector, size = writer.sector_size, writer.size
    offset = where % (size // sector) * sector
    if aligned:
        offset -= offset % writer.block_size
    length = min(count * sector, size - offset)
    if kind == "write":
        data = chance.randbytes(length)
        writer.write(offset, data)
        expected[offset : offset + length] = data
    elif kind == "zero":
        writer.zero(offset, length)
        expected[offset : offset + length] = bytes(length)
    else:
        writer.trim(offset, length)
        if isinstance(writer, VhdxWriter) and not writer.fixed:
            for start in range(-(-offset // writer.block_size) * writer.block_size, size, writer.block_size):
                end = min(size, start + writer.block_size)
                if end <= offset + length:
                    expected[start:end] = bytes(end - start)


def _read_pieces(path: Path, expected: bytearray, chance: random.Random) -> None:
    disk = open_disk(str(path), LocalFiles())
    for _piece in range(8):
        offset = chance.randrange(len(expected))
        buffer = bytearray(chance.choice([1, 512, 5000, 2 * MIB]))
        count = disk.read_into(offset, memoryview(buffer))
        assert count == min(len(buffer), len(expected) - offset)
        assert buffer[:count] == expected[offset : offset + count]
    assert disk.read_into(disk.size, memoryview(bytearray(512))) == 0
    disk.close()
