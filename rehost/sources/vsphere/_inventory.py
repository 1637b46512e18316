"""What vCenter knows of its machines, in one traversal: a container view and one property collector over it.

A call a machine would cost a thousand round trips for a thousand machines; this costs one a page of a few hundred.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pyVmomi import vim, vmodl

from rehost.sources._errors import CredentialsRefused
from rehost.sources.vsphere._client import Client

#: Leaf paths alone: a whole `runtime` or `summary` carries far more, and values that pyVmomi cannot read from every server.
MACHINE_PATHS = (
    "name",
    "parent",
    "config.uuid",
    "config.instanceUuid",
    "config.template",
    "config.guestId",
    "config.guestFullName",
    "config.firmware",
    "config.bootOptions",
    "config.version",
    "config.changeTrackingEnabled",
    "config.keyId",
    "config.hardware.numCPU",
    "config.hardware.memoryMB",
    "config.hardware.device",
    "capability.changeTrackingSupported",
    "runtime.powerState",
    "runtime.connectionState",
    "runtime.consolidationNeeded",
    "runtime.host",
    "guest.toolsRunningStatus",
    "guest.hostName",
    "guest.ipAddress",
    "snapshot.rootSnapshotList",
    "customValue",
)
_NAMED = (vim.Folder, vim.Datacenter, vim.HostSystem, vim.Network)
_PAGE = 200  # objects an answer


@dataclass(frozen=True)
class SnapshotEntry:
    moref: str
    name: str
    description: str
    created: float  # seconds since 1970
    quiesced: bool


@dataclass(frozen=True)
class DiskRecord:
    key: str  # its place on the machine's buses, scsi0-1: the same in every run
    device_key: int
    label: str
    size: int  # bytes
    file: str  # "[datastore] folder/name.vmdk"; empty for what is no file
    mode: str  # persistent, independent_persistent, ...
    backing: str  # flat, sparse, sesparse, rdm, other
    has_parent: bool  # it is a delta on top of another file
    sharing: str  # of the disk or its bus; empty where it is the machine's own
    change_id: str | None


@dataclass(frozen=True)
class NicRecord:
    label: str
    mac: str
    network: str


@dataclass(frozen=True)
class MachineRecord:
    moref: str
    name: str
    folder: str  # inventory path, "/DC0/vm/prod"
    datacenter: str  # its path within the inventory, "DC0" or "folder/DC0"
    host: str
    uuid: str
    instance_uuid: str
    template: bool
    guest_id: str
    guest: str
    firmware: str
    secure_boot: bool
    hardware_version: str
    cpus: int
    memory_mib: int
    power: str
    connection: str
    tools_running: bool
    cbt_enabled: bool
    cbt_supported: bool
    encrypted: bool
    consolidation_needed: bool
    host_name: str
    address: str
    disks: Sequence[DiskRecord]
    nics: Sequence[NicRecord]
    devices: Sequence[str]  # what does not travel: usb, pci, tpm
    snapshots: Sequence[SnapshotEntry] = field(default=())  # in the order of their tree
    tags: Mapping[str, str] = field(default_factory=dict)  # custom attributes by name; of discovery alone

    @property
    def path(self) -> str:
        return f"{self.folder}/{self.name}"

    @property
    def powered_on(self) -> bool:
        return self.power == "poweredOn"


def machines(client: Client) -> Iterator[MachineRecord]:
    """Every machine that is no template."""
    found = _traverse(client, {vim.VirtualMachine: MACHINE_PATHS, **dict.fromkeys(_NAMED, ("name", "parent"))})
    objects = {moref: properties for moref, properties in found if moref[0] != "VirtualMachine"}
    names = _Names(objects)
    attributes = _attributes(client)
    for (_, moref), properties in ((each, values) for each, values in found if each[0] == "VirtualMachine"):
        if not properties.get("config.template", False):
            tags = {
                attributes[each.key]: each.value
                for each in properties.get("customValue") or ()
                if each.key in attributes
            }
            yield replace(record(moref, properties, names), tags=tags)


def _attributes(client: Client) -> Mapping[int, str]:
    """Names of the custom attributes, by key. An account that may not see them sees none, and everything else."""
    manager = client.content.customFieldsManager
    if manager is None:
        return {}
    try:
        return {each.key: str(each.name) for each in retrieve(client, manager, ("field",)).get("field") or ()}
    except CredentialsRefused:  # it lacks the privilege
        return {}


def machine(client: Client, moref: str) -> MachineRecord:
    """One machine. Raises ObjectGone."""
    target = client.managed(vim.VirtualMachine, moref)
    properties = retrieve(client, target, MACHINE_PATHS)
    return record(moref, properties, _AskedNames(client))


def names(client: Client) -> Sequence[tuple[str, str]]:
    """(moref, name) of every machine."""
    return [
        (moref, str(values.get("name", "")))
        for (_, moref), values in _traverse(client, {vim.VirtualMachine: ("name",)})
    ]


def retrieve(client: Client, target: Any, paths: Sequence[str]) -> Mapping[str, Any]:
    """Some properties of one object; those that are unset are missing. Raises ObjectGone."""
    collector = client.content.propertyCollector
    spec = vmodl.query.PropertyCollector.FilterSpec(
        objectSet=[vmodl.query.PropertyCollector.ObjectSpec(obj=target)],
        propSet=[vmodl.query.PropertyCollector.PropertySpec(type=type(target), pathSet=list(paths))],
    )

    def ask() -> Mapping[str, Any]:
        found = collector.RetrieveContents([spec])
        return _values(found[0]) if found else {}

    return client.call(ask, f"asking for {target._moId}")


def _traverse(client: Client, wanted: Mapping[Any, Sequence[str]]) -> list[tuple[tuple[str, str], Mapping[str, Any]]]:
    """((type, moref), properties) of all objects of the wanted types, page by page."""
    content = client.content
    collector = vmodl.query.PropertyCollector

    def whole() -> list[tuple[tuple[str, str], Mapping[str, Any]]]:
        view = content.viewManager.CreateContainerView(content.rootFolder, list(wanted), True)
        try:
            spec = collector.FilterSpec(
                objectSet=[
                    collector.ObjectSpec(
                        obj=view,
                        skip=True,
                        selectSet=[collector.TraversalSpec(type=vim.view.ContainerView, path="view", skip=False)],
                    )
                ],
                propSet=[collector.PropertySpec(type=kind, pathSet=list(paths)) for kind, paths in wanted.items()],
            )
            found: list[tuple[tuple[str, str], Mapping[str, Any]]] = []
            page = content.propertyCollector.RetrievePropertiesEx([spec], collector.RetrieveOptions(maxObjects=_PAGE))
            while page is not None:
                found.extend(((each.obj._wsdlName, each.obj._moId), _values(each)) for each in page.objects)
                if not page.token:
                    break
                page = content.propertyCollector.ContinueRetrievePropertiesEx(page.token)
            return found
        finally:
            view.DestroyView()

    return client.call(whole, "listing the inventory")


def _values(content: Any) -> Mapping[str, Any]:
    # Without a session, or the right, an answer is no fault: it has the properties among the missing ones.
    for missing in content.missingSet or ():
        if isinstance(missing.fault, vim.fault.NoPermission):  # NotAuthenticated is one
            raise missing.fault
    return {each.name: each.val for each in content.propSet}


class _Names:
    """Names and paths of what machines are in and on, out of one traversal."""

    def __init__(self, objects: Mapping[tuple[str, str], Mapping[str, Any]]) -> None:
        self._objects = {moref: (kind, values) for (kind, moref), values in objects.items()}

    def look_up(self, reference: Any) -> tuple[str, str, Any]:
        """(type, name, parent) of an object."""
        kind, values = self._objects.get(reference._moId, ("", {}))
        return kind, str(values.get("name", "")), values.get("parent")


class _AskedNames(_Names):
    """The same, asked for one by one: for one machine that is fewer bytes than the whole inventory."""

    def __init__(self, client: Client) -> None:
        super().__init__({})
        self._client = client

    def look_up(self, reference: Any) -> tuple[str, str, Any]:
        values = retrieve(self._client, reference, ("name", "parent"))
        return reference._wsdlName, str(values.get("name", "")), values.get("parent")


def record(moref: str, values: Mapping[str, Any], names: _Names) -> MachineRecord:
    devices = list(values.get("config.hardware.device") or ())
    folder, datacenter = _place(values.get("parent"), names)
    host = values.get("runtime.host")
    boot = values.get("config.bootOptions")
    return MachineRecord(
        moref=moref,
        name=str(values.get("name", moref)),
        folder=folder,
        datacenter=datacenter,
        host=names.look_up(host)[1] if host is not None else "",
        uuid=str(values.get("config.uuid") or ""),
        instance_uuid=str(values.get("config.instanceUuid") or ""),
        template=bool(values.get("config.template", False)),
        guest_id=str(values.get("config.guestId") or ""),
        guest=str(values.get("config.guestFullName") or ""),
        firmware="uefi" if values.get("config.firmware") == "efi" else "bios",
        secure_boot=bool(getattr(boot, "efiSecureBootEnabled", False)),
        hardware_version=str(values.get("config.version") or ""),
        cpus=int(values.get("config.hardware.numCPU") or 0),
        memory_mib=int(values.get("config.hardware.memoryMB") or 0),
        power=str(values.get("runtime.powerState") or ""),
        connection=str(values.get("runtime.connectionState") or "connected"),
        tools_running=values.get("guest.toolsRunningStatus") == "guestToolsRunning",
        cbt_enabled=bool(values.get("config.changeTrackingEnabled", False)),
        cbt_supported=bool(values.get("capability.changeTrackingSupported", False)),
        encrypted=values.get("config.keyId") is not None,
        consolidation_needed=bool(values.get("runtime.consolidationNeeded", False)),
        host_name=str(values.get("guest.hostName") or ""),
        address=str(values.get("guest.ipAddress") or ""),
        disks=disks(devices, boot),
        nics=[_nic(each, names) for each in devices if isinstance(each, vim.vm.device.VirtualEthernetCard)],
        devices=_foreign(devices),
        snapshots=list(snapshots(values.get("snapshot.rootSnapshotList") or ())),
    )


def _place(parent: Any, names: _Names) -> tuple[str, str]:
    """The folder's inventory path and the datacenter's. A machine in a vApp has no folder."""
    parts: list[str] = []
    datacenter_at = None
    while parent is not None:
        kind, name, above = names.look_up(parent)
        if above is None:  # the root folder, which paths leave out
            break
        # vCenter keeps %, / and \ of names as %25, %2f and %5c; in a path they stay like that.
        parts.append(name)
        if kind == "Datacenter":
            datacenter_at = len(parts) - 1
        parent = above
    datacenter = "/".join(reversed(parts[datacenter_at:])) if datacenter_at is not None else ""
    return "/" + "/".join(reversed(parts)), datacenter


def disks(devices: Sequence[Any], boot: Any = None) -> list[DiskRecord]:
    """The root disk first: the first one of the boot order, else the one with the lowest key."""
    controllers = {each.key: each for each in devices if isinstance(each, vim.vm.device.VirtualController)}
    found = [_disk(each, controllers) for each in devices if isinstance(each, vim.vm.device.VirtualDisk)]
    order = [each.deviceKey for each in getattr(boot, "bootOrder", None) or () if hasattr(each, "deviceKey")]
    first = next((key for key in order if any(disk.device_key == key for disk in found)), None)
    return sorted(found, key=lambda disk: (disk.device_key != first, disk.device_key))


_BUSES = (
    (vim.vm.device.VirtualSCSIController, "scsi"),
    (vim.vm.device.VirtualNVMEController, "nvme"),
    (vim.vm.device.VirtualSATAController, "sata"),
    (vim.vm.device.VirtualIDEController, "ide"),
)


def _disk(device: Any, controllers: Mapping[int, Any]) -> DiskRecord:
    controller = controllers.get(device.controllerKey)
    bus = next((name for kind, name in _BUSES if isinstance(controller, kind)), "disk")
    backing = device.backing
    kind = {
        "VirtualDiskFlatVer2BackingInfo": "flat",
        "VirtualDiskSeSparseBackingInfo": "sesparse",
        "VirtualDiskSparseVer2BackingInfo": "sparse",
        "VirtualDiskRawDiskMappingVer1BackingInfo": "rdm",
        "VirtualDiskRawDiskVer2BackingInfo": "rdm",
    }.get(backing._wsdlName, "other")
    shared = str(getattr(controller, "sharedBus", "") or "")
    sharing = str(getattr(backing, "sharing", "") or "")
    return DiskRecord(
        key=f"{bus}{getattr(controller, 'busNumber', 0)}-{device.unitNumber}"
        if controller is not None
        else f"disk-{device.key}",
        device_key=device.key,
        label=str(getattr(device.deviceInfo, "label", "") or device.key),
        size=int(device.capacityInBytes or device.capacityInKB * 1024),
        file=str(getattr(backing, "fileName", "") or ""),
        mode=str(getattr(backing, "diskMode", "") or ""),
        backing=kind,
        has_parent=getattr(backing, "parent", None) is not None,
        sharing="multi-writer"
        if sharing == "sharingMultiWriter"
        else shared
        if shared not in ("", "noSharing")
        else "",
        change_id=getattr(backing, "changeId", None) or None,
    )


def _nic(device: Any, names: _Names) -> NicRecord:
    network = getattr(device.backing, "network", None)
    name = names.look_up(network)[1] if network is not None else str(getattr(device.backing, "deviceName", "") or "")
    return NicRecord(str(getattr(device.deviceInfo, "label", "") or ""), str(device.macAddress or ""), name)


_FOREIGN = (
    (vim.vm.device.VirtualUSB, "usb"),
    (vim.vm.device.VirtualPCIPassthrough, "pci"),
    (vim.vm.device.VirtualSCSIPassthrough, "scsi"),
    (vim.vm.device.VirtualTPM, "tpm"),
)


def _foreign(devices: Sequence[Any]) -> list[str]:
    return [name for kind, name in _FOREIGN if any(isinstance(each, kind) for each in devices)]


def snapshots(tree: Sequence[Any]) -> Iterator[SnapshotEntry]:
    for each in tree:
        yield SnapshotEntry(
            moref=each.snapshot._moId,
            name=str(each.name or ""),
            description=str(each.description or ""),
            created=each.createTime.timestamp(),
            quiesced=bool(each.quiesced),
        )
        yield from snapshots(each.childSnapshotList or ())
