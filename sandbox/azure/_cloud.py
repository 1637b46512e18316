"""Azure on loopback, in this process: a login, a subscription, and managed disks in Azurite."""

from __future__ import annotations

import shutil
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from sandbox.azure._access import Access
from sandbox.azure._arm import Arm
from sandbox.azure._azurite import Azurite
from sandbox.azure._certificate import make_certificates
from sandbox.azure._disk import PageDisk
from sandbox.azure._faults import Fault, Faults
from sandbox.azure._login import Login
from sandbox.azure._machines import Machines, set_power
from sandbox.azure._resources import DiskSpec, Estate, Machine, ManagedDisk, Nic, NicSpec, Settings, key
from sandbox.azure._restore import RestorePoints
from sandbox.azure._snapshots import Snapshots
from sandbox.azure._storage import Storage
from sandbox.azure._web import Answer, Request, WebServer

LOCATION = "westeurope"
GROUP = "migration"


class AzureCloud:
    """Started by `start` or as a context manager; `stop` ends it, its threads and an Azurite of its own.

    `endpoint` is Resource Manager's and the login's authority (HTTPS; `ca` is the file to trust), `identity_endpoint` and
    `identity_header` are what App Service gives a managed identity. Machines are changed by their `MachineHandle`.
    """

    def __init__(self, folder: Path, program: Path, *, azurite: Azurite | None = None) -> None:
        """`program` is Azurite's (`tools.azurite`). `azurite`: one that runs already, and goes on running."""
        self.folder = folder
        self._own_azurite = azurite is None
        self.azurite = azurite or Azurite(folder / "azurite", program)
        self.faults = Faults()
        self.tenant, self.subscription = str(uuid.uuid4()), str(uuid.uuid4())
        self._offset = 0.0
        self.access = Access(self.clock)
        self.login = Login(self.faults, self.clock, self.tenant)
        self.estate = Estate(self.azurite, self.access, self.faults, self.clock, self.subscription)
        self.storage = Storage(self.access, self.faults, self.clock)
        self._arm = Arm(self.estate, self.login)
        Machines(self.estate, self._arm)
        self._snapshots, self._points = Snapshots(self.estate, self._arm), RestorePoints(self.estate, self._arm)
        self._servers: list[WebServer] = []
        self._threads: list[threading.Thread] = []
        self._made_disks: list[PageDisk] = []
        self.endpoint = self.identity_endpoint = ""
        self.ca = folder / "tls" / "ca.pem"

    @property
    def client_id(self) -> str:
        return self.login.client_id

    @property
    def client_secret(self) -> str:
        return self.login.client_secret

    @property
    def identity_header(self) -> str:
        return self.login.identity_header

    @property
    def settings(self) -> Settings:
        return self.estate.settings

    def start(self) -> Self:
        (self.folder / "scratch").mkdir(parents=True, exist_ok=True)
        _, certificate, private = make_certificates(self.ca.parent)
        if self._own_azurite:
            self.azurite.start()
        try:
            secure = WebServer(self._handle, (certificate, private))
            identity = WebServer(self._handle_identity, threads=2)
        except BaseException:
            self.stop()
            raise
        self._servers = [secure, identity]
        self.endpoint, self.identity_endpoint = secure.endpoint, f"{identity.endpoint}/msi/token"
        for server in self._servers:
            thread = threading.Thread(target=server.serve, name="azure", daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def stop(self) -> None:
        while self._servers:
            self._servers.pop().stop()
        while self._threads:
            self._threads.pop().join(timeout=20)
        if self._own_azurite:
            self.azurite.stop()
        shutil.rmtree(self.folder / "scratch", ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def clock(self) -> float:
        """Seconds since 1970, as the cloud has it."""
        return time.time() + self._offset

    def advance(self, seconds: float) -> None:
        """Move the cloud's clock: what ends with time ends sooner."""
        self._offset += seconds

    def add_machine(
        self,
        name: str,
        disks: Sequence[int | Path | DiskSpec],
        *,
        group: str = GROUP,
        location: str = LOCATION,
        os_type: str = "Linux",
        generation: str = "V2",
        size: str = "Standard_B2s",
        nics: Sequence[NicSpec] = (NicSpec(),),
        tags: Mapping[str, str] | None = None,
        **options: Any,
    ) -> MachineHandle:
        """A running machine. Its disks, the operating system's first: bytes of an empty one, a raw file that a guest writes
        to, or a `DiskSpec`. Options: `security_type`, `zone`, `agent`, `power`, and `options` (properties of the VM as Azure
        names them). Raises ValueError where there is one of that name in the group."""
        estate, now = self.estate, self.clock()
        identity = estate.id_of(group, "Microsoft.Compute/virtualMachines", name)
        with estate.lock:
            if key(identity) in estate.machines:
                message = f"{group} has a machine {name}"
                raise ValueError(message)
            managed = []
            for number, entry in enumerate(disks):
                spec = entry if isinstance(entry, DiskSpec) else DiskSpec(entry)
                disk_name = f"{name}-os" if number == 0 else f"{name}-data{number}"
                disk_id = estate.id_of(group, "Microsoft.Compute/disks", disk_name)
                managed.append(ManagedDisk(disk_id, disk_name, location, self._pages(spec), spec, now, identity, now))
            made_nics = []
            for number, nic in enumerate(nics):
                nic_name = f"{name}-nic{number}"
                nic_id = estate.id_of(group, "Microsoft.Network/networkInterfaces", nic_name)
                public = estate.id_of(group, "Microsoft.Network/publicIPAddresses", f"{nic_name}-ip")
                made_nics.append(Nic(nic_id, nic_name, location, nic, public if nic.public_address else ""))
            machine = Machine(
                identity,
                name,
                location,
                os_type,
                generation,
                size,
                managed,
                made_nics,
                dict(tags or {}),
                now,
                **options,
            )
            estate.machines[key(identity)] = machine
            estate.disks |= {key(disk.id): disk for disk in managed}
            estate.nics |= {key(nic.id): nic for nic in made_nics}
        return MachineHandle(self, machine)

    def _pages(self, spec: DiskSpec) -> PageDisk:
        raw = spec.content if isinstance(spec.content, Path) else None
        size = spec.content if isinstance(spec.content, int) else spec.content.stat().st_size
        pages = PageDisk(self.azurite, size, raw, self.folder / "scratch")
        pages.catch_up()
        pages.absorb()
        self._made_disks.append(pages)
        return pages

    def fault(self, action: str, **settings: Any) -> Fault:
        """Arm one (`Fault` says which there are); its `hits` count."""
        return self.faults.add(action, **settings)

    def expire_access(self, resource: str = "") -> None:
        """The signatures end now: of one resource (its id), or all."""
        self.access.expire(resource)

    def revoke_access(self, resource: str = "") -> None:
        """Somebody revokes the signatures: of one resource (its id), or all."""
        for grant in self.access.active(resource):
            self.access.revoke(grant.resource)

    def delete_snapshot(self, name: str) -> None:
        """Somebody deletes it, whatever reads it. Raises KeyError where there is none of that name."""
        with self.estate.lock:
            found = {each.name: each for each in self.estate.snapshots.values()}[name]
            self._snapshots.remove(found)

    def delete_restore_point(self, name: str) -> None:
        """Somebody deletes it. Raises KeyError where there is none of that name."""
        with self.estate.lock:
            for collection in self.estate.collections.values():
                if name.lower() in collection.points:
                    self._points.remove(collection, collection.points[name.lower()])
                    return
        raise KeyError(name)

    def state(self) -> dict[str, Any]:
        """What is there: `snapshots`, `collections`, `restore_points` (ids), `access` (ids of what has an active signature),
        `calls` by name, `sent` (bytes of blobs)."""
        with self.estate.lock:
            points = [point.id for each in self.estate.collections.values() for point in each.points.values()]
            return {
                "snapshots": [each.id for each in self.estate.snapshots.values()],
                "collections": [each.id for each in self.estate.collections.values()],
                "restore_points": points,
                "access": [grant.resource for grant in self.access.active()],
                "calls": self.faults.calls(),
                "sent": self.storage.sent,
            }

    def _handle(self, request: Request) -> Answer:
        if request.path.startswith("/md-"):
            return self.storage.handle(request)
        if request.path.lower().startswith("/subscriptions"):
            return self._arm.handle(request)
        return self.login.handle(request)

    def _handle_identity(self, request: Request) -> Answer:
        if request.path == "/msi/token" and request.method == "GET":
            return self.login.identity(request)
        return Answer.of(404, {"statusCode": 404, "message": "Not found"})


class MachineHandle:
    """What an administrator and the guest do to a machine."""

    def __init__(self, cloud: AzureCloud, machine: Machine) -> None:
        self._cloud, self._machine = cloud, machine
        self.id, self.name, self.vm_id = machine.id, machine.name, machine.vm_id

    @property
    def disks(self) -> Sequence[ManagedDisk]:
        return self._machine.disks

    def write(self, disk: int, offset: int, data: bytes) -> None:
        """As the guest does; of a deallocated machine, as if it had been started for it and was deallocated again."""
        self._machine.disks[disk].pages.write(offset, data)
        if self._machine.power == "deallocated":
            for each in self._machine.disks:
                each.owned = self._cloud.clock()

    def zero(self, disk: int, offset: int, length: int) -> None:
        """The guest discards whole pages."""
        self._machine.disks[disk].pages.zero(offset, length)

    def resize(self, disk: int, size: int) -> None:
        self._machine.disks[disk].pages.resize(size)

    def attach_guest(self, pid: int) -> None:
        """The process that writes to the raw files of the disks; it stands still for the moment of a point in time. 0: none."""
        self._machine.pid = pid

    def set_power(self, power: str) -> None:
        """`running`, `stopped` or `deallocated`."""
        set_power(self._machine, power, self._cloud.clock())

    def set_agent(self, ready: bool) -> None:
        """Whether the guest agent answers."""
        self._machine.agent = ready

    def set_writers(self, good: bool) -> None:
        """Whether the VSS writers of a Windows guest succeed."""
        self._machine.writers = good

    def delete(self, *, disks: bool = True) -> None:
        """Delete the machine, and its disks with it; snapshots stay."""
        estate = self._cloud.estate
        with estate.lock:
            estate.machines.pop(key(self.id), None)
            for disk in self._machine.disks:
                disk.owner = ""
                if disks:
                    estate.disks.pop(key(disk.id), None)
            for nic in self._machine.nics:
                estate.nics.pop(key(nic.id), None)
