"""A process that has ended does not run, reaped or not."""

from __future__ import annotations

import os
import subprocess
import sys

from rehost.processes import is_running


def test_this_process_and_the_first_one_run() -> None:
    assert is_running(os.getpid())
    assert is_running(1)


def test_one_that_nobody_has_reaped_does_not() -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    # Waits for the end without taking the exit code: the process stays a zombie.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    os.kill(process.pid, 0)
    assert not is_running(process.pid)
    process.wait()
    assert not is_running(process.pid)
