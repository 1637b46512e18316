"""Instances that run: an AMI's disks, materialised as sparse files, boot in QEMU with their serial console in a file."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sandbox._agents import AGENT_SOCKET, AgentAway, Agents
from sandbox._store import BLOCK_SIZE, GIB, Snapshot
from sandbox.machines import Card, accelerator, door, open_door, shut_door

CONSOLE_BYTES = 64 * 1024  # GetConsoleOutput answers the last 64 KiB
MEMORY_MIB = 256
AT_ONCE = 2  # guests that work at the same time; on two cores more would only slow each other
AT_MOST = 8  # that are there at the same time, since each has its memory
BUSY = 0.3  # of a core, at least, which a guest at work wants; one that has booted and waits for requests wants 0.1
_LOOKS = 3  # in a row, a second apart, that find it idle
OVMF = ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/ovmf/OVMF.fd")


@dataclass
class Guest:
    folder: Path
    disks: Sequence[tuple[str, Snapshot]]
    firmware: str | None
    door: str  # the loopback address at which this host reaches it
    card: Callable[[str], Card | None]
    process: subprocess.Popen[bytes] | None = None
    ended: threading.Event = field(default_factory=threading.Event)


class Guests:
    """The machines behind the instances. Starting one returns at once; its disks are made and booted in the background."""

    def __init__(self, folder: Path, *, boot: bool = True) -> None:
        self.folder = folder.absolute()  # QEMU runs in each guest's own
        self.agents = Agents(self.folder)
        self.emulator = shutil.which("qemu-system-x86_64") if boot else None
        self._guests: dict[str, Guest] = {}
        self._lock = threading.Lock()
        self._working = threading.Semaphore(AT_ONCE)
        self._seats = threading.Semaphore(AT_MOST)
        self._doors = self.folder / "doors"
        shutil.rmtree(folder, ignore_errors=True)  # what a killed sandbox left: its QEMU processes died with it

    def start(
        self,
        instance_id: str,
        disks: Sequence[tuple[str, Snapshot]],
        boot_mode: str | None,
        user_data: str | None = None,
        card: Callable[[str], Card | None] = lambda _door: None,
    ) -> None:
        """`user_data` is a script for the first boot: there is no metadata service, so the guest's agent is given it.

        `card` is asked, when the guest is powered on, what network card it has behind its door.
        """
        if self.emulator is None or not disks:
            return
        self.stop(instance_id)
        firmware = next((path for path in OVMF if Path(path).exists()), None) if boot_mode == "uefi" else None
        guest = Guest(self.folder / instance_id, disks, firmware, door(), card)
        with self._lock:
            self._guests[instance_id] = guest
        guest.folder.mkdir(parents=True, exist_ok=True)
        threading.Thread(target=self._run, args=(guest,), name=f"guest-{instance_id}", daemon=True).start()
        if user_data and user_data.startswith("#!"):
            script = f"exec >/dev/console 2>&1 </dev/null\n{user_data}"
            start = threading.Thread(
                target=self._first_boot, args=(guest, instance_id, script), name=f"user-data-{instance_id}", daemon=True
            )
            start.start()

    def stop(self, instance_id: str) -> None:
        """Power off. The disks stay for a start, as EBS volumes do; the console, too."""
        with self._lock:
            guest = self._guests.pop(instance_id, None)
        if guest is None:
            return
        guest.ended.set()
        self.agents.of(instance_id).close()
        if guest.process is not None:
            guest.process.kill()
            guest.process.wait()

    def end(self, instance_id: str) -> None:
        """Power off and remove the disks; the console stays readable, as it does in EC2 for a while."""
        self.stop(instance_id)
        for disk in (self.folder / instance_id).glob("*.raw"):
            disk.unlink(missing_ok=True)

    def console(self, instance_id: str) -> bytes:
        try:
            with (self.folder / instance_id / "console").open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - CONSOLE_BYTES))
                return file.read()
        except FileNotFoundError:
            return b""

    def close(self) -> None:
        for instance_id in list(self._guests):
            self.stop(instance_id)

    def _first_boot(self, guest: Guest, instance_id: str, script: str) -> None:
        agent = self.agents.of(instance_id)
        while not guest.ended.wait(1.0):
            with contextlib.suppress(AgentAway):
                agent.start(script)
                return

    def _run(self, guest: Guest) -> None:
        with self._seats:
            card = None
            try:
                with self._working:
                    card = guest.card(guest.door)
                    self._power_on(guest, card)
                    if card is not None and guest.process is not None:
                        open_door(self._doors, str(card.address), guest.door)
                    _until_idle(guest)
                if guest.process is not None:
                    guest.process.wait()
            finally:
                if card is not None:
                    shut_door(self._doors, str(card.address), guest.door)

    def _power_on(self, guest: Guest, card: Card | None) -> None:
        arguments = ["-nodefaults", "-no-reboot", "-display", "none", "-m", str(MEMORY_MIB), "-smp", "1"]
        arguments += card.arguments(self._doors) if card is not None else ["-nic", "none"]
        arguments += ["-accel", accelerator(), "-serial", f"file:{guest.folder / 'console'}"]
        # Relative: the path of a socket has 107 characters at most.
        arguments += ["-serial", f"unix:{AGENT_SOCKET},server=on,wait=off"]
        if guest.firmware:
            arguments += ["-bios", guest.firmware]
        for number, (serial, snapshot) in enumerate(guest.disks):
            disk = guest.folder / f"{serial}.raw"
            if not disk.exists():
                materialise(snapshot, disk)
            arguments += ["-drive", f"if=none,id=disk{number},file={disk},format=raw,cache=unsafe,discard=unmap"]
            arguments += ["-device", f"nvme,drive=disk{number},serial={serial},bootindex={number}"]
        with self._lock:
            if guest.ended.is_set() or self.emulator is None:
                return
            with (guest.folder / "qemu.log").open("wb") as log:
                guest.process = subprocess.Popen(
                    [self.emulator, *arguments],
                    cwd=guest.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                )


def _until_idle(guest: Guest) -> None:
    """Until it ends, or wants little of the processor for a while: then it has booted, and another may."""
    if guest.process is None:
        return
    before, looks = _wanted(guest.process.pid), 0
    while looks < _LOOKS and guest.process.poll() is None and not guest.ended.wait(1.0):
        now = _wanted(guest.process.pid)
        looks = looks + 1 if now - before < BUSY else 0
        before = now


def _wanted(pid: int) -> float:
    """Seconds of a processor that a process has had or has waited for; a busy host gives less than what is wanted."""
    total = 0
    for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):
            had, waited, _ = thread.read_text().split()
            total += int(had) + int(waited)
    return total / 1e9


def materialise(snapshot: Snapshot, target: Path) -> None:
    """Write a snapshot's content into a sparse file of the volume's size."""
    scratch = target.with_suffix(".part")
    with scratch.open("wb") as file:
        file.truncate(snapshot.meta.volume_gib * GIB)
        for index in snapshot.indices():
            owner = snapshot.owner(index)
            if owner is not None:
                os.pwrite(file.fileno(), owner.read(index)[0], index * BLOCK_SIZE)
    scratch.rename(target)
