"""What the hosts of one site share: machines, their drive C, jobs, and the merging that goes on behind checkpoints."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.hyperv._faults import Faults
from sandbox.hyperv.model._disks import Disk, DiskFile, Drive, remove
from sandbox.hyperv.model._machines import Checkpoint, Machine, ReferencePoint, new_id

#: CIM_ConcreteJob.JobState: learn.microsoft.com/windows/win32/hyperv_v2/msvm-concretejob.
RUNNING, COMPLETED, EXCEPTION = 4, 7, 10


class Failed(Exception):
    """An operation that Hyper-V ends with an error: its code, and what it says."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(eq=False)
class Job:
    """`affected`: the model's object that the job made."""

    what: str
    state: int = RUNNING
    code: int = 0
    description: str = ""
    affected: Any = None
    id: str = field(default_factory=new_id)
    done_at: float = 0.0  # of the monotonic clock; where it is to last

    def current(self) -> Job:
        if self.state == RUNNING and time.monotonic() >= self.done_at:
            self.state = EXCEPTION if self.description else COMPLETED
        return self


class Estate:
    def __init__(self, folder: Path, faults: Faults) -> None:
        self.drive = Drive(folder / "C")
        self.faults = faults
        self.lock = threading.RLock()
        self.machines: dict[str, Machine] = {}
        self.jobs: dict[str, Job] = {}
        self.merges_held = threading.Event()
        self.merges_held.set()
        self._mergers: list[threading.Thread] = []
        self._closing = False

    def find(self, identifier: str) -> Machine | None:
        return self.machines.get(identifier.upper())

    def named(self, name: str) -> Machine:
        return next(machine for machine in self.machines.values() if machine.name == name)

    def owner_of(self, path: str) -> tuple[Machine, Disk, DiskFile] | None:
        """Whose file a path is, in any case."""
        with self.lock:
            for machine in self.machines.values():
                for disk in machine.files:
                    for file in disk.files():
                        if file.name.lower() == path.lower():
                            return machine, disk, file
        return None

    def job(self, what: str, act: Callable[[], Any], *, seconds: float = 0.0) -> Job:
        """Carry something out as a job that is done after so many seconds."""
        made = Job(what, done_at=time.monotonic() + seconds)
        try:
            made.affected = act()
        except Failed as error:
            made.code, made.description = error.code, str(error)
        with self.lock:
            self.jobs[made.id] = made
        return made

    def checkpoint(self, machine: Machine, level: int, name: str = "") -> Checkpoint:
        """Raises Failed as Hyper-V fails a checkpoint."""
        kind = {0: "standard", 1: "application", 2: "crash"}[level]
        fault = self.faults.take("checkpoint", kind)
        if fault is not None and "message" in fault.settings:
            raise Failed(int(fault.settings.get("code", 32768)), str(fault.settings["message"]))
        with self.lock:
            self._must_be_here(machine)
            if level == 1 and not machine.production and machine.state == "Running":
                message = (
                    f"Production checkpoints cannot be created for '{machine.name}'. (Virtual machine ID {machine.id}) "
                    "The guest host does not have the required integration components running for production checkpoint operations."
                )
                raise Failed(32770, message)
            for disk in machine.disks:
                if disk.leaf is None or disk.shared:
                    what = "a pass-through disk" if disk.leaf is None else "a shared virtual hard disk"
                    message = f"'{machine.name}' could not initiate a checkpoint operation: {what} is attached. (Virtual machine ID {machine.id})"
                    raise Failed(32770, message)
            shown = name or f"{machine.name} - ({time.strftime('%m/%d/%Y - %H:%M:%S')})"
            return machine.freeze(level, shown)

    def reference(self, machine: Machine, level: int) -> ReferencePoint:
        fault = self.faults.take("checkpoint", "reference")
        if fault is not None and "message" in fault.settings:
            raise Failed(int(fault.settings.get("code", 32768)), str(fault.settings["message"]))
        with self.lock:
            self._must_be_here(machine)
            return machine.mark(level)

    def convert(self, machine: Machine, checkpoint: Checkpoint) -> ReferencePoint:
        """The checkpoint is gone; the reference point stands for the moment at which it froze the disks."""
        with self.lock:
            if not checkpoint.recovery:
                message = "Only recovery snapshots can be converted to reference points."
                raise Failed(32770, message)
            tracking = {
                disk: disk.tracker.mark_at(file.frozen if file.frozen is not None else 0)
                for disk, file in checkpoint.frozen.items()
            }
            made = ReferencePoint(machine.id, checkpoint.level, tracking)
            machine.references.append(made)
            self.remove_checkpoint(machine, checkpoint)
            return made

    def forget(self, machine: Machine, point: ReferencePoint) -> None:
        with self.lock:
            if point not in machine.references:
                raise Failed(32773, "The reference point does not exist.")
            machine.references.remove(point)
            for disk, tracking in point.tracking.items():
                disk.tracker.forget(tracking)

    def remove_checkpoint(self, machine: Machine, checkpoint: Checkpoint) -> None:
        """It is gone from the list at once; its files are merged after that."""
        with self.lock:
            if checkpoint not in machine.checkpoints:
                raise Failed(32773, "The checkpoint does not exist.")
            machine.checkpoints.remove(checkpoint)
            machine.merging += len(checkpoint.frozen)
            fault = self.faults.take("merge", machine.name)
            seconds = float(fault.settings.get("seconds", 0.0)) if fault is not None else 0.0
            thread = threading.Thread(target=self._merge, args=(machine, checkpoint, seconds), name="hyperv-merge")
            self._mergers = [other for other in self._mergers if other.is_alive()]
            self._mergers.append(thread)
        thread.start()

    def _merge(self, machine: Machine, checkpoint: Checkpoint, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._closing and (time.monotonic() < deadline or not self.merges_held.is_set()):
            time.sleep(0.01)
        if self._closing:
            return
        with self.lock:
            for disk, frozen in checkpoint.frozen.items():
                child = disk.child_of(frozen)
                # The machine may be deleted by now, and another merge may have taken the file.
                if self.machines.get(machine.id) is machine and child is not None:
                    self._absorb(machine, disk, child)
                machine.merging -= 1

    @staticmethod
    def _absorb(machine: Machine, disk: Disk, child: DiskFile) -> None:
        below = disk.absorb(child)
        for other in machine.checkpoints:
            if other.frozen.get(disk) is child:
                other.frozen[disk] = below

    def delete(self, machine: Machine) -> None:
        with self.lock:
            del self.machines[machine.id]
            for disk in machine.disks:
                remove(disk)

    def wait_merged(self, seconds: float = 30.0) -> None:
        """Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while any(machine.merging for machine in self.machines.values()):
            if time.monotonic() > deadline:
                message = "checkpoints are still being merged"
                raise TimeoutError(message)
            time.sleep(0.01)

    def close(self) -> None:
        self._closing = True
        for thread in self._mergers:
            thread.join()

    def _must_be_here(self, machine: Machine) -> None:
        if self.machines.get(machine.id) is not machine:
            raise Failed(32773, f"The virtual machine '{machine.name}' does not exist.")
