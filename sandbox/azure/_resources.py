"""What stands in the subscription: machines with their disks and interfaces, snapshots, restore points."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.azure._access import Access
from sandbox.azure._azurite import Azurite
from sandbox.azure._disk import Frozen, PageDisk
from sandbox.azure._faults import Faults

GIB = 1 << 30


@dataclass(frozen=True)
class DiskSpec:
    """A disk to make: of a size in bytes, or a raw file that a guest writes to. The rest is as Azure names it."""

    content: int | Path
    sku: str = "Premium_LRS"
    encryption: str = "EncryptionAtRestWithPlatformKey"
    azure_disk_encryption: bool = False  # encryptionSettingsCollection: BitLocker or DM-Crypt in the guest
    max_shares: int = 1
    ephemeral: bool = False  # on the host's own storage: only for the first disk
    network_access: str = "AllowAll"
    sector_size: int = 512


@dataclass(frozen=True)
class NicSpec:
    address: str = "10.0.0.4"
    mac: str = "00-0D-3A-12-34-56"
    public_address: str = ""


@dataclass
class Operation:
    """A long-running one."""

    kind: str  # the segment of its URL
    location: str
    started: float
    ready: float
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    failure: tuple[str, str] | None = None  # code, message
    result: Mapping[str, Any] | None = None


@dataclass
class ManagedDisk:
    id: str
    name: str
    location: str
    pages: PageDisk
    spec: DiskSpec
    created: float
    owner: str = ""  # id of its machine
    owned: float = 0.0  # when its machine last changed hands or power: LastOwnershipUpdateTime

    @property
    def gib(self) -> int:
        return max(1, -(-self.pages.size // GIB))


@dataclass
class Nic:
    id: str
    name: str
    location: str
    spec: NicSpec
    public_id: str


@dataclass
class Machine:
    id: str
    name: str
    location: str
    os_type: str
    generation: str
    size: str
    disks: list[ManagedDisk]
    nics: list[Nic]
    tags: dict[str, str]
    created: float
    security_type: str = ""  # TrustedLaunch, ConfidentialVM
    zone: str = ""
    agent: bool = True  # the guest agent answers
    writers: bool = True  # its VSS writers succeed
    power: str = "running"
    pid: int = 0  # of the guest's QEMU
    vm_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    options: Mapping[str, Any] = field(default_factory=dict)  # more properties of the VM, as Azure names them


@dataclass
class Snapshot:
    id: str
    name: str
    location: str
    tags: dict[str, str]
    sku: str
    source: ManagedDisk
    frozen: Frozen | None  # None: it failed
    incremental: bool
    network_access: str
    operation: Operation
    created: float
    unique_id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass
class DiskPoint:
    """A disk restore point."""

    id: str
    name: str
    source: ManagedDisk
    frozen: Frozen
    created: float


@dataclass
class RestorePoint:
    id: str
    name: str
    mode: str
    machine: Mapping[str, Any]  # as it was
    points: list[DiskPoint]
    excluded: list[str]
    operation: Operation
    created: float


@dataclass
class Collection:
    id: str
    name: str
    location: str
    tags: dict[str, str]
    source: str  # id of the machine
    points: dict[str, RestorePoint] = field(default_factory=dict)  # by name in lower case
    collection_id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass
class Settings:
    """Of the subscription and the service; tests change them."""

    page_size: int = 50  # entries of a list's page
    operation_seconds: float = 0.0  # how long a long-running operation takes
    retry_after: int = 0  # seconds that the answers of one tell to wait; 0: nothing
    #: https://learn.microsoft.com/azure/virtual-machines/disks-incremental-snapshots, Restrictions.
    snapshots_per_disk: int = 500
    access_per_family: int = 5  # snapshots of one disk with a signature at a time
    #: Whether calls are held to the least time between restore points that Microsoft documents.
    restore_point_interval: bool = False
    role: Mapping[str, Any] | None = None  # a role definition that calls are held to; None: everything is allowed


class Estate:
    """All of it. `lock` is held by whoever changes it."""

    def __init__(
        self, azurite: Azurite, access: Access, faults: Faults, clock: Callable[[], float], subscription: str
    ) -> None:
        self.azurite, self.access, self.faults, self.clock, self.subscription = (
            azurite,
            access,
            faults,
            clock,
            subscription,
        )
        self.lock = threading.RLock()
        self.settings = Settings()
        self.machines: dict[str, Machine] = {}  # each by id in lower case
        self.disks: dict[str, ManagedDisk] = {}
        self.nics: dict[str, Nic] = {}
        self.snapshots: dict[str, Snapshot] = {}
        self.collections: dict[str, Collection] = {}
        self.operations: dict[str, Operation] = {}

    def id_of(self, group: str, kind: str, name: str) -> str:
        return f"/subscriptions/{self.subscription}/resourceGroups/{group}/providers/{kind}/{name}"

    def begin(self, action: str, path: str, location: str, kind: str) -> Operation:
        """A long-running operation that the call begins; the faults armed for it strike here."""
        now = self.clock()
        operation = Operation(kind, location, now, now + self.settings.operation_seconds)
        struck = self.faults.strike_operation(action, path)
        if fault := struck.get("slow"):
            operation.ready = now + fault.seconds
        if fault := struck.get("fail"):
            operation.failure = (fault.code, fault.message)
        self.operations[operation.id] = operation
        return operation

    def status(self, operation: Operation) -> str:
        """InProgress, Succeeded or Failed."""
        if self.clock() < operation.ready:
            return "InProgress"
        return "Failed" if operation.failure else "Succeeded"

    def points(self) -> Iterable[DiskPoint]:
        return [
            point
            for collection in self.collections.values()
            for restore_point in collection.points.values()
            for point in restore_point.points
        ]


def key(identity: str) -> str:
    """Resource ids are compared so: https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules."""
    return identity.lower().rstrip("/")
