"""`make demo SOURCE=hyperv`: the live machine on a stand-in for a Windows host, whose VHDX files are read from Samba."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sandbox._samba import Samba, SambaMissing, samba_program
from sandbox.hyperv import PASSWORD, USER, HyperVHost, Machine
from sandbox.machines import Disk, LiveGuest
from tools.demo import FOLDER
from tools.demo_live import SERVER, LiveDemo
from tools.demo_standing import Standing, end_earlier

#: What the demo's spec refers to.
SECRETS = {"HV_USER": USER, "HV_PASSWORD": PASSWORD}


class HyperVPlace:
    """In the stand-in's own process."""

    def __init__(self, folder: Path) -> None:
        self._host = HyperVHost(folder / "host")
        self._samba = Samba(folder / "samba", {"C$": self._host.drive.folder}, user=USER, password=PASSWORD)
        self._machines: dict[str, Machine] = {}

    def start(self) -> Mapping[str, Any]:
        self._samba.start()
        self._host.start()
        return {"endpoint": self._host.endpoint, "ca": str(self._host.ca), "smb": self._samba.port}

    def add(self, name: str, disks: Sequence[Path]) -> None:
        self._machines[name] = self._host.add_machine(name, disks, generation=1, guest=True)

    def attach(self, name: str, pid: int) -> None:
        self._host.attach_guest(self._machines[name], pid)

    def left(self) -> Sequence[str]:
        state = self._host.state()
        found = [f"checkpoint {each}" for names in state["checkpoints"].values() for each in names]
        for kind in ("references", "notes"):
            for name, kept in state[kind].items():
                found += [f"{len(kept)} {kind} of {name}"] if kept else []
        return [*found, *(f"{each} is not known to the stand-in" for each in state["unsupported"])]

    def stop(self) -> None:
        self._host.close()
        self._samba.stop()


def demo(keep: bool) -> LiveDemo:
    try:
        samba_program("smbd")
    except SambaMissing as error:
        raise SystemExit(f"this demo needs a file server: {error}") from None
    os.environ.update(SECRETS)
    return HyperVDemo(keep, HyperVPlatform(FOLDER / "hyperv", detached=keep))


class HyperVDemo(LiveDemo):
    def play(self) -> None:
        super().play()
        if self.keep:
            with self.project.env_file.open("a") as file:
                file.writelines(f"{name}={value}\n" for name, value in SECRETS.items())


class HyperVPlatform:
    name = "hyperv"

    def __init__(self, folder: Path, *, detached: bool) -> None:
        self._folder = folder
        self._guest: LiveGuest | None = None
        end_earlier(folder / "ready.json")
        shutil.rmtree(folder, ignore_errors=True)
        self._place = Standing(folder, "tools.demo_hyperv:HyperVPlace").start(detached=detached)

    @property
    def source(self) -> str:
        facts = self._place.facts
        return (
            "\n    type: hyperv"
            f"\n    endpoint: {facts['endpoint']}"
            "\n    credentials: {username: {env: HV_USER}, password: {env: HV_PASSWORD}}"
            f"\n    tls: {{caFile: {os.path.relpath(facts['ca'], FOLDER / 'specs')}}}"
            f"\n    smb: {{port: {facts['smb']}}}"
        )

    def start(self, disks: Sequence[Disk]) -> LiveGuest:
        """The guest writes to raw files; what differs goes into the VHDX whenever a checkpoint is taken, while it stands still."""
        self._place.add(SERVER, [disk.path for disk in disks])
        arguments = []
        for number, disk in enumerate(disks):
            arguments += ["-drive", f"if=none,id=drive{number},file={disk.path},format=raw,discard=unmap"]
            arguments += ["-device", f"virtio-blk-pci,drive=drive{number},bootindex={number}"]
        self._guest = LiveGuest(SERVER, self._folder, arguments)
        self._guest.start()
        self._place.attach(SERVER, self._guest.pid)
        return self._guest

    def leftovers(self) -> list[str]:
        return self._place.left()

    def stop(self) -> None:
        if self._guest is not None:
            self._place.attach(SERVER, 0)
            self._guest.stop()
            self._guest = None
        self._place.stop()
