"""A run whose source knows its changes: 64 GiB, all of it allocated, through the product's pipeline.

    python -m bench.incremental URL FILE SHARE FOLDER

No disk of 64 GiB is needed: the bytes are those of FILE, over and over. SHARE of the blocks are said to have changed (1: a
first run). The parent's manifest is that of another disk, so that every changed block differs from it.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

from rehost.aws import Aws, AwsSettings
from rehost.blocks import BLOCK_SIZE, GIB, Extent
from rehost.transfer import UNKNOWN_DIGEST, Manifest, copy_disk, open_partial, plan_copy

SIZE = 64 * GIB


class TiledDisk:
    key = "tiled"
    size = SIZE

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY)
        self._length = path.stat().st_size

    def read_into(self, offset: int, buffer: memoryview) -> int:
        return os.preadv(self._fd, [buffer], offset % self._length)


def parent_of(folder: Path) -> Manifest:
    """A manifest that every block differs from."""
    path = folder / "tiled-parent"
    try:
        return Manifest.open(path, snapshot_id="snap-parent", size=SIZE)
    except Exception:
        partial = open_partial(path, snapshot_id="snap-parent", size=SIZE, parent=None)
        for index in range(partial.block_count):
            partial.record(index, UNKNOWN_DIGEST)
        return partial.finish()


def main(url: str, file: Path, share: float, folder: Path) -> None:
    ebs = Aws(AwsSettings(endpoint=url)).ebs
    disk = TiledDisk(file)
    parent = parent_of(folder) if share < 1 else None
    snapshot = ebs.start(volume_gib=64, token=f"{os.getpid()}-{random.random()}", description="bench", tags={})
    with open_partial(folder / snapshot, snapshot_id=snapshot, size=SIZE, parent=parent) as manifest:
        blocks = SIZE // BLOCK_SIZE
        chosen = sorted(random.Random(1).sample(range(blocks), int(blocks * share)))
        extents = [Extent(0, SIZE)] if parent is None else [Extent(index * BLOCK_SIZE, BLOCK_SIZE) for index in chosen]
        plan = plan_copy(extents, manifest, full=parent is None)
        result = copy_disk(disk, ebs.sink(snapshot), manifest, plan)
        ebs.complete(snapshot, changed_blocks=result.written_blocks, checksum=result.checksum)
        manifest.discard()
    print(result.written_blocks)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]))
