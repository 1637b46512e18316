"""A snapshot back into a sparse file: the way out of AWS, and how anyone can look inside an image."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rehost.aws import EbsDirect
from rehost.blocks import BLOCK_SIZE, GIB
from rehost.snapshots._errors import FileInTheWay
from rehost.transfer import MOST_IN_FLIGHT, StopSignal, restore_blocks


@dataclass(frozen=True, slots=True)
class RestoreProgress:
    blocks_done: int
    bytes_written: int  # zeros are holes


def restore_snapshot(
    snapshot_id: str,
    file: Path,
    ebs: EbsDirect,
    *,
    force: bool = False,
    in_flight: int = MOST_IN_FLIGHT,
    stop: StopSignal | None = None,
    on_progress: Callable[[RestoreProgress], None] = lambda _: None,
) -> RestoreProgress:
    """Write the snapshot into `file`, as long as its volume; each block is checked against its checksum.

    The file appears under its name once it is whole; it is not synced to the disk, as AWS still has what a power cut takes.
    Raises FileInTheWay, AwsError, TransferError, OSError.
    """
    if file.exists() and not force:
        raise FileInTheWay(path=str(file))
    listing = ebs.listing(snapshot_id)
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    fd = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(fd, listing.volume_gib * GIB)
        done = _Done(on_progress)
        restore_blocks(
            fd,
            listing.blocks,
            ebs.reader(snapshot_id),
            name=snapshot_id,
            in_flight=in_flight,
            stop=stop,
            on_block=done.block,
        )
        os.fchmod(fd, 0o666 & ~_umask())
        partial.replace(file)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
    finally:
        os.close(fd)
    return done.progress


class _Done:
    def __init__(self, tell: Callable[[RestoreProgress], None]) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._blocks = self._written = 0

    @property
    def progress(self) -> RestoreProgress:
        return RestoreProgress(self._blocks, self._written * BLOCK_SIZE)

    def block(self, written: bool) -> None:
        with self._lock:
            self._blocks += 1
            self._written += written
            progress = self.progress
        self._tell(progress)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
