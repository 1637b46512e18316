"""One host: its name, its Windows, the machines that run on it, the cluster that it is in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sandbox.hyperv.model._estate import Estate
from sandbox.hyperv.model._machines import Machine

#: Builds of Windows Server, the newest configuration version of their machines, and what they do not have yet.
VERSIONS = {
    "2012R2": ("9600", "6.3.9600", "5.0"),
    "2016": ("14393", "10.0.14393", "8.0"),
    "2019": ("17763", "10.0.17763", "9.0"),
    "2022": ("20348", "10.0.20348", "10.0"),
}
#: Msvm_VirtualSystemReferencePoint and what belongs to it: "Minimum supported server: Windows Server 2016" on their pages.
_SINCE_2016 = (
    "Msvm_VirtualSystemReferencePoint",
    "Msvm_VirtualSystemReferencePointService",
    "Msvm_VirtualSystemReferencePointSettingData",
    "Msvm_VirtualSystemSnapshotSettingData",
    "Msvm_SecuritySettingData",
)


@dataclass(eq=False)
class Cluster:
    name: str
    nodes: list[Node] = field(default_factory=list)
    running: bool = True


@dataclass(eq=False)
class Node:
    name: str
    estate: Estate
    windows: str = "2022"
    cluster: Cluster | None = None
    vmm: bool = False  # System Center Virtual Machine Manager is on it
    up: bool = True
    job_seconds: float = 0.0  # how long a job lasts
    direct: bool = False  # methods that may answer at once do

    @property
    def build(self) -> str:
        return VERSIONS[self.windows][0]

    @property
    def machines(self) -> list[Machine]:
        with self.estate.lock:
            return [machine for machine in self.estate.machines.values() if machine.node == self.name]

    def has_class(self, name: str) -> bool:
        return self.windows != "2012R2" or name.lower() not in {each.lower() for each in _SINCE_2016}

    def facts(self) -> dict[str, Any]:
        return {
            "CSName": self.name,
            "Caption": f"Microsoft Windows Server {self.windows.replace('R2', ' R2')} Datacenter",
            "BuildNumber": self.build,
            "Version": VERSIONS[self.windows][1],
            "OSArchitecture": "64-bit",
        }
