"""A machine that never rests: a guest which all the while appends records to two disks, and says which are safe.

A record is a line of 32 bytes: its number, and a checksum over the numbers so far. The guest writes it to the root disk
with fsync, then to the data disk with fsync, then tells its console. So in any one point in time of both disks, the records
have no gap, the data disk has as many as the root disk or one fewer, and none that the console told of before is missing.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from rehost.processes import is_running
from sandbox.machines import _ext4, _tools
from sandbox.machines._accelerator import accelerator
from sandbox.machines._build import MIB, Disk, Machine
from sandbox.machines._errors import MachineError
from sandbox.machines._guest import LIVE_PATH

MEMORY_MIB = 192
DATA_LABEL = "records"
ROOT_RECORDS, DATA_RECORDS = "/var/records", "/records"

_DATA_SIZE = 64 * MIB
_RECORD_BYTES = 32
_ACKNOWLEDGED = re.compile(rb"^rehost: record (\d+)\r?$", re.MULTILINE)


class GuestEnded(MachineError):
    template = "the guest {name} ended, or did not get there within {seconds:g} s; its console ends with: {console}"


class RecordsDamaged(MachineError):
    template = "the records on {disk} are not as they were written: {detail}"


@dataclass(frozen=True)
class Records:
    """What two disks of one point in time hold."""

    root: int  # records on the root disk
    data: int  # records on the data disk

    @property
    def of_one_moment(self) -> bool:
        return self.root - self.data in (0, 1)


def make_live(machine: Machine, folder: Path) -> list[Disk]:
    """Raw disks of a live machine in `folder`: a copy of `machine`'s root disk, and a data disk. Raises MachineError."""
    folder.mkdir(parents=True, exist_ok=True)
    root, data = folder / "root.raw", folder / "data.raw"
    subprocess.run(["cp", "--sparse=always", machine.disks[0].path, root], check=True, stdin=subprocess.DEVNULL)
    _ext4.write_file(root, LIVE_PATH, Path(__file__).with_name("live.sh").read_bytes())
    with open(data, "wb") as file:
        file.truncate(_DATA_SIZE)
    tree = _ext4.Tree(files={"/readme": b"Records of a live machine.\n"})
    label_uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{DATA_LABEL}.rehost.invalid"))
    _ext4.make(data, tree, offset=0, length=_DATA_SIZE, label=DATA_LABEL, uuid=label_uuid)
    return [Disk(root, machine.disks[0].size), Disk(data, _DATA_SIZE)]


class LiveGuest:
    """The guest in QEMU. As a context manager it runs within."""

    def __init__(self, name: str, folder: Path, arguments: Sequence[str]) -> None:
        """`arguments` give QEMU its disks and what else a platform wants; the console goes into `folder`."""
        self.name, self.folder = name, folder
        self.console = folder / f"{name}.console"
        self._arguments = list(arguments)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Of its QEMU; 0 while it is off."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Power on. Raises ToolMissing without QEMU."""
        program = _tools.find("qemu-system-x86_64")
        self._end_earlier()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.console.unlink(missing_ok=True)
        command = [program, "-accel", accelerator(), "-m", str(MEMORY_MIB), "-smp", "1", "-display", "none"]
        command += ["-nodefaults", "-name", self.name, "-serial", f"file:{self.console}", *self._arguments]
        with open(self.folder / f"{self.name}.log", "ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _end_earlier(self) -> None:
        """One that a demo with `KEEP=1` left running: two would write to the same disks. It is known by its console."""
        console = f"file:{self.console}".encode()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                arguments = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue  # it has ended
            if b"qemu-system" in arguments[0] and console in arguments:
                pid = int(process.name)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
                deadline = time.monotonic() + 10
                while is_running(pid) and time.monotonic() < deadline:
                    time.sleep(0.02)

    def stop(self) -> None:
        """Power off without asking the guest."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def acknowledged(self) -> int:
        """The number of the last record that the guest has told of."""
        try:
            told = _ACKNOWLEDGED.findall(self.console.read_bytes())
        except FileNotFoundError:
            return 0
        return int(told[-1]) if told else 0

    def wait_for(self, records: int, *, seconds: float = 180.0) -> int:
        """Until it has told of so many records; how many it is by then. Raises GuestEnded."""
        deadline = time.monotonic() + seconds
        while (count := self.acknowledged()) < records:
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                end = self.console.read_text(errors="replace")[-2000:] if self.console.exists() else "(nothing)"
                raise GuestEnded(name=self.name, seconds=seconds, console=end)
            time.sleep(0.05)
        return count


def check_disks(root: Path, data: Path) -> Records:
    """Replay the journals of the two disks' file systems, hold them to be clean, and count the records.

    `root` and `data` are raw images; work is done on copies beside them. Raises RecordsDamaged.
    """
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=".check-") as scratch:
        systems = [_made_clean(disk, Path(scratch)) for disk in (root, data)]
        return Records(_count(systems[0], ROOT_RECORDS), _count(systems[1], DATA_RECORDS))


def _made_clean(disk: Path, scratch: Path) -> Path:
    """The file system of a disk after what a boot does, the journal's replay, and nothing more; e2fsck finds no fault then.

    It stands in a file of its own: having replayed a journal, e2fsck 1.47 forgets the offset within an image.
    """
    system = scratch / disk.name
    copy = ["dd", f"if={disk}", f"of={system}", "bs=1M", "iflag=skip_bytes", f"skip={_ext4._find(disk)}", "conv=sparse"]
    subprocess.run(copy, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    steps = (("replaying its journal", ["-E", "journal_only", "-y"], (0, 1)), ("checking it", ["-fn"], (0,)))
    for what, options, good in steps:
        done = subprocess.run(
            [_tools.find("e2fsck"), *options, system],
            env=_tools.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in good:
            raise RecordsDamaged(disk=disk.name, detail=f"{what}, e2fsck exited with {done.returncode}: {done.stdout}")
    return system


def _count(disk: Path, path: str) -> int:
    content = _ext4.read_file(disk, path)
    if len(content) % _RECORD_BYTES:
        raise RecordsDamaged(disk=disk.name, detail=f"{len(content)} bytes are no whole number of records")
    chain = 0
    for number, line in enumerate(content.splitlines(), start=1):
        chain = (chain * 69069 + number) % (1 << 31)
        if line != b"%10d %10d ........." % (number, chain):
            raise RecordsDamaged(disk=disk.name, detail=f"record {number} is {line!r}")
    return len(content) // _RECORD_BYTES
