"""FailoverClusters and VirtualMachineManager (learn.microsoft.com/powershell/module/failoverclusters, .../virtualmachinemanager)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from sandbox.hyperv.model import Cluster, Machine, Node
from sandbox.hyperv.powershell import (
    Bound,
    Cmdlet,
    EnumValue,
    ErrorInfo,
    NetObject,
    PowerShellError,
    Unsupported,
    items,
    like,
    text,
)

MODULES = ("Hyper-V", "FailoverClusters", "VirtualMachineManager")


class Named(NetObject):
    """A module, a cluster, a server: something with a name."""

    def __init__(self, name: str) -> None:
        self.name = name

    properties = {"Name": "name"}  # noqa: RUF012 - a table of the class, as its base declares

    def text(self) -> str:
        return self.name


class ClusterNode(Named):
    type_name = "Microsoft.FailoverClusters.PowerShell.ClusterNode"

    def __init__(self, node: Node) -> None:
        super().__init__(node.name)
        self.state = EnumValue(
            "Up" if node.up else "Down", 0 if node.up else 1, "Microsoft.FailoverClusters.PowerShell.ClusterNodeState"
        )

    properties = {"Name": "name", "State": "state"}  # noqa: RUF012


class ClusterGroup(Named):
    type_name = "Microsoft.FailoverClusters.PowerShell.ClusterGroup"

    def __init__(self, machine: Machine, owner: Node) -> None:
        super().__init__(machine.name)
        self.owner = ClusterNode(owner)
        online = machine.state == "Running"
        self.state = EnumValue(
            "Online" if online else "Offline",
            0 if online else 1,
            "Microsoft.FailoverClusters.PowerShell.ClusterGroupState",
        )

    properties = {"Name": "name", "State": "state", "OwnerNode": "owner"}  # noqa: RUF012


class ScMachine(NetObject):
    type_name = "Microsoft.SystemCenter.VirtualMachineManager.VM"

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    properties = {  # noqa: RUF012
        "VMId": lambda vm: vm.machine.id,
        "ID": lambda vm: uuid.UUID(vm.machine.id),
        "Name": lambda vm: vm.machine.name,
        "HostName": lambda vm: vm.machine.node,
        "VMHost": lambda vm: Named(vm.machine.node),
        "VirtualizationPlatform": lambda vm: EnumValue(
            "HyperV", 1, "Microsoft.VirtualManager.Remoting.VirtualizationPlatform"
        ),
        "Status": lambda vm: vm.machine.state,
    }


def site_cmdlets(node: Node) -> Sequence[Cmdlet]:
    present = {"Hyper-V": True, "FailoverClusters": node.cluster is not None, "VirtualMachineManager": node.vmm}

    def cluster(command: str) -> Cluster:
        if node.cluster is None or not node.cluster.running:
            raise PowerShellError(
                ErrorInfo(
                    "The cluster service is not running.  Make sure that the service is running on all nodes in the cluster.",
                    f"{command},Microsoft.FailoverClusters.PowerShell.{command}Command",
                    "ConnectionError",
                    "Microsoft.FailoverClusters.PowerShell.ClusterCmdletException",
                )
            )
        return node.cluster

    def get_module(bound: Bound) -> Iterable[Any]:
        if not bound["ListAvailable"]:
            raise Unsupported("Get-Module without -ListAvailable")
        wanted = [text(name) for name in items(bound["Name"])]
        return [Named(name) for name in MODULES if present[name] and any(like(name, each) for each in wanted)]

    def import_module(bound: Bound) -> Iterable[Any]:
        name = text(bound["Name"])
        if not any(known.lower() == name.lower() and there for known, there in present.items()):
            message = f"The specified module '{name}' was not loaded because no valid module file was found in any module directory."
            bound.fail(
                PowerShellError(
                    ErrorInfo(
                        message,
                        "Modules_ModuleNotFound,Microsoft.PowerShell.Commands.ImportModuleCommand",
                        "ResourceUnavailable",
                        "System.IO.FileNotFoundException",
                        target=name,
                    )
                )
            )
        return []

    def get_group(bound: Bound) -> Iterable[Any]:
        found = cluster("Get-ClusterGroup")
        machine = node.estate.find(text(bound["VMId"]))
        if machine is None or not machine.clustered:
            error = ErrorInfo(
                f"The virtual machine with id '{text(bound['VMId'])}' was not found in the cluster.",
                "Get-ClusterGroup,Microsoft.FailoverClusters.PowerShell.GetClusterGroupCommand",
                "ObjectNotFound",
                "Microsoft.FailoverClusters.PowerShell.ClusterCmdletException",
            )
            bound.fail(PowerShellError(error))
            return []
        return [ClusterGroup(machine, next(each for each in found.nodes if each.name == machine.node))]

    def get_machines(bound: Bound) -> Iterable[Any]:
        with node.estate.lock:
            return [ScMachine(machine) for machine in node.estate.machines.values()]

    cmdlets = [
        Cmdlet("Get-Module", get_module, ["ListAvailable?", "Name"], ["Name"]),
        Cmdlet("Import-Module", import_module, ["Name"], ["Name"]),
    ]
    if node.cluster is not None:
        cmdlets += [
            Cmdlet("Get-Cluster", lambda bound: [Named(cluster("Get-Cluster").name)], []),
            Cmdlet(
                "Get-ClusterNode", lambda bound: [ClusterNode(each) for each in cluster("Get-ClusterNode").nodes], []
            ),
            Cmdlet("Get-ClusterGroup", get_group, ["VMId"]),
        ]
    if node.vmm:
        cmdlets += [
            Cmdlet(
                "Get-SCVMMServer",
                lambda bound: [Named(text(bound["ComputerName"]))],
                ["ComputerName"],
                ["ComputerName"],
            ),
            Cmdlet("Get-SCVirtualMachine", get_machines, ["VMMServer"]),
        ]
    return cmdlets


def site_absent(node: Node) -> Sequence[str]:
    """Cmdlets of modules that the host does not have."""
    absent: list[str] = []
    if node.cluster is None:
        absent += ["Get-Cluster", "Get-ClusterNode", "Get-ClusterGroup"]
    if not node.vmm:
        absent += ["Get-SCVMMServer", "Get-SCVirtualMachine"]
    return absent
