"""A guest that nobody ended does not go on beside the next one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rehost.processes import is_running
from sandbox.machines import LiveGuest

pytestmark = pytest.mark.qemu


def test_the_next_guest_ends_the_one_that_was_left_running(tmp_path: Path) -> None:
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("needs the Debian package qemu-system-x86")
    left = LiveGuest("web-01", tmp_path / "demo", [])
    left.start()
    other = LiveGuest("web-02", tmp_path / "demo", [])
    other.start()
    try:
        with LiveGuest("web-01", tmp_path / "demo", []) as guest:
            assert is_running(guest.pid)
            assert not is_running(left.pid)
            assert is_running(other.pid)
    finally:
        other.stop()
        left.stop()
