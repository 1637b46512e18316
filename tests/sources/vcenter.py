"""A simulated vCenter for tests: one a process of pytest, and a harness whose server is one of its machines."""

from __future__ import annotations

import functools
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from rehost.sources import Power, open_source
from rehost.sources.vsphere import VSphereSource
from sandbox import SimulatedMachine, VSphere
from sandbox._vsphere import PASSWORD, USER
from tests.sources.harness import INITIAL, Harness
from tools.vsphere_sim import program

#: The variables that specs of these tests refer to.
SECRETS = {"TEST_VC_USER": USER, "TEST_VC_PASSWORD": PASSWORD}
CREDENTIALS = {"username": {"env": "TEST_VC_USER"}, "password": {"env": "TEST_VC_PASSWORD"}}

_numbers = itertools.count(1)


def built() -> Path:
    """The simulator; skips where there is none."""
    if not program().exists():
        pytest.skip("the vCenter simulator is not built: it needs Go, and then `make vcenter`")
    return program()


def entry(vcenter: VSphere, **options: Any) -> dict[str, Any]:
    """The spec's entry of a simulated vCenter."""
    tls = {"caFile": str(vcenter.ca)}
    return {"type": "vsphere", "endpoint": vcenter.endpoint, "credentials": CREDENTIALS, "tls": tls, **options}


def opened(config: Mapping[str, Any]) -> VSphereSource:
    """For another process, which has no fixtures."""
    os.environ.update(SECRETS)
    source = open_source(config, base=Path())
    assert isinstance(source, VSphereSource)
    return source


class Guest:
    """A process that writes to a machine's disks, known to the simulator."""

    def __init__(self, vcenter: VSphere, machine: SimulatedMachine) -> None:
        self.machine = machine
        self._lock = threading.Lock()
        path = Path(__file__).with_name("disk_writer.py")
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([sys.executable, "-I", str(path)], stdin=pipe, stdout=pipe, text=True)
        vcenter.attach_guest(machine.moref, self._process.pid)

    def write(self, disk: int, offset: int, data: bytes) -> None:
        order = {"path": str(self.machine.flats[disk]), "offset": offset, "data": data.hex()}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            assert self._process.stdout.readline() == "\n"

    def end(self) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(30)


class VCenterHarness(Harness):
    survives_writes = True
    tracks_changes = True
    shrinks = False  # vSphere refuses it
    options: Mapping[str, Any] = {}

    def __init__(self, folder: Path, vcenter: VSphere) -> None:
        super().__init__(folder)
        self.vcenter = vcenter
        name = f"web-{os.getpid()}-{next(_numbers)}"
        files = []
        for number, content in enumerate(INITIAL):
            files.append(folder / f"disk{number}.raw")
            # With holes, as a datastore has them.
            with files[-1].open("wb") as file:
                file.truncate(len(content))
                for at in range(0, len(content), 4096):
                    if content[at : at + 4096].strip(b"\0"):
                        file.seek(at)
                        file.write(content[at : at + 4096])
        self.machine = vcenter.add(name, files, cbt=True, tools=True)
        self.guest = Guest(vcenter, self.machine)
        self.config = entry(vcenter, **self.options)
        self.vsphere = self.source = opened(self.config)
        self.locator = {"name": name}
        self.unknown = {"name": "no-such-machine"}
        self.wrong = ({}, {"nme": name}, {"name": name, "moref": self.machine.moref}, {"disks": ["a"]})

    def content(self, disk: int) -> bytes:
        return self.machine.flats[disk].read_bytes()

    def write(self, disk: int, offset: int, data: bytes) -> None:
        self.guest.write(disk, offset, data)

    def resize(self, disk: int, size: int) -> None:
        self.vcenter.change(self.machine.moref, "grow", disk=disk, size=size)

    def made(self) -> Sequence[str]:
        return list(self.vcenter.state()["snapshots"].get(self.machine.moref) or [])

    def losses(self) -> Mapping[str, Callable[[], None]]:
        return {"tracking reset": lambda: self.vcenter.change(self.machine.moref, "cbt-reset")}

    def lose_freeze(self, token: str) -> None:
        self.vcenter.change(self.machine.moref, "remove-snapshots")

    def elsewhere(self) -> tuple[str, Mapping[str, Any]]:
        return "tests.sources.vcenter:opened", {"config": self.config}

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline, "it did not happen within 30 s"
            time.sleep(0.02)

    def close(self) -> None:
        self.vcenter.clear_faults()
        is_off = self.source.power({"moref": self.machine.moref}) is Power.OFF
        super().close()
        self.guest.end()
        if not is_off:
            self.vcenter.change(self.machine.moref, "power-off")
        self.vcenter.change(self.machine.moref, "destroy")


@functools.cache
def harness(kind: str) -> type[VCenterHarness]:
    """The harness of a source with `transport: kind`."""
    return type(f"{kind.title()}Harness", (VCenterHarness,), {"options": {"transport": kind}})
