"""Azurite as a process: it comes up, or says why not, and ends."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from rehost.processes import is_running
from sandbox.azure import Azurite
from tools._paths import ROOT


def test_a_program_that_is_none(tmp_path: Path, running: Azurite) -> None:
    wrong = tmp_path / "main.js"
    wrong.write_text("console.log('no blobs here'); process.exit(1)")
    with pytest.raises(RuntimeError, match="no blobs here"):
        Azurite(tmp_path / "azurite", wrong).start()


def test_pages_are_where_they_were_put(running: Azurite) -> None:
    running.create("pages", 1 << 30)
    running.write("pages", 1 << 29, b"x" * 1024)
    running.write("pages", (1 << 29) + 1024, b"y" * 512)
    running.clear("pages", (1 << 29) + 512, 512)
    before = running.snapshot("pages")
    running.write("pages", 0, b"z" * 512)
    assert running.ranges("pages", before) == [(1 << 29, (1 << 29) + 512), ((1 << 29) + 1024, (1 << 29) + 1536)]
    assert running.read("pages", before, 1 << 29, 1536) == b"x" * 512 + bytes(512) + b"y" * 512
    assert running.read("pages", "", 0, 512) == b"z" * 512
    running.resize("pages", 2 << 30)
    running.delete_snapshot("pages", before)
    running.delete("pages")
    with pytest.raises(RuntimeError, match="404"):
        running.read("pages", "", 0, 512)


def test_it_ends_with_who_started_it(tmp_path: Path, running: Azurite) -> None:
    code = (
        "import sys, pathlib, sandbox.azure, tools.azurite\n"
        "azurite = sandbox.azure.Azurite(pathlib.Path(sys.argv[1]), tools.azurite.PROGRAM).start()\n"
        "print(azurite.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        assert is_running(pid)
        starter.kill()
    deadline = time.monotonic() + 30
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(pid)
