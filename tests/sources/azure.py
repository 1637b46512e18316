"""A stand-in Azure for tests: one a process of pytest, and a harness whose server is one of its machines."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from rehost.sources import Power, open_source
from rehost.sources.azure import AzureSource
from rehost.sources.azure._names import digest
from sandbox.azure import AzureCloud
from tests.sources.harness import INITIAL, Harness
from tools.azurite import PROGRAM

#: The variable that specs of these tests refer to.
SECRET = "TEST_AZURE_SECRET"

_numbers = itertools.count(1)


def built() -> Path:
    """Azurite's program; skips where there is none."""
    if not PROGRAM.exists():
        pytest.skip("Azurite is not installed: it needs npm, and then `make azurite`")
    return PROGRAM


def entry(cloud: AzureCloud, **options: Any) -> dict[str, Any]:
    """The spec's entry of the stand-in's subscription."""
    return {
        "type": "azure",
        "subscription": cloud.subscription,
        "auth": {
            "method": "servicePrincipal",
            "tenant": cloud.tenant,
            "clientId": cloud.client_id,
            "clientSecret": {"env": SECRET},
        },
        "endpoints": {
            "authority": cloud.endpoint,
            "resourceManager": cloud.endpoint,
            "audience": "https://management.azure.com",
        },
        "tls": {"caFile": str(cloud.ca)},
        **options,
    }


def opened(config: Mapping[str, Any], secret: str) -> AzureSource:
    """For another process, which has no fixtures."""
    os.environ[SECRET] = secret
    source = open_source(config, base=Path())
    assert isinstance(source, AzureSource)
    return source


class AzureHarness(Harness):
    survives_writes = True
    tracks_changes = True
    shrinks = False  # Azure refuses it
    pauses = False
    looks = False  # without a snapshot it tells only that a machine was not started since
    options: ClassVar[Mapping[str, Any]] = {}
    disks: ClassVar[Sequence[bytes]] = INITIAL

    def __init__(self, folder: Path, cloud: AzureCloud) -> None:
        super().__init__(folder)
        self.cloud = cloud
        name = f"web-{os.getpid()}-{next(_numbers)}"
        self.machine = cloud.add_machine(name, [len(each) for each in self.disks], size="Standard_D4s_v5")
        self.shadow = [bytearray(content) for content in self.disks]
        self._lock = threading.Lock()
        for disk, content in enumerate(self.disks):
            for at in range(0, len(content), 65536):
                if content[at : at + 65536].strip(b"\0"):
                    self.machine.write(disk, at, content[at : at + 65536])
        self.config = entry(cloud, **self.options)
        self.azure = self.source = opened(self.config, cloud.client_secret)
        self.locator = {"name": name}
        self.unknown = {"name": "no-such-machine"}
        self.wrong = ({}, {"nme": name}, {"name": name, "id": self.machine.id}, {"disks": ["a"]}, {"id": "/x/y"})

    def content(self, disk: int) -> bytes:
        return bytes(self.shadow[disk])

    def write(self, disk: int, offset: int, data: bytes) -> None:
        with self._lock:
            self.machine.write(disk, offset, data)
            self.shadow[disk][offset : offset + len(data)] = data

    def resize(self, disk: int, size: int) -> None:
        self.machine.resize(disk, size)
        self.shadow[disk].extend(bytes(size - len(self.shadow[disk])))

    def points(self) -> Sequence[str]:
        """Snapshots and restore points of ours at the machine, by Azure's own account."""
        return list(self.azure.remains(self.locator))

    def made(self) -> Sequence[str]:
        open_points = [each for each in self.points() if not each.startswith("kept")]
        own = [each for each in self.cloud.state()["access"] if digest(self.machine.id) in each]
        return open_points + [f"access: {each}" for each in own]

    def losses(self) -> Mapping[str, Callable[[], None]]:
        def remove() -> None:
            for each in self.points():
                self._remove(each.partition(": ")[2])

        return {"kept points removed": remove}

    def lose_freeze(self, token: str) -> None:
        for each in self.points():
            if each.startswith("open"):
                self._remove(each.partition(": ")[2])

    def _remove(self, resource: str) -> None:
        name = resource.rpartition("/")[2]
        if "/restorepoints/" in resource.lower():
            self.cloud.delete_restore_point(name)
        else:
            self.cloud.delete_snapshot(name)

    def elsewhere(self) -> tuple[str, Mapping[str, Any]]:
        return "tests.sources.azure:opened", {"config": self.config, "secret": self.cloud.client_secret}

    def close(self) -> None:
        self.cloud.faults.clear()
        if self.source.power({"id": self.machine.id}) is Power.OFF:
            self.machine.set_power("running")
        super().close()
        self.machine.delete()
