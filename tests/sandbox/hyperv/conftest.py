"""A Hyper-V stand-in, what asks it in PowerShell without the network, and its disks as a reader sees them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rehost.sources.vhd import ByteSource, open_disk
from sandbox.hyperv import HyperVHost
from sandbox.hyperv.cmdlets import command_table
from sandbox.hyperv.powershell import CORE, CommandTable, ErrorInfo, Session

MIB = 1 << 20


class Written:
    """The streams of a script."""

    def __init__(self) -> None:
        self.errors: list[ErrorInfo] = []
        self.warnings: list[str] = []
        self.stopped = False

    def error(self, info: ErrorInfo) -> None:
        self.errors.append(info)

    def warning(self, message: str) -> None:
        self.warnings.append(message)


def run(script: str, *, host: HyperVHost | None = None, streams: Written | None = None, **parameters: Any) -> list[Any]:
    """What a script writes; on a host, or with PowerShell's own cmdlets only."""
    table = CommandTable(CORE, ["Get-Absent"]) if host is None else command_table(host.node)
    found: list[Any] = []
    Session(table, streams or Written()).run(script, parameters, found.append)
    return found


class LocalFile:
    def __init__(self, path: Path) -> None:
        self._data = path.read_bytes()

    @property
    def size(self) -> int:
        return len(self._data)

    def read_into(self, offset: int, buffer: memoryview) -> int:
        piece = self._data[offset : offset + len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        pass


class HostFiles:
    """Names on Windows, as `rehost.sources.vhd` looks them up."""

    def __init__(self, host: HyperVHost) -> None:
        self._host = host

    def open(self, path: str) -> ByteSource:
        return LocalFile(self._host.drive.local(path))


def content(host: HyperVHost, name: str) -> bytes:
    """All bytes of a virtual disk, through its parents."""
    disk = open_disk(name, HostFiles(host))
    try:
        held = bytearray(disk.size)
        at = 0
        while at < disk.size:
            at += disk.read_into(at, memoryview(held)[at:])
        return bytes(held)
    finally:
        disk.close()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[HyperVHost]:
    before = set(threading.enumerate())
    with HyperVHost(tmp_path / "hyperv") as started:
        yield started
    assert started.unsupported == []
    assert set(threading.enumerate()) <= before, "threads were left behind"
