"""What the Hyper-V module's cmdlets give (types of Microsoft.HyperV.PowerShell, as its documentation lists their members)."""

from __future__ import annotations

import uuid
from typing import Any

from sandbox.hyperv.model import Adapter, Checkpoint, Disk, DiskFile, Machine, Service
from sandbox.hyperv.powershell import EnumValue, NetObject

_SPACE = "Microsoft.HyperV.PowerShell"
_STATES = {"Running": 2, "Off": 3, "Saved": 6, "Paused": 9}
_SNAPSHOT_TYPES = {"Standard": 0, "Recovery": 1}
_FORMATS = {".vhd": ("VHD", 2), ".avhd": ("VHD", 2), ".vhdx": ("VHDX", 3), ".avhdx": ("VHDX", 3)}
_TYPES = {"Fixed": 2, "Dynamic": 3, "Differencing": 4}


def on_off(value: bool) -> EnumValue:
    return EnumValue("On" if value else "Off", 0 if value else 1, f"{_SPACE}.OnOffState")


class VmObject(NetObject):
    type_name = f"{_SPACE}.VirtualMachine"

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def _status(self) -> list[EnumValue]:
        found = [EnumValue("Ok", 2, f"{_SPACE}.VMOperationalStatus")]
        if self.machine.merging:
            found.append(EnumValue("MergingDisks", 32772, f"{_SPACE}.VMOperationalStatus"))
        return found

    properties = {  # noqa: RUF012 - a table of the class, as its base declares
        "Id": lambda vm: uuid.UUID(vm.machine.id),
        "VMId": lambda vm: uuid.UUID(vm.machine.id),
        "Name": lambda vm: vm.machine.name,
        "VMName": lambda vm: vm.machine.name,
        "ComputerName": lambda vm: vm.machine.node,
        "State": lambda vm: EnumValue(vm.machine.state, _STATES[vm.machine.state], f"{_SPACE}.VMState"),
        "OperationalStatus": _status,
        "Generation": lambda vm: vm.machine.generation,
        "Version": lambda vm: vm.machine.version,
        "ProcessorCount": lambda vm: vm.machine.cpus,
        "MemoryStartup": lambda vm: vm.machine.memory,
        "MemoryAssigned": lambda vm: vm.machine.memory if vm.machine.state == "Running" else 0,
        "DynamicMemoryEnabled": lambda vm: vm.machine.dynamic_memory,
        "IsClustered": lambda vm: vm.machine.clustered,
        "ReplicationMode": lambda vm: EnumValue(
            vm.machine.replication,
            ["None", "Primary", "Replica"].index(vm.machine.replication),
            f"{_SPACE}.VMReplicationMode",
        ),
        "Notes": lambda vm: "",
        "Path": lambda vm: f"C:\\VMs\\{vm.machine.name}",
    }

    def text(self) -> str:
        return f"VirtualMachine (Name = '{self.machine.name}') [Id = '{uuid.UUID(self.machine.id)}']"


class SnapshotObject(NetObject):
    type_name = f"{_SPACE}.VMSnapshot"

    def __init__(self, machine: Machine, checkpoint: Checkpoint) -> None:
        self.machine = machine
        self.checkpoint = checkpoint

    def _kind(self) -> EnumValue:
        name = "Recovery" if self.checkpoint.recovery else "Standard"
        return EnumValue(name, _SNAPSHOT_TYPES[name], f"{_SPACE}.SnapshotType")

    properties = {  # noqa: RUF012
        "Id": lambda snapshot: uuid.UUID(snapshot.checkpoint.id),
        "Name": lambda snapshot: snapshot.checkpoint.name,
        "VMId": lambda snapshot: uuid.UUID(snapshot.machine.id),
        "VMName": lambda snapshot: snapshot.machine.name,
        "SnapshotType": _kind,
        "CreationTime": lambda snapshot: snapshot.checkpoint.created,
        "State": lambda snapshot: EnumValue("Off", 3, f"{_SPACE}.VMState"),
    }

    def text(self) -> str:
        return f"VMSnapshot (Name = '{self.checkpoint.name}') [Id = '{uuid.UUID(self.checkpoint.id)}']"


class DriveObject(NetObject):
    """`file` is that of the machine now, or of a checkpoint; None where the disk is passed through."""

    type_name = f"{_SPACE}.HardDiskDrive"

    def __init__(self, machine: Machine, disk: Disk, file: DiskFile | None, owner: str) -> None:
        self.machine, self.disk, self.file, self.owner = machine, disk, file, owner

    properties = {  # noqa: RUF012
        "ControllerType": lambda drive: EnumValue(
            drive.disk.controller, ["IDE", "SCSI"].index(drive.disk.controller), f"{_SPACE}.ControllerType"
        ),
        "ControllerNumber": lambda drive: drive.disk.controller_number,
        "ControllerLocation": lambda drive: drive.disk.location,
        "Path": lambda drive: (
            drive.file.name if drive.file is not None else f"Disk {drive.disk.passed} 40.00 GB Bus 0 Lun 0"
        ),
        "DiskNumber": lambda drive: drive.disk.passed,
        "SupportPersistentReservations": lambda drive: drive.disk.shared,
        "Id": lambda drive: drive.machine.instance_id(drive.disk, drive.owner),
        "VMName": lambda drive: drive.machine.name,
    }


