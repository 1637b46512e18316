"""Virtual machines: what they are made of, their checkpoints and reference points, and the guest that may run behind one."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sandbox.hyperv.model._disks import Disk, DiskFile

#: Their ids are the same everywhere, their names are translated.
SERVICES = {
    "guest": ("6C09BB55-D683-4DA0-8931-C9BF705F6480", "Guest Service Interface"),
    "heartbeat": ("84EAAE65-2F2E-45F5-9BB5-0E857DC8EB47", "Heartbeat"),
    "kvp": ("2A34B1C2-FD73-4043-8A5B-DD2159BC743F", "Key-Value Pair Exchange"),
    "shutdown": ("9F8233AC-BE49-4C79-8EE3-E7E1985B2077", "Shutdown"),
    "time": ("2497F4DE-E9FA-4204-80E4-4B75C46419C0", "Time Synchronization"),
    "vss": ("5CED1297-4598-4915-A5FC-AD21BB4D02A4", "VSS"),
}
SCSI_CONTROLLER = "8A0B3B10-5D5C-4E5A-9C55-6E1C3F2D7A01"
IDE_CONTROLLERS = ("83F8638B-8DCA-4152-9EDA-2CA8B33039B4", "83F8638B-8DCA-4152-9EDA-2CA8B33039B5")
_STOP_SECONDS = 10.0


def new_id() -> str:
    return str(uuid.uuid4()).upper()


@dataclass(eq=False)
class Adapter:
    name: str
    mac: str
    network: str = "LAN"


@dataclass(eq=False)
class Service:
    key: str
    enabled: bool = True
    contact: bool = True  # something in the guest answers

    @property
    def guid(self) -> str:
        return SERVICES[self.key][0]

    @property
    def name(self) -> str:
        return SERVICES[self.key][1]


@dataclass(eq=False)
class Checkpoint:
    """`level`: 1 application-consistent, 2 crash-consistent, 0 a standard one. `frozen`: the files of each disk."""

    name: str
    level: int
    frozen: dict[Disk, DiskFile]
    id: str = field(default_factory=new_id)
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def recovery(self) -> bool:
        return self.level > 0


@dataclass(eq=False)
class ReferencePoint:
    machine: str  # id
    level: int
    tracking: dict[Disk, str]
    id: str = field(default_factory=new_id)


@dataclass(eq=False)
class Machine:
    name: str
    node: str
    id: str = field(default_factory=new_id)
    generation: int = 2
    state: str = "Running"
    version: str = "9.0"
    cpus: int = 2
    memory: int = 2 << 30
    dynamic_memory: bool = False
    clustered: bool = False
    replication: str = "None"
    secure_boot: bool = True
    tpm: bool = False
    shielded: bool = False
    fibre_channel: int = 0
    assigned: int = 0  # devices passed through
    gpus: int = 0
    disks: list[Disk] = field(default_factory=list)
    adapters: list[Adapter] = field(default_factory=list)
    services: dict[str, Service] = field(default_factory=lambda: {key: Service(key) for key in SERVICES})
    facts: dict[str, str] = field(default_factory=dict)  # what the guest tells by key-value pairs
    notes: dict[str, str] = field(default_factory=dict)  # host-only items
    checkpoints: list[Checkpoint] = field(default_factory=list)
    references: list[ReferencePoint] = field(default_factory=list)
    merging: int = 0  # files that wait to be merged
    pid: int = 0
    obeys: bool = True  # its guest shuts down when it is asked to

    @property
    def files(self) -> list[Disk]:
        """The disks that have files, which checkpoints freeze."""
        return [disk for disk in self.disks if disk.leaf is not None]

    @property
    def production(self) -> bool:
        """Whether its guest can be made quiet."""
        service = self.services["vss"]
        return self.state == "Running" and service.enabled and service.contact

    def controller_of(self, disk: Disk) -> str:
        return SCSI_CONTROLLER if disk.controller == "SCSI" else IDE_CONTROLLERS[disk.controller_number]

    def instance_id(self, disk: Disk, owner: str | None = None) -> str:
        """Of its Msvm_StorageAllocationSettingData, in the machine's settings or those of a checkpoint."""
        return f"Microsoft:{owner or self.id}\\{self.controller_of(disk)}\\{disk.controller_number}\\{disk.location}\\L"

    def find_checkpoint(self, identifier: str) -> Checkpoint | None:
        return next((each for each in self.checkpoints if each.id.lower() == identifier.lower()), None)

    def freeze(self, level: int, name: str) -> Checkpoint:
        """All its disks at one moment; a guest stands still while what it wrote goes into the leaves."""
        with self.still():
            for disk in self.files:
                disk.sync()
            made = Checkpoint(name, level, {disk: disk.split() for disk in self.files if not disk.shared})
        self.checkpoints.append(made)
        return made

    def mark(self, level: int) -> ReferencePoint:
        with self.still():
            for disk in self.files:
                disk.sync()
            made = ReferencePoint(self.id, level, {disk: disk.tracker.mark() for disk in self.files})
        self.references.append(made)
        return made

    @contextmanager
    def still(self) -> Iterator[None]:
        """A guest's process is stopped, so that its disks are of one moment, as after a power cut."""
        if not self.pid:
            yield
            return
        os.kill(self.pid, signal.SIGSTOP)
        try:
            _wait_stopped(self.pid)
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def power(self, state: str) -> None:
        """A guest's process ends with its machine, and stands still where it is saved or paused."""
        if self.pid and state == "Off":
            os.kill(self.pid, signal.SIGCONT)
            os.kill(self.pid, signal.SIGTERM)
            deadline = time.monotonic() + _STOP_SECONDS
            while _runs(self.pid) and time.monotonic() < deadline:
                time.sleep(0.01)
            for disk in self.files:
                disk.sync()
            self.pid = 0
        elif self.pid and state in ("Saved", "Paused"):
            os.kill(self.pid, signal.SIGSTOP)
        elif self.pid and state == "Running":
            os.kill(self.pid, signal.SIGCONT)
        self.state = state


def _wait_stopped(pid: int) -> None:
    """Until each thread stands still. Raises RuntimeError after ten seconds."""
    deadline = time.monotonic() + _STOP_SECONDS
    while not all(_thread_state(task) in "tTZ" for task in Path(f"/proc/{pid}/task").iterdir()):
        if time.monotonic() > deadline:
            message = f"the guest's process {pid} does not stop"
            raise RuntimeError(message)
        time.sleep(0.001)


def _thread_state(task: Path) -> str:
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"  # it ended meanwhile


def _runs(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() and _thread_state(Path(f"/proc/{pid}")) != "Z"
