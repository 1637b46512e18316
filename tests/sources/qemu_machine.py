"""A machine of QEMU for tests: its disks are attached, its processor has begun and stands still, and "the guest" writes by
qemu-io."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from rehost.sources import ServerNotRunning
from rehost.sources.qemu import Monitor, qmp_session

EMULATOR = "qemu-system-x86_64"
_SECONDS = 30.0


def need(program: str, package: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"needs the Debian package {package}")
    return found


class QemuMachine:
    """Disks by name: `vda` is attached to a device of that id. Starting it again keeps them."""

    def __init__(
        self,
        folder: Path,
        name: str,
        disks: Mapping[str, Path],
        *,
        extra: tuple[str, ...] = (),
        begun: bool = True,
    ) -> None:
        self._begun = begun
        self.name, self.disks, self._extra = name, dict(disks), extra
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.qmp = folder / f"{name}.qmp"
        self.control = (
            folder / f"{name}.control"
        )  # a second monitor, for the tests: the first takes one client at a time
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def arguments(self) -> list[str]:
        """How it is started, but for its process identifier's file."""
        program = need(EMULATOR, "qemu-system-x86")
        arguments = [program, "-machine", "q35,accel=tcg", "-m", "16", "-nodefaults", "-display", "none"]
        arguments += ["-name", self.name, "-qmp", f"unix:{self.qmp},server=on,wait=off"]
        arguments += ["-qmp", f"unix:{self.control},server=on,wait=off", *self._extra]
        for number, (name, path) in enumerate(self.disks.items()):
            form = "qcow2" if path.suffix == ".qcow2" else "raw"
            arguments += ["-drive", f"if=none,id=drive-{name},file={path},format={form},discard=unmap"]
            arguments += ["-device", f"virtio-blk-pci,drive=drive-{name},id={name},bootindex={number}"]
        return arguments

    def start(self) -> None:
        process = [*self.arguments(), "-S", "-pidfile", str(self.folder / f"{self.name}.pid")]
        self._process = subprocess.Popen(
            process, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        deadline = time.monotonic() + _SECONDS
        while not self._up():
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"QEMU did not start: {self._said()}")
            time.sleep(0.01)

    def _up(self) -> bool:
        """Whether it answers. Its processor has begun then, or it would be a machine that is off."""
        if not (self.qmp.exists() and self.control.exists()):
            return False
        try:
            with self.session() as monitor:
                if self._begun:
                    monitor.execute("cont")
                    monitor.execute("stop")
        except ServerNotRunning:  # its socket is bound, and not listened at yet
            return False
        return True

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def runs(self) -> bool:
        """Whether the QEMU that this object started is there."""
        return self._process is not None and self._process.poll() is None

    def stop(self, *, kill: bool = False) -> None:
        """End QEMU: orderly, so that it stores its bitmaps, or by SIGKILL."""
        if self._process is None:
            return
        if kill:
            self._process.kill()
        else:
            self._process.terminate()
        self._process.wait(_SECONDS)
        if self._process.stderr is not None:
            self._process.stderr.close()
        self._process = None
        self.qmp.unlink(missing_ok=True)
        self.control.unlink(missing_ok=True)

    def restart(self, *, kill: bool = False) -> None:
        self.stop(kill=kill)
        self.start()

    def execute(self, command: str, **arguments: Any) -> Any:
        with self.session() as monitor:
            return monitor.execute(command, **arguments)

    def session(self) -> AbstractContextManager[Monitor]:
        return qmp_session(self.name, self.control)

    def write(self, disk: str, offset: int, data: bytes) -> None:
        """As the guest would: through the device."""
        content = self.folder / f"{self.name}.write-{threading.get_ident()}"
        content.write_bytes(data)
        command = f'qemu-io -d /machine/peripheral/{disk}/virtio-backend "write -s {content} {offset} {len(data)}"'
        try:
            said = self.execute("human-monitor-command", command_line=command)
        finally:
            content.unlink()
        assert said == "", said  # what it did, it says on stdout

    def leftovers(self) -> list[str]:
        """Everything in QEMU that bears our prefix, but for the lasting bitmaps."""
        with self.session() as monitor:
            found = [job["id"] for job in monitor.execute("query-jobs")]
            found += [export["id"] for export in monitor.execute("query-block-exports")]
            for node in monitor.execute("query-named-block-nodes", flat=True):
                found += [node["node-name"]]
                found += [
                    bitmap["name"] for bitmap in node.get("dirty-bitmaps", []) if "~" in bitmap.get("name", "")[:11]
                ]
        return [name for name in found if name.startswith("rehost-")]

    def bitmaps(self, disk: str) -> list[str]:
        """The names of the bitmaps of a disk, whatever they are."""
        for device in self.execute("query-block"):
            if device["device"] == f"drive-{disk}":
                return sorted(bitmap.get("name", "") for bitmap in device["inserted"].get("dirty-bitmaps", []))
        raise AssertionError(disk)

    def _said(self) -> str:
        assert self._process is not None
        self._process.kill()
        _, errors = self._process.communicate()
        return errors.decode(errors="replace")


#: A boot sector whose guest waits for the power button, and then puts itself into ACPI's state S5 (ACPI 6.5, 4.8.3.1 and
#: 4.8.3.2; the registers of QEMU's q35 begin at 0x600): `cli; out 0x602, 0x100`, a loop of `in 0x600` and a test of bit 8,
#: `out 0x604, 0x2000; hlt`.
LISTENING = (
    bytes.fromhex("fa ba0206 b80001 ef ba0006 ed f6c401 74fa ba0406 b80020 ef f4 ebfd").ljust(510, b"\0") + b"\x55\xaa"
)


def make_disk(path: Path, size: int, content: Mapping[int, bytes] = {}) -> Path:
    """A disk image by its suffix, raw or qcow2, of `size` bytes with `content` at its offsets."""
    raw = path if path.suffix == ".raw" else path.with_suffix(".making")
    with open(raw, "wb") as file:
        file.truncate(size)
        for offset, data in content.items():
            file.seek(offset)
            file.write(data)
    if raw != path:
        form = path.suffix.removeprefix(".")
        convert = [need("qemu-img", "qemu-utils"), "convert", "-f", "raw", "-O", form, str(raw), str(path)]
        subprocess.run(convert, check=True, stdin=subprocess.DEVNULL, capture_output=True)
        raw.unlink()
    return path
