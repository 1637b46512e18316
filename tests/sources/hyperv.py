"""A Windows host that is a stand-in, its disks on a real SMB server, and a harness whose server is one of its machines."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rehost.sources import open_source
from rehost.sources.hyperv import HyperVSource, _pool
from sandbox._samba import Samba, SambaMissing
from sandbox.hyperv import HyperVHost
from tests.sources.harness import INITIAL, MIB, Harness

SECTOR = 512

_numbers = itertools.count(1)


class Rack:
    """A host, or the nodes of a cluster, and the file server that has their drive C as `C$`."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.host = HyperVHost(folder / "host", **options).start()
        account = self.host.user.rpartition("\\")[2]
        try:
            self.samba = Samba(
                folder / "samba", {"C$": self.host.drive.folder}, user=account, password=self.host.password
            ).start()
        except SambaMissing as missing:
            self.host.close()
            pytest.skip(str(missing))
        self.config: dict[str, Any] = {
            "type": "hyperv",
            "endpoint": self.host.endpoint,
            "auth": "ntlm",
            "credentials": {"username": {"env": "TEST_HV_USER"}, "password": {"env": "TEST_HV_PASSWORD"}},
            "tls": {"caFile": str(self.host.ca)},
            "smb": {"port": self.samba.port},
        }

    def close(self) -> None:
        _pool.close_idle()
        self.samba.stop()
        self.host.close()
        assert self.host.unsupported == [], "a script asked for what Windows may not have"


@contextmanager
def racked(folder: Path, **options: Any) -> Iterator[Rack]:
    with pytest.MonkeyPatch.context() as patch:
        rack = Rack(folder, **options)
        patch.setenv("TEST_HV_USER", rack.host.user)
        patch.setenv("TEST_HV_PASSWORD", rack.host.password)
        try:
            yield rack
        finally:
            rack.close()


def opened(config: Mapping[str, Any]) -> HyperVSource:
    """For another process, which has no fixtures but the environment."""
    source = open_source(config, base=Path())
    assert isinstance(source, HyperVSource)
    return source


def raw_images(folder: Path) -> list[Path]:
    """INITIAL as files with holes."""
    files = []
    for number, content in enumerate(INITIAL):
        files.append(folder / f"disk{number}.raw")
        with files[-1].open("wb") as file:
            file.truncate(len(content))
            for at in range(0, len(content), 4096):
                if content[at : at + 4096].strip(b"\0"):
                    file.seek(at)
                    file.write(content[at : at + 4096])
    return files


class HyperVHarness(Harness):
    survives_writes = True
    tracks_changes = True
    shrinks = False  # Hyper-V shrinks a disk only as far as its partitions, and never one with checkpoints

    disk_options: Mapping[str, Any] = {}

    def __init__(self, folder: Path, rack: Rack, **options: Any) -> None:
        super().__init__(folder)
        self.rack = rack
        self.host = rack.host
        self.name = f"web-{os.getpid()}-{next(_numbers)}"
        self.machine = self.host.add_machine(
            self.name, [{"raw": image, "block": MIB, **self.disk_options} for image in raw_images(folder)], **options
        )
        self._contents = [bytearray(content) for content in INITIAL]
        self._lock = threading.Lock()
        self.config = {**rack.config}
        self.hyperv = self.source = opened(self.config)
        self.locator = {"name": self.name}
        self.unknown = {"name": "no-such-machine"}
        self.wrong = ({}, {"nme": self.name}, {"name": self.name, "uuid": self.machine.id}, {"disks": ["a"]})

    def content(self, disk: int) -> bytes:
        return bytes(self._contents[disk])

    def write(self, disk: int, offset: int, data: bytes) -> None:
        """A guest writes whole sectors."""
        content = self._contents[disk]
        with self._lock:
            content[offset : offset + len(data)] = data
            start = offset // SECTOR * SECTOR
            end = -(-(offset + len(data)) // SECTOR) * SECTOR
            self.host.write(self.machine, disk, start, bytes(content[start:end]))

    def resize(self, disk: int, size: int) -> None:
        if self.machine.checkpoints:
            return  # Resize-VHD refuses it then
        self.host.estate.wait_merged()
        self.machine.disks[disk].resize(size)
        content = self._contents[disk]
        content.extend(bytes(max(0, size - len(content))))
        del content[size:]

    def made(self) -> Sequence[str]:
        state = self.host.state()
        merging = [f"{self.name} merges"] if self.name in state["merging"] else []
        return [*state["checkpoints"][self.name], *merging]

    def references(self) -> Sequence[str]:
        """Reference points and the notes that tell whose they are: as many of the one as of the other."""
        state = self.host.state()
        notes = state["notes"][self.name]
        assert sorted(notes.values()) == sorted(state["references"][self.name])
        return sorted(notes)

    def losses(self) -> Mapping[str, Callable[[], None]]:
        return {"tracking reset": self.reset, "reference points gone": self.lose_references}

    def reset(self) -> None:
        for disk in self.machine.disks:
            disk.tracker.reset()

    def lose_references(self) -> None:
        for point in list(self.machine.references):
            self.host.estate.forget(self.machine, point)

    def lose_freeze(self, token: str) -> None:
        for checkpoint in list(self.machine.checkpoints):
            self.host.estate.remove_checkpoint(self.machine, checkpoint)
        self.host.estate.wait_merged()

    def elsewhere(self) -> tuple[str, Mapping[str, Any]]:
        return "tests.sources.hyperv:opened", {"config": self.config}

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline, "it did not happen within 30 s"
            time.sleep(0.01)

    def close(self) -> None:
        self.host.faults.clear()
        super().close()
        if self.machine.id in self.host.estate.machines:
            self.host.estate.delete(self.machine)
