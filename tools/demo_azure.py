"""`make demo SOURCE=azure`: the live machine as a virtual machine of Azure, whose disks are page blobs in Azurite."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sandbox.azure import GROUP, AzureCloud, MachineHandle
from sandbox.machines import Disk, LiveGuest
from tools._errors import SetupError
from tools._progress import Progress
from tools.azurite import PROGRAM, ensure
from tools.demo import FOLDER
from tools.demo_live import SERVER, LiveDemo
from tools.demo_standing import Standing, end_earlier

#: What the demo's spec refers to.
SECRET = "AZURE_CLIENT_SECRET"


class AzurePlace:
    """In the stand-in's own process."""

    def __init__(self, folder: Path) -> None:
        self._cloud = AzureCloud(folder, PROGRAM)
        self._machines: dict[str, MachineHandle] = {}

    def start(self) -> Mapping[str, Any]:
        cloud = self._cloud.start()
        return {
            "endpoint": cloud.endpoint,
            "ca": str(cloud.ca),
            "tenant": cloud.tenant,
            "subscription": cloud.subscription,
            "clientId": cloud.client_id,
            "clientSecret": cloud.client_secret,
        }

    def add(self, name: str, disks: Sequence[Path]) -> None:
        self._machines[name] = self._cloud.add_machine(name, disks, generation="V1")

    def attach(self, name: str, pid: int) -> None:
        self._machines[name].attach_guest(pid)

    def left(self) -> Sequence[str]:
        state = self._cloud.state()
        found = [f"access to {each}" for each in state["access"]]
        return [*found, *state["snapshots"], *state["restore_points"], *state["collections"]]

    def stop(self) -> None:
        self._cloud.stop()


def demo(keep: bool) -> LiveDemo:
    try:
        ensure(Progress())
    except SetupError as error:
        raise SystemExit(f"this demo needs Azurite. {error}") from None
    platform = AzurePlatform(FOLDER / "azure", detached=keep)
    os.environ[SECRET] = platform.secret
    return AzureDemo(keep, platform)


class AzureDemo(LiveDemo):
    def play(self) -> None:
        super().play()
        if self.keep:
            with self.project.env_file.open("a") as file:
                file.write(f"{SECRET}={os.environ[SECRET]}\n")


class AzurePlatform:
    name = "azure"

    def __init__(self, folder: Path, *, detached: bool) -> None:
        self._folder = folder
        self._guest: LiveGuest | None = None
        end_earlier(folder / "ready.json")
        shutil.rmtree(folder, ignore_errors=True)
        self._place = Standing(folder, "tools.demo_azure:AzurePlace").start(detached=detached)

    @property
    def secret(self) -> str:
        return str(self._place.facts["clientSecret"])

    @property
    def source(self) -> str:
        facts = self._place.facts
        ca = os.path.relpath(facts["ca"], FOLDER / "specs")
        return (
            "\n    type: azure"
            f"\n    subscription: {facts['subscription']}"
            f"\n    resourceGroups: [{GROUP}]"
            f"\n    auth: {{method: servicePrincipal, tenant: {facts['tenant']}, clientId: {facts['clientId']}, "
            f"clientSecret: {{env: {SECRET}}}}}"
            f"\n    endpoints: {{authority: '{facts['endpoint']}', resourceManager: '{facts['endpoint']}', "
            "audience: 'https://management.azure.com'}"
            f"\n    tls: {{caFile: {ca}}}"
        )

    def start(self, disks: Sequence[Disk]) -> LiveGuest:
        """The guest writes to raw files; what differs goes into the page blobs whenever a snapshot is taken, while it stands still."""
        arguments = []
        for number, disk in enumerate(disks):
            arguments += ["-drive", f"if=none,id=drive{number},file={disk.path},format=raw,discard=unmap"]
            arguments += ["-device", f"virtio-blk-pci,drive=drive{number},bootindex={number}"]
        self._place.add(SERVER, [disk.path for disk in disks])
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
