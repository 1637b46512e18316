"""The instances of Hyper-V's WMI classes, made of the model when they are asked for.

Values as their pages have them: learn.microsoft.com/windows/win32/hyperv_v2/ msvm-computersystem (EnabledState),
msvm-virtualsystemsettingdata (VirtualSystemType, VirtualSystemSubType), msvm-storageallocationsettingdata (HostResource),
msvm-virtualsystemreferencepoint (ReferencePointType 2 is RCT based), msvm-concretejob (JobState).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sandbox.hyperv.model._cim import CimInstance, cim_class, to_text
from sandbox.hyperv.model._disks import Disk, DiskFile
from sandbox.hyperv.model._estate import Job
from sandbox.hyperv.model._machines import Checkpoint, Machine, ReferencePoint
from sandbox.hyperv.model._node import Node
from sandbox.hyperv.powershell import Unsupported

ENABLED_STATES = {"Running": 2, "Off": 3, "Paused": 32768, "Saved": 32769}
_SERVICE_NAMES = {
    "Msvm_VirtualSystemSnapshotService": "Hyper-V Virtual System Snapshot Service",
    "Msvm_VirtualSystemReferencePointService": "Hyper-V Virtual System Reference Point Service",
    "Msvm_ImageManagementService": "Hyper-V Image Management Service",
    "Msvm_VirtualSystemManagementService": "Hyper-V Virtual System Management Service",
}
_RCT_BASED = 2
#: Keys by class, which are what a reference has.
_KEYS = {
    "Msvm_ComputerSystem": ("Name",),
    "Msvm_VirtualSystemReferencePoint": ("InstanceID", "VirtualSystemIdentifier"),
}


def instances(node: Node, name: str) -> list[CimInstance]:
    """All of a class on a host, whose version has it. Raises Unsupported for a class that has no instances here."""
    definition = cim_class(name)
    made = _MAKERS.get(definition.name)
    if definition.name in _SERVICE_NAMES:
        return [_service(node, definition.name)]
    if made is None:
        raise Unsupported(f"instances of {definition.name}, which it does not model")
    with node.estate.lock:
        return list(made(node))


def reference(instance: CimInstance) -> CimInstance:
    """What a REF out parameter gives: the keys alone."""
    keys = _KEYS.get(instance.definition.name, ("InstanceID",))
    return CimInstance(instance.definition.name, {key: instance.values[key] for key in keys}, instance.model)


def fetch(node: Node, given: CimInstance) -> CimInstance | None:
    """The instance that a reference or an older copy of it stands for, as it is now; None where it is gone."""
    keys = _KEYS.get(given.definition.name, ("InstanceID",))
    for found in instances(node, given.definition.name):
        if all(found.values.get(key) == given.values.get(key) for key in keys):
            return found
    return None


def machine_instance(machine: Machine) -> CimInstance:
    return CimInstance(
        "Msvm_ComputerSystem",
        {
            "Name": machine.id,
            "ElementName": machine.name,
            "Caption": "Virtual Machine",
            "Description": "Microsoft Virtual Machine",
            "CreationClassName": "Msvm_ComputerSystem",
            "EnabledState": ENABLED_STATES[machine.state],
            "RequestedState": ENABLED_STATES[machine.state],
            "HealthState": 5,
            "OperationalStatus": [2, 32772] if machine.merging else [2],
        },
        machine,
    )


def reference_instance(point: ReferencePoint, machine: Machine) -> CimInstance:
    return CimInstance(
        "Msvm_VirtualSystemReferencePoint",
        {
            "InstanceID": point.id,
            "VirtualSystemIdentifier": machine.id,
            "ReferencePointType": _RCT_BASED,
            "ConsistencyLevel": point.level,
            "HasAssociatedData": False,
            "VirtualDiskIdentifiers": [machine.instance_id(disk) for disk in point.tracking],
            "ResilientChangeTrackingIdentifiers": list(point.tracking.values()),
        },
        point,
    )


def checkpoint_instance(checkpoint: Checkpoint, machine: Machine) -> CimInstance:
    kind = "Microsoft:Hyper-V:Snapshot:Recovery" if checkpoint.recovery else "Microsoft:Hyper-V:Snapshot:Realized"
    return _settings(machine, checkpoint.id, checkpoint.name, kind, checkpoint)


def job_instance(job: Job) -> CimInstance:
    now = job.current()
    return CimInstance(
        "Msvm_ConcreteJob",
        {
            "InstanceID": job.id,
            "Name": "Msvm_ConcreteJob",
            "Caption": job.what,
            "Description": job.what,
            "ElementName": "Concrete Job",
            "JobState": now.state,
            "PercentComplete": 100 if now.state == 7 else 50,
            "OperationalStatus": [2] if now.state != 10 else [6],
            "ErrorCode": now.code,
            "ErrorDescription": now.description if now.state == 10 else "",
        },
        job,
    )


def data_item(name: str, data: str, source: int) -> str:
    """A key-value pair as the text of an Msvm_KvpExchangeDataItem."""
    return to_text(
        CimInstance(
            "Msvm_KvpExchangeDataItem",
            {
                "Caption": "Key-Value Pair Exchange Data Item",
                "Description": "Microsoft Key-Value Pair Exchange Data Item",
                "ElementName": "Key-Value Pair Exchange Data Item",
                "Source": source,
                "Name": name,
                "Data": data,
            },
        )
    )


def _service(node: Node, name: str) -> CimInstance:
    shown = _SERVICE_NAMES[name]
    values = {"CreationClassName": name, "ElementName": shown, "Name": "vmms", "SystemName": node.name}
    return CimInstance(name, values, node)


def _computers(node: Node) -> Iterator[CimInstance]:
    yield CimInstance(
        "Msvm_ComputerSystem",
        {
            "Name": node.name,
            "ElementName": node.name,
            "Caption": "Hosting Computer System",
            "Description": "Microsoft Hosting Computer System",
            "CreationClassName": "Msvm_ComputerSystem",
            "EnabledState": 2,
            "RequestedState": 12,
            "HealthState": 5,
            "OperationalStatus": [2],
        },
        node,
    )
    yield from (machine_instance(machine) for machine in node.machines)


def _settings(machine: Machine, identifier: str, name: str, kind: str, model: Any) -> CimInstance:
    values = {
        "InstanceID": f"Microsoft:{identifier}",
        "ConfigurationID": identifier,
        "ElementName": name,
        "VirtualSystemIdentifier": machine.id,
        "VirtualSystemType": kind,
        "VirtualSystemSubType": f"Microsoft:Hyper-V:SubType:{machine.generation}",
        "SecureBootEnabled": machine.secure_boot and machine.generation == 2,
        "ConfigurationDataRoot": f"C:\\VMs\\{machine.name}",
        "Version": machine.version,
    }
    return CimInstance("Msvm_VirtualSystemSettingData", values, model)


def _all_settings(node: Node) -> Iterator[CimInstance]:
    for machine in node.machines:
        yield _settings(machine, machine.id, machine.name, "Microsoft:Hyper-V:System:Realized", machine)
        yield from (checkpoint_instance(checkpoint, machine) for checkpoint in machine.checkpoints)


def _storage(node: Node) -> Iterator[CimInstance]:
    for machine in node.machines:
        for disk in machine.disks:
            if disk.leaf is not None:
                yield _allocation(machine, disk, disk.leaf, machine.id)
        for checkpoint in machine.checkpoints:
            for disk, file in checkpoint.frozen.items():
                yield _allocation(machine, disk, file, checkpoint.id)


def _allocation(machine: Machine, disk: Disk, file: DiskFile, owner: str) -> CimInstance:
    identifier = machine.instance_id(disk, owner)
    return CimInstance(
        "Msvm_StorageAllocationSettingData",
        {
            "InstanceID": identifier,
            "ElementName": "Hard Disk Image",
            "ResourceType": 31,
            "ResourceSubType": "Microsoft:Hyper-V:Virtual Hard Disk",
            "HostResource": [file.name],
            "Parent": f"{identifier.removesuffix(chr(92) + 'L')}\\D",
        },
        disk,
    )


def _resources(node: Node) -> Iterator[CimInstance]:
    """The drives, with the disk of the host where one is passed through."""
    for machine in node.machines:
        for disk in machine.disks:
            passed = disk.passed is not None
            kind = "Physical Disk Drive" if passed else "Synthetic Disk Drive"
            yield CimInstance(
                "Msvm_ResourceAllocationSettingData",
                {
                    "InstanceID": f"{machine.instance_id(disk).removesuffix(chr(92) + 'L')}\\D",
                    "ElementName": "Hard Drive",
                    "ResourceType": 17,
                    "ResourceSubType": f"Microsoft:Hyper-V:{kind}",
                    "AddressOnParent": str(disk.location),
                    "HostResource": [f"Msvm_DiskDrive.DeviceID=Microsoft:{disk.passed}"] if passed else None,
                },
                disk,
            )


def _adapters(node: Node) -> Iterator[CimInstance]:
    for machine in node.machines:
        for adapter in machine.adapters:
            values = {"InstanceID": f"Microsoft:{machine.id}\\{adapter.mac}", "ElementName": adapter.name}
            yield CimInstance("Msvm_SyntheticEthernetPortSettingData", {**values, "Address": adapter.mac}, adapter)


def _component(key: str, class_name: str) -> Callable[[Node], Iterator[CimInstance]]:
    def make(node: Node) -> Iterator[CimInstance]:
        for machine in node.machines:
            service = machine.services[key]
            if machine.state != "Running" or not service.enabled:
                continue  # a component is there while its machine runs
            values: dict[str, Any] = {
                "SystemName": machine.id,
                "DeviceID": f"Microsoft:{machine.id}\\{service.guid}",
                "Name": service.name,
                "ElementName": service.name,
                "EnabledState": 2,
                "OperationalStatus": [2] if service.contact else [12],
                "StatusDescriptions": ["OK"] if service.contact else ["No Contact"],
            }
            if key == "kvp":
                told = [data_item(name, data, 2) for name, data in machine.facts.items()] if service.contact else None
                values |= {"GuestIntrinsicExchangeItems": told, "GuestExchangeItems": None}
            yield CimInstance(class_name, values, machine)

    return make


def _exchange_settings(node: Node) -> Iterator[CimInstance]:
    for machine in node.machines:
        yield CimInstance(
            "Msvm_KvpExchangeComponentSettingData",
            {
                "InstanceID": f"Microsoft:{machine.id}\\{machine.services['kvp'].guid}",
                "ElementName": "Key-Value Pair Exchange",
                "HostExchangeItems": None,
                "HostOnlyItems": [data_item(name, data, 4) for name, data in machine.notes.items()] or None,
            },
            machine,
        )


def _security(node: Node) -> Iterator[CimInstance]:
    for machine in node.machines:
        values = {"TpmEnabled": machine.tpm, "ShieldingRequested": machine.shielded}
        yield CimInstance("Msvm_SecuritySettingData", values, machine)


_MAKERS: Mapping[str, Callable[[Node], Iterator[CimInstance]]] = {
    "Win32_OperatingSystem": lambda node: iter([CimInstance("Win32_OperatingSystem", node.facts(), node)]),
    "Msvm_ComputerSystem": _computers,
    "Msvm_VirtualSystemSettingData": _all_settings,
    "Msvm_StorageAllocationSettingData": _storage,
    "Msvm_ResourceAllocationSettingData": _resources,
    "Msvm_SyntheticEthernetPortSettingData": _adapters,
    "Msvm_KvpExchangeComponent": _component("kvp", "Msvm_KvpExchangeComponent"),
    "Msvm_ShutdownComponent": _component("shutdown", "Msvm_ShutdownComponent"),
    "Msvm_VssComponent": _component("vss", "Msvm_VssComponent"),
    "Msvm_KvpExchangeComponentSettingData": _exchange_settings,
    "Msvm_SecuritySettingData": _security,
    "Msvm_VirtualSystemReferencePoint": lambda node: (
        reference_instance(point, machine) for machine in node.machines for point in machine.references
    ),
    "Msvm_ConcreteJob": lambda node: (job_instance(job) for job in node.estate.jobs.values()),
}
