"""The shop's servers at their source: QEMU machines with a QMP socket each, which know each other's addresses."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path

from rehost.sources.qemu import PREFIX, qmp_session
from sandbox._agents import Agent
from sandbox.machines import SHOP, SHOP_NETWORK, Card, LiveGuest, build_shop, door, open_door

_SCRIPT_SECONDS = 60


class ShopSource:
    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._sockets = self._folder / "sockets"
        self._guests: list[LiveGuest] = []
        self._doors = {name: door() for name in SHOP}
        self.url = f"http://{self._doors['web-01']}:{SHOP['web-01'].port}"

    def start(self, cache: Path, say: Callable[[str], None]) -> None:
        """Make the disks and power all on. Raises MachineError."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._sockets.mkdir(parents=True)
        for number, machine in enumerate(build_shop(self._folder / "disks", cache=cache, on_progress=say)):
            tier, own = SHOP[machine.name], self._doors[machine.name]
            image = self._folder / f"{machine.name}.qcow2"
            convert = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(machine.disks[0].path), str(image)]
            subprocess.run(convert, check=True, stdin=subprocess.DEVNULL)
            peers = [(each.address, each.port) for name, each in SHOP.items() if name != machine.name]
            mac = f"52:54:00:50:00:{number:02x}"
            card = Card(SHOP_NETWORK, IPv4Address(tier.address), mac, [(own, tier.port)], peers)
            agent = self._folder / machine.name
            agent.mkdir()
            guest = LiveGuest(
                machine.name,
                self._folder,
                [
                    *("-qmp", f"unix:{self._sockets / machine.name}.qmp,server=on,wait=off"),
                    # The agent's port is the second one, after the console.
                    *("-chardev", f"socket,id=agent,path={agent / 'agent'},server=on,wait=off"),
                    *("-device", "isa-serial,chardev=agent,index=1"),
                    *("-drive", f"if=none,id=drive0,file={image},format=qcow2,discard=unmap"),
                    *("-device", "virtio-blk-pci,drive=drive0,id=root,bootindex=0"),
                    *card.arguments(self._folder / "doors"),
                ],
            )
            guest.start()
            self._guests.append(guest)
            open_door(self._folder / "doors", tier.address, own)

    def run(self, server: str, script: str) -> None:
        """Run a script in a guest, as its administrator would. Raises SystemExit where it fails."""
        agent = Agent(self._folder / server)
        try:
            number = agent.start(script)
            deadline = time.monotonic() + _SCRIPT_SECONDS
            while (ran := agent.result(number)) is None and time.monotonic() < deadline:
                time.sleep(0.1)
        finally:
            agent.close()
        if ran is None or ran.code:
            raise SystemExit(f"{server}: {script} failed: {ran}")

    def states(self) -> dict[str, str]:
        """QEMU's run state of each: running, or shutdown once it is off."""
        found = {}
        for name in SHOP:
            with qmp_session(name, self._sockets / f"{name}.qmp") as monitor:
                found[name] = str(monitor.execute("query-status")["status"])
        return found

    def leftovers(self) -> list[str]:
        """Jobs, exports and scratch nodes of a run that nobody needs any longer."""
        found = []
        for name in SHOP:
            with qmp_session(name, self._sockets / f"{name}.qmp") as monitor:
                found += [job["id"] for job in monitor.execute("query-jobs")]
                found += [export["id"] for export in monitor.execute("query-block-exports")]
                found += [node["node-name"] for node in monitor.execute("query-named-block-nodes", flat=True)]
        return [each for each in found if each.startswith(PREFIX)]

    def stop(self) -> None:
        for guest in self._guests:
            guest.stop()
