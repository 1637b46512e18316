"""What leads from an instance to others: associations of WMI, by the class that is wanted.

learn.microsoft.com/windows/win32/hyperv_v2/ msvm-affectedjobelement (a job and what it made), msvm-settingsdefinestate and
msvm-snapshotofvirtualsystem (a machine and its settings), msvm-systemdevice (a machine and its components),
msvm-referencepointofvirtualsystem, msvm-virtualsystemsettingdatacomponent (settings and the settings of devices).
"""

from __future__ import annotations

from sandbox.hyperv.model._cim import CimInstance, cim_class
from sandbox.hyperv.model._estate import Job
from sandbox.hyperv.model._instances import checkpoint_instance, instances, reference_instance
from sandbox.hyperv.model._machines import Checkpoint, ReferencePoint
from sandbox.hyperv.model._node import Node
from sandbox.hyperv.powershell import Unsupported

#: The property of the class that names the machine which an instance belongs to.
_OF_MACHINE = {
    "Msvm_VirtualSystemSettingData": "VirtualSystemIdentifier",
    "Msvm_VirtualSystemReferencePoint": "VirtualSystemIdentifier",
    "Msvm_KvpExchangeComponent": "SystemName",
    "Msvm_ShutdownComponent": "SystemName",
    "Msvm_VssComponent": "SystemName",
}
_OF_SETTINGS = (
    "Msvm_StorageAllocationSettingData",
    "Msvm_ResourceAllocationSettingData",
    "Msvm_SyntheticEthernetPortSettingData",
    "Msvm_KvpExchangeComponentSettingData",
)


def associated(node: Node, given: CimInstance, wanted: str) -> list[CimInstance]:
    """The instances of a class that belong to one. Raises Unsupported where no such association is modelled."""
    name = cim_class(wanted).name
    own = given.definition.name
    if own == "Msvm_ConcreteJob" and isinstance(given.model, Job):
        return [found for found in _affected(node, given.model) if found.definition.name == name]
    if own == "Msvm_ComputerSystem" and name in _OF_MACHINE:
        return [found for found in instances(node, name) if found.values[_OF_MACHINE[name]] == given.values["Name"]]
    if own == "Msvm_VirtualSystemSettingData" and name in _OF_SETTINGS:
        begin = f"{given.values['InstanceID']}\\"
        return [found for found in instances(node, name) if str(found.values["InstanceID"]).startswith(begin)]
    raise Unsupported(f"associations from {own} to {name}")


def _affected(node: Node, job: Job) -> list[CimInstance]:
    made = job.current().affected
    for machine in node.machines:
        if isinstance(made, ReferencePoint) and made in machine.references:
            return [reference_instance(made, machine)]
        if isinstance(made, Checkpoint) and made in machine.checkpoints:
            return [checkpoint_instance(made, machine)]
    return []
