from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sources.smb.servers import Servers


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    made = Servers(tmp_path)
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """No thread, no file descriptor, whatever went wrong."""

    def open_now() -> tuple[set[threading.Thread], int]:
        return set(threading.enumerate()), len(list(Path("/proc/self/fd").iterdir()))

    threads, files = open_now()
    yield
    deadline = time.monotonic() + 5
    while (left := open_now()) and (left[0] - threads or left[1] > files) and time.monotonic() < deadline:
        time.sleep(0.01)  # a thread that has been told to end may need a moment for it
    assert not left[0] - threads
    assert left[1] <= files
