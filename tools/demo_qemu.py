"""`make demo SOURCE=qemu`: the live machine as a plain QEMU with a QMP socket and qcow2 disks."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from rehost.sources.qemu import PREFIX, qmp_session
from sandbox.machines import Disk, LiveGuest
from tools.demo import FOLDER
from tools.demo_live import SERVER, LiveDemo


def demo(keep: bool) -> LiveDemo:
    return LiveDemo(keep, QemuPlatform(FOLDER / "qemu"))


class QemuPlatform:
    name = "qemu"
    source = "{type: qemu, sockets: ../qemu/sockets, scratch: ../qemu/scratch}"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._guest: LiveGuest | None = None

    def start(self, disks: Sequence[Disk]) -> LiveGuest:
        shutil.rmtree(self._folder, ignore_errors=True)
        sockets = self._folder / "sockets"
        sockets.mkdir(parents=True)
        arguments = ["-qmp", f"unix:{sockets / SERVER}.qmp,server=on,wait=off"]
        for number, disk in enumerate(disks):
            image = self._folder / f"{disk.path.stem}.qcow2"
            convert = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(disk.path), str(image)]
            subprocess.run(convert, check=True, stdin=subprocess.DEVNULL)
            arguments += ["-drive", f"if=none,id=drive{number},file={image},format=qcow2,discard=unmap"]
            arguments += ["-device", f"virtio-blk-pci,drive=drive{number},id={disk.path.stem},bootindex={number}"]
        self._guest = LiveGuest(SERVER, self._folder, arguments)
        self._guest.start()
        return self._guest

    def leftovers(self) -> list[str]:
        with qmp_session(SERVER, self._folder / "sockets" / f"{SERVER}.qmp") as monitor:
            found = [job["id"] for job in monitor.execute("query-jobs")]
            found += [export["id"] for export in monitor.execute("query-block-exports")]
            found += [node["node-name"] for node in monitor.execute("query-named-block-nodes", flat=True)]
        found += [str(path) for path in (self._folder / "scratch").iterdir() if path.suffix != ".lock"]
        return [each for each in found if Path(each).name.startswith(PREFIX)]

    def stop(self) -> None:
        if self._guest is not None:
            self._guest.stop()