class ImageObject(NetObject):
    """What Get-VHD gives."""

    type_name = "Microsoft.Vhd.PowerShell.VirtualHardDisk"

    def __init__(self, machine: Machine, disk: Disk, file: DiskFile) -> None:
        self.machine, self.disk, self.file = machine, disk, file

    def _kind(self) -> EnumValue:
        name = "Differencing" if self.file.parent is not None else "Fixed" if self.disk.fixed else "Dynamic"
        return EnumValue(name, _TYPES[name], "Microsoft.Vhd.PowerShell.VhdType")

    properties = {  # noqa: RUF012
        "Path": lambda image: image.file.name,
        "VhdFormat": lambda image: EnumValue(*_FORMATS[image.file.suffix], "Microsoft.Vhd.PowerShell.VhdFormat"),
        "VhdType": _kind,
        "Size": lambda image: image.disk.size,
        "FileSize": lambda image: image.file.path.stat().st_size,
        "LogicalSectorSize": lambda image: image.disk.sector,
        "PhysicalSectorSize": lambda image: 4096,
        "ParentPath": lambda image: image.file.parent.name if image.file.parent is not None else "",
        "DiskIdentifier": lambda image: image.disk.id,
        "Attached": lambda image: image.machine.state == "Running",
    }


class AdapterObject(NetObject):
    type_name = f"{_SPACE}.VMNetworkAdapter"

    def __init__(self, machine: Machine, adapter: Adapter) -> None:
        self.machine, self.adapter = machine, adapter

    properties = {  # noqa: RUF012
        "Name": lambda made: made.adapter.name,
        "MacAddress": lambda made: made.adapter.mac,
        "SwitchName": lambda made: made.adapter.network,
        "IPAddresses": lambda made: [
            address
            for key in ("NetworkAddressIPv4", "NetworkAddressIPv6")
            for address in made.machine.facts.get(key, "").split(";")
            if address
        ],
        "VMName": lambda made: made.machine.name,
    }


class ServiceObject(NetObject):
    type_name = f"{_SPACE}.VMIntegrationComponent"

    def __init__(self, machine: Machine, service: Service) -> None:
        self.machine, self.service = machine, service

    def _status(self) -> EnumValue | None:
        if self.machine.state != "Running" or not self.service.enabled:
            return None
        ok = self.service.contact
        kind = f"{_SPACE}.VMIntegrationComponentOperationalStatus"
        return EnumValue("Ok", 2, kind) if ok else EnumValue("NoContact", 12, kind)

    properties = {  # noqa: RUF012
        "Id": lambda made: f"Microsoft:{made.machine.id}\\{made.service.guid}",
        "Name": lambda made: made.service.name,
        "Enabled": lambda made: made.service.enabled,
        "PrimaryOperationalStatus": _status,
        "PrimaryStatusDescription": lambda made: "OK" if made.service.contact else "No Contact",
    }


class FirmwareObject(NetObject):
    type_name = f"{_SPACE}.VMFirmware"

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def _order(self) -> list[Any]:
        drives = [
            BootEntry("Drive", 0, DriveObject(self.machine, disk, disk.leaf, self.machine.id))
            for disk in self.machine.disks
        ]
        return [
            *drives,
            *(BootEntry("Network", 2, AdapterObject(self.machine, each)) for each in self.machine.adapters),
        ]

    properties = {  # noqa: RUF012
        "SecureBoot": lambda made: on_off(made.machine.secure_boot),
        "SecureBootTemplate": lambda made: "MicrosoftUEFICertificateAuthority",
        "BootOrder": _order,
    }


class BootEntry(NetObject):
    type_name = f"{_SPACE}.VMBootSource"

    def __init__(self, kind: str, number: int, device: NetObject) -> None:
        self.kind = EnumValue(kind, number, f"{_SPACE}.BootSourceType")
        self.device = device

    properties = {"BootType": "kind", "Device": "device"}  # noqa: RUF012


class SecurityObject(NetObject):
    type_name = f"{_SPACE}.VMSecurity"

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    properties = {  # noqa: RUF012
        "TpmEnabled": lambda made: made.machine.tpm,
        "Shielded": lambda made: made.machine.shielded,
        "KsdEnabled": lambda made: False,
        "EncryptStateAndVmMigrationTraffic": lambda made: made.machine.tpm,
    }


class Device(NetObject):
    """A device of the host in a machine, of which only the number matters here."""

    type_name = f"{_SPACE}.VMDevice"

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    properties = {"VMName": lambda made: made.machine.name}  # noqa: RUF012
