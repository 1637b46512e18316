"""`make demo SOURCE=vsphere`: the live machine in a simulated vCenter, in whose datastore its disks lie."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from rehost.processes import is_running
from sandbox import SimulatedMachine, VSphere
from sandbox._vsphere import PASSWORD, USER
from sandbox.machines import Disk, LiveGuest
from tools._errors import SetupError
from tools._progress import Progress
from tools.demo import FOLDER
from tools.demo_live import SERVER, LiveDemo
from tools.vsphere_sim import PROGRAM, ensure

#: What the demo's spec refers to.
SECRETS = {"VC_USER": USER, "VC_PASSWORD": PASSWORD}


def demo(keep: bool) -> LiveDemo:
    try:
        program = ensure(Progress())
    except SetupError as error:
        raise SystemExit(f"this demo needs the vCenter simulator. {error}") from None
    os.environ.update(SECRETS)
    return VSphereDemo(keep, VSpherePlatform(FOLDER / "vsphere", program, detached=keep))


class VSphereDemo(LiveDemo):
    def play(self) -> None:
        super().play()
        if self.keep:
            with self.project.env_file.open("a") as file:
                file.writelines(f"{name}={value}\n" for name, value in SECRETS.items())


class VSpherePlatform:
    name = "vsphere"

    def __init__(self, folder: Path, program: Path, *, detached: bool) -> None:
        self._folder = folder
        self._guest: LiveGuest | None = None
        self._machine: SimulatedMachine | None = None
        _end_earlier(folder / "ready.json")
        shutil.rmtree(folder, ignore_errors=True)
        self._vcenter = VSphere(folder, program).start(detached=detached)

    @property
    def source(self) -> str:
        return (
            "\n    type: vsphere"
            f"\n    endpoint: {self._vcenter.endpoint}"
            "\n    credentials: {username: {env: VC_USER}, password: {env: VC_PASSWORD}}"
            "\n    tls: {caFile: ../vsphere/state/ca.pem}"
            "\n    enableChangeTracking: true"
        )

    def start(self, disks: Sequence[Disk]) -> LiveGuest:
        """The guest runs on the very flat files of the datastore, and stands still while the vCenter freezes them."""
        self._machine = self._vcenter.add(SERVER, [disk.path for disk in disks], folder="demo")
        arguments = []
        for number, flat in enumerate(self._machine.flats):
            arguments += ["-drive", f"if=none,id=drive{number},file={flat},format=raw,discard=unmap"]
            arguments += ["-device", f"virtio-blk-pci,drive=drive{number},bootindex={number}"]
        self._guest = LiveGuest(SERVER, self._folder, arguments)
        self._guest.start()
        self._vcenter.attach_guest(self._machine.moref, self._guest.pid)
        return self._guest

    def leftovers(self) -> list[str]:
        state = self._vcenter.state()
        found = [f"snapshot {name}" for names in state["snapshots"].values() for name in names]
        return [*found, *(["frozen disks"] if state["frozen"] else [])]

    def stop(self) -> None:
        if self._guest is not None:
            if self._machine is not None:
                self._vcenter.attach_guest(self._machine.moref, 0)
            self._guest.stop()
            self._guest = None
        self._vcenter.stop()


def _end_earlier(ready: Path) -> None:
    """End the vCenter that an earlier `KEEP=1` left running."""
    try:
        pid = int(json.loads(ready.read_text())["pid"])
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError, KeyError):
        return
    if PROGRAM.encode() in command:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 20
        while is_running(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
