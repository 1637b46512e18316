"""Copy a disk into a sink that logs each block it acknowledged, and hang in the middle, to be killed there.

    python copy_and_hang.py DISK MANIFEST LOG WORKERS AFTER

After AFTER blocks every further put is acknowledged but does not return. Once all workers hang so, a line is printed.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from rehost.blocks import Extent
from rehost.pacing import Pause
from rehost.transfer import copy_disk, open_partial, plan_copy


class FileDisk:
    key = "disk"

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY)
        self.size = path.stat().st_size

    def read_into(self, offset: int, buffer: memoryview) -> int:
        return os.preadv(self._fd, [buffer], offset)


class LoggingSink:
    """One line a block, written at once: what is in the log was acknowledged."""

    def __init__(self, path: Path, workers: int, after: int) -> None:
        self._log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._workers = workers
        self._left = after
        self._lock = threading.Lock()

    def put(self, index: int, data: memoryview, digest: bytes, pause: Pause) -> int:
        with self._lock:
            self._left -= 1
            left = self._left
            os.write(self._log, f"{index}\n".encode())
        if left < 0:
            if left == -self._workers:
                print("all workers hang", flush=True)
            threading.Event().wait()
        return 0


def main(disk_path: Path, manifest_path: Path, log_path: Path, workers: int, after: int) -> None:
    disk = FileDisk(disk_path)
    manifest = open_partial(manifest_path, snapshot_id="snap-1", size=disk.size, parent=None)
    plan = plan_copy([Extent(0, disk.size)], manifest, full=True)
    copy_disk(
        disk, LoggingSink(log_path, workers, after), manifest, plan, in_flight=workers, piece_blocks=8, flush_seconds=0
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
