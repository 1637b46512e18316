"""Azurite as a process: it comes up, or says why not, and ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.azure import Azurite


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
