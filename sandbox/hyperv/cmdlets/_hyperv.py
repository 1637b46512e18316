"""The Hyper-V module (learn.microsoft.com/powershell/module/hyper-v) on a host's machines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sandbox.hyperv.cmdlets._objects import (
    AdapterObject,
    Device,
    DriveObject,
    FirmwareObject,
    ImageObject,
    SecurityObject,
    ServiceObject,
    SnapshotObject,
    VmObject,
)
from sandbox.hyperv.model import Failed, Machine, Node
from sandbox.hyperv.powershell import (
    Bound,
    Cmdlet,
    ErrorInfo,
    PowerShellError,
    Unsupported,
    equal,
    items,
    like,
    text,
    type_of,
)

#: Not in the module of that version: Get-VMSecurity and Get-VMAssignableDevice came with 2016, GPU partitions with Windows 10 and 2022.
ABSENT = {
    "2012R2": ["Get-VMSecurity", "Get-VMAssignableDevice", "Get-VMGpuPartitionAdapter"],
    "2016": ["Get-VMGpuPartitionAdapter"],
    "2019": ["Get-VMGpuPartitionAdapter"],
    "2022": [],
}


def hyperv_cmdlets(node: Node) -> Sequence[Cmdlet]:
    def get_vm(bound: Bound) -> Iterable[Any]:
        if "Id" in bound:
            found = [machine for machine in node.machines if equal(machine.id, text(bound["Id"]))]
            if not found:
                bound.fail(
                    _not_found(f"Hyper-V was unable to find a virtual machine with id {text(bound['Id'])}.", "GetVM")
                )
            return [VmObject(machine) for machine in found]
        names = [text(name) for name in items(bound["Name"])] if "Name" in bound else ["*"]
        found = []
        for name in names:
            matching = [machine for machine in node.machines if like(machine.name, name)]
            if not matching and "*" not in name:
                bound.fail(_not_found(f'Hyper-V was unable to find a virtual machine with name "{name}".', "GetVM"))
            found += matching
        return [VmObject(machine) for machine in found]

    def of_machine(name: str, make: Callable[[Machine], Iterable[Any]]) -> Cmdlet:
        def act(bound: Bound) -> Iterable[Any]:
            return [made for vm in _machines(node, bound, name) for made in make(vm)]

        return Cmdlet(name, act, ["VM"])

    def get_drives(bound: Bound) -> Iterable[Any]:
        if "VMSnapshot" in bound:
            for snapshot in items(bound["VMSnapshot"]):
                machine, checkpoint = _live(node, snapshot, "GetVMHardDiskDrive")
                for disk, file in checkpoint.frozen.items():
                    yield DriveObject(machine, disk, file, checkpoint.id)
            return
        for machine in _machines(node, bound, "Get-VMHardDiskDrive"):
            for disk in machine.disks:
                yield DriveObject(machine, disk, disk.leaf, machine.id)

    def get_vhd(bound: Bound) -> Iterable[Any]:
        for path in items(bound["Path"]):
            found = node.estate.owner_of(text(path))
            if found is None or not found[2].path.exists():
                message = (
                    f"Getting the mounted storage instance for the path '{text(path)}' failed. "
                    "The operation cannot be performed because the object is not found."
                )
                bound.fail(_error(message, "ObjectNotFound", "GetVHD", "ObjectNotFound"))
                continue
            yield ImageObject(*found)

    def get_snapshots(bound: Bound) -> Iterable[Any]:
        if node.estate.faults.take("cmdlet", "Get-VMSnapshot") is not None:
            return  # the list lags behind what the job has made
        for machine in _machines(node, bound, "Get-VMSnapshot"):
            for checkpoint in list(machine.checkpoints):
                if "Name" not in bound or like(checkpoint.name, text(bound["Name"])):
                    yield SnapshotObject(machine, checkpoint)

    def rename_snapshot(bound: Bound) -> Iterable[Any]:
        _, checkpoint = _live(node, bound["VMSnapshot"], "RenameVMSnapshot")
        fault = node.estate.faults.take("cmdlet", "Rename-VMSnapshot")
        if fault is not None and "message" in fault.settings:
            raise _error(str(fault.settings["message"]), "OperationFailed", "RenameVMSnapshot", "NotSpecified")
        checkpoint.name = text(bound["NewName"])
        return []

    def remove_snapshot(bound: Bound) -> Iterable[Any]:
        for snapshot in items(bound["VMSnapshot"]):
            machine, checkpoint = _live(node, snapshot, "RemoveVMSnapshot")
            fault = node.estate.faults.take("cmdlet", "Remove-VMSnapshot")
            if fault is not None and "message" in fault.settings:
                raise _error(str(fault.settings["message"]), "OperationFailed", "RemoveVMSnapshot", "NotSpecified")
            try:
                node.estate.remove_checkpoint(machine, checkpoint)
            except Failed as error:
                raise _error(str(error), "OperationFailed", "RemoveVMSnapshot", "NotSpecified") from None
        return []

    def power(name: str, state: str, allowed: Sequence[str]) -> Cmdlet:
        def act(bound: Bound) -> Iterable[Any]:
            if name == "Stop-VM" and not bound["TurnOff"]:
                raise Unsupported("Stop-VM without -TurnOff, which waits for the guest")
            for machine in _machines(node, bound, name):
                if machine.state not in allowed:
                    message = f"'{machine.name}' cannot be changed: the operation cannot be performed while the object is in its current state."
                    bound.fail(_error(message, "InvalidState", name.replace("-", ""), "InvalidOperation"))
                    continue
                with node.estate.lock:
                    machine.power(state)
            return []

        switches = ["TurnOff?", "Force?"] if name == "Stop-VM" else []
        return Cmdlet(name, act, ["VM", *switches])

    return (
        Cmdlet("Get-VM", get_vm, ["Name", "Id"], ["Name"]),
        Cmdlet("Get-VMHardDiskDrive", get_drives, ["VM", "VMSnapshot"]),
        Cmdlet("Get-VHD", get_vhd, ["Path"], ["Path"]),
        Cmdlet("Get-VMSnapshot", get_snapshots, ["VM", "Name"]),
        Cmdlet("Rename-VMSnapshot", rename_snapshot, ["VMSnapshot", "NewName"]),
        Cmdlet("Remove-VMSnapshot", remove_snapshot, ["VMSnapshot"]),
        of_machine("Get-VMNetworkAdapter", lambda vm: [AdapterObject(vm, each) for each in vm.adapters]),
        of_machine("Get-VMIntegrationService", lambda vm: [ServiceObject(vm, each) for each in vm.services.values()]),
        of_machine("Get-VMFirmware", _firmware),
        of_machine("Get-VMSecurity", lambda vm: [SecurityObject(vm)]),
        of_machine("Get-VMFibreChannelHba", lambda vm: [Device(vm)] * vm.fibre_channel),
        of_machine("Get-VMAssignableDevice", lambda vm: [Device(vm)] * vm.assigned),
        of_machine("Get-VMGpuPartitionAdapter", lambda vm: [Device(vm)] * vm.gpus),
        power("Start-VM", "Running", ["Off", "Saved"]),
        power("Resume-VM", "Running", ["Paused"]),
        power("Stop-VM", "Off", ["Running", "Paused", "Saved"]),
        power("Save-VM", "Saved", ["Running", "Paused"]),
    )


def _firmware(machine: Machine) -> Iterable[Any]:
    if machine.generation != 2:
        message = "Operation cannot be performed while the virtual machine is of generation 1."
        raise _error(message, "InvalidOperation", "GetVMFirmware", "InvalidOperation")
    return [FirmwareObject(machine)]


def _machines(node: Node, bound: Bound, command: str) -> list[Machine]:
    """The live ones behind -VM. Raises PowerShellError for one that is gone or has moved."""
    found: list[Machine] = []
    for vm in items(bound["VM"]):
        if not isinstance(vm, VmObject):
            raise Unsupported(f"{type_of(vm)} for -VM of {command}")
        if vm.machine not in node.machines:
            message = f"Hyper-V was unable to find a virtual machine with id {vm.machine.id.lower()}."
            raise _not_found(message, command.replace("-", ""))
        found.append(vm.machine)
    return found


def _live(node: Node, snapshot: Any, command: str) -> tuple[Machine, Any]:
    if not isinstance(snapshot, SnapshotObject):
        raise Unsupported(f"{type_of(snapshot)} for -VMSnapshot of {command}")
    if snapshot.machine not in node.machines or snapshot.checkpoint not in snapshot.machine.checkpoints:
        message = "The operation cannot be performed because the object is not found."
        raise _error(message, "ObjectNotFound", command, "ObjectNotFound")
    return snapshot.machine, snapshot.checkpoint


def _not_found(message: str, command: str) -> PowerShellError:
    return _error(message, "InvalidParameter", command, "InvalidArgument")


def _error(message: str, error_id: str, command: str, category: str) -> PowerShellError:
    return PowerShellError(
        ErrorInfo(
            message,
            f"{error_id},Microsoft.HyperV.PowerShell.Commands.{command}",
            category,
            "Microsoft.HyperV.PowerShell.VirtualizationException",
        )
    )
