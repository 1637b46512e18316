"""A guest's process that stands still for the moment of a point in time."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from sandbox.azure._disk import Frozen, PageDisk

_STOP_SECONDS = 10.0


def freeze_together(pid: int, disks: Sequence[PageDisk]) -> list[Frozen]:
    """One moment of all the disks: the guest stands still while what differs is copied, and goes on before it is uploaded."""
    with stopped(pid):
        for disk in disks:
            disk.catch_up()
    for disk in disks:
        disk.absorb()
    return [disk.freeze() for disk in disks]


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process stands still within; 0: there is none. One that is gone holds nothing up."""
    if not pid:
        yield
        return
    try:
        os.kill(pid, signal.SIGSTOP)
    except ProcessLookupError:
        yield
        return
    try:
        deadline = time.monotonic() + _STOP_SECONDS
        while _state(pid) not in ("T", "t", "Z", "") and time.monotonic() < deadline:
            time.sleep(0.002)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _state(pid: int) -> str:
    """As /proc says it; empty: it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
