"""The disks boot in QEMU, under the emulator that this machine has."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.machines import CONSOLE_PREFIX, MESSAGE_PATH, Machine, Machines, accelerator, write_file

pytestmark = pytest.mark.qemu

_DEVICES = {
    "nvme": ["nvme,serial=root,drive=d0,bootindex=1", "nvme,serial=data,drive=d1"],
    "virtio": ["virtio-blk-pci,drive=d0,bootindex=1", "virtio-blk-pci,drive=d1"],
    "ide": ["ide-hd,drive=d0,bootindex=1", "ide-hd,drive=d1"],
}


@contextmanager
def _running(machine: Machine, devices: Sequence[str], folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    qemu = shutil.which("qemu-system-x86_64")
    if qemu is None:
        pytest.skip("needs the Debian package qemu-system-x86")
    console = folder / "console"
    arguments = [qemu, "-accel", accelerator(), "-m", "256", "-display", "none", "-nodefaults", "-no-reboot"]
    arguments += ["-serial", f"file:{console}", "-snapshot"]
    for number, (disk, device) in enumerate(zip(machine.disks, devices, strict=False)):
        arguments += ["-drive", f"if=none,id=d{number},format=raw,file={disk.path}", "-device", device]
    with subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            yield process, console
        finally:
            process.terminate()


def _await_console(process: subprocess.Popen[bytes], console: Path, line: str, seconds: float = 240) -> list[str]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        lines = console.read_text(errors="replace").splitlines() if console.exists() else []
        if line in lines:
            return lines
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.05)
    pytest.fail(f"{line!r} did not appear within {seconds} s; the console ends with {lines[-5:]}")


@pytest.mark.parametrize("kind", _DEVICES)
def test_web_01_boots_and_prints_the_message_written_on_its_disk(bootable: Machines, tmp_path: Path, kind: str) -> None:
    disk = bootable.web.disks[0]
    copy = tmp_path / disk.path.name
    subprocess.run(["cp", "--sparse=always", disk.path, copy], check=True)
    write_file(copy, MESSAGE_PATH, f"written for {kind}\n")
    machine = Machine("web-01", [type(disk)(copy, disk.size)])
    with _running(machine, _DEVICES[kind], tmp_path) as (process, console):
        lines = _await_console(process, console, "rehost: ready")
    assert f"{CONSOLE_PREFIX}written for {kind}" in lines
    assert "rehost: content: all 4 files of the list are as recorded" in lines


def test_db_01_finds_its_data_disk(bootable: Machines, tmp_path: Path) -> None:
    with _running(bootable.db, _DEVICES["nvme"], tmp_path) as (process, console):
        lines = _await_console(process, console, "rehost: ready")
    assert "rehost: data: /dev/nvme1n1 mounted, 80 files" in lines
