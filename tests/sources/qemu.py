"""The `qemu` source for the contract: a QEMU with a qcow2 and a raw disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from rehost.sources import CommandRefused, QemuSource
from tests.sources.harness import INITIAL, Harness
from tests.sources.qemu_machine import QemuMachine, make_disk

CONFIG = {"type": "qemu", "sockets": "s", "scratch": "x"}  # short: the path of a unix socket has at most 107 bytes
DISKS = ("vda", "vdb")


def open_qemu(base: str) -> QemuSource:
    return QemuSource(CONFIG, base=Path(base))


class QemuHarness(Harness):
    survives_writes = True
    tracks_changes = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.locator = {"name": "web-01"}
        self.unknown = {"name": "web-02"}
        self.wrong = ({}, {"nme": "web-01"}, {"path": "web-01"}, {"name": "web-01", "path": "x"})
        self.shadow = [bytearray(content) for content in INITIAL]
        paths = [make_disk(folder / name, len(content), {0: content}) for name, content in self.files()]
        self.machine = QemuMachine(folder / "s", "web-01", dict(zip(DISKS, paths, strict=False)))
        self.machine.start()
        self.source = open_qemu(str(folder))

    def files(self) -> Sequence[tuple[str, bytes]]:
        return list(zip(("root.qcow2", "data.raw"), INITIAL, strict=True))

    def content(self, disk: int) -> bytes:
        return bytes(self.shadow[disk])

    def write(self, disk: int, offset: int, data: bytes) -> None:
        self.machine.write(DISKS[disk], offset, data)
        self.shadow[disk][offset : offset + len(data)] = data

    def resize(self, disk: int, size: int) -> None:
        device = f"drive-{DISKS[disk]}"
        if self.machine.leftovers():  # QEMU refuses while a point in time stands, so that none is spoilt
            with pytest.raises(CommandRefused, match="in use"):
                self.machine.execute("block_resize", device=device, size=size)
            return
        self.machine.execute("block_resize", device=device, size=size)
        del self.shadow[disk][size:]
        self.shadow[disk].extend(bytes(size - len(self.shadow[disk])))

    def made(self) -> Sequence[str]:
        scratch = self.folder / "x"
        files = [str(path) for path in scratch.iterdir()] if scratch.exists() else []
        return sorted(self.machine.leftovers() + [path for path in files if not path.endswith("web-01.lock")])

    def left_by_power(self) -> Sequence[str]:
        return [str(self.folder / "x" / "rehost-web-01.power")]

    def losses(self) -> Mapping[str, Callable[[], None]]:
        def newest() -> dict[str, str]:
            device = next(each for each in self.machine.execute("query-block") if each["device"] == "drive-vda")
            names = [each["name"] for each in device["inserted"]["dirty-bitmaps"]]
            return {"node": device["inserted"]["node-name"], "name": max(n for n in names if "before-" in n)}

        return {
            "removed": lambda: self.machine.execute("block-dirty-bitmap-remove", **newest()),
            "switched off": lambda: self.machine.execute("block-dirty-bitmap-disable", **newest()),
            "QEMU killed": lambda: self.machine.restart(kill=True),
        }

    def lose_freeze(self, token: str) -> None:
        for job in self.machine.execute("query-jobs"):
            self.machine.execute("job-cancel", id=job["id"])

    def elsewhere(self) -> tuple[str, Mapping[str, Any]]:
        return "tests.sources.qemu:open_qemu", {"base": str(self.folder)}

    def close(self) -> None:
        super().close()
        self.machine.stop()


class LibvirtHarness(QemuHarness):
    """The same machine, of which only the stand-in for `virsh` knows how to start it. Needs `virsh_stands_in`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.recipe = folder / "s" / "web-01.domain"
        self.recipe.write_text(json.dumps(self.machine.arguments()))
        self.source = QemuSource({"type": "qemu", "libvirt": "qemu:///test", "scratch": "x"}, base=folder)

    def made(self) -> Sequence[str]:
        return super().made() if self.machine.control.exists() else []

    def close(self) -> None:
        virsh("destroy")
        super().close()


def virsh(command: str) -> None:
    """Of web-01, by the stand-in; what it refuses does not matter."""
    arguments = ["virsh", "--quiet", "--connect", "qemu:///test", command, "--domain", "web-01"]
    subprocess.run(arguments, check=False, capture_output=True)


def virsh_stands_in(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Put the stand-in first on PATH, for the sockets in `folder`."""
    monkeypatch.setenv("PATH", f"{Path(__file__).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("VIRSH_PYTHON", sys.executable)
    monkeypatch.setenv("VIRSH_FOLDER", str(folder))
