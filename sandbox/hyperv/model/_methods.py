"""The methods of Hyper-V's WMI services, with the return values that their pages list.

learn.microsoft.com/windows/win32/hyperv_v2/ createsnapshot-msvm-virtualsystemsnapshotservice, destroysnapshot-...,
msvm-virtualsystemsnapshotservice-converttoreferencepoint, msvm-virtualsystemreferencepointservice-createreferencepoint and
-destroyreferencepoint, msvm-imagemanagementservice-getvirtualdiskchanges, getvirtualharddisksettingdata-...,
addkvpitems-msvm-virtualsystemmanagementservice, requeststatechange-msvm-computersystem, msvm-shutdowncomponent-initiateshutdown.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from sandbox.hyperv.model._cim import CimInstance, cim_class, from_text, to_text
from sandbox.hyperv.model._estate import Failed, Job
from sandbox.hyperv.model._instances import (
    job_instance,
    reference,
    reference_instance,
)
from sandbox.hyperv.model._machines import Checkpoint, Machine
from sandbox.hyperv.model._node import Node
from sandbox.hyperv.model._tracking import UnknownTrackingId
from sandbox.hyperv.powershell import Record, Unsupported, items, number, text, type_of

STARTED = 4096
FAILED, NOT_SUPPORTED, INVALID_PARAMETER, INVALID_STATE, NOT_FOUND = 32768, 32770, 32773, 32775, 32779
_FULL_SNAPSHOT, _RECOVERY_SNAPSHOT = 2, 32768
_MOST_ITEMS, _LONGEST = 128, 1024
_STATES = {2: "Running", 3: "Off", 9: "Paused", 6: "Saved", 32768: "Paused", 32769: "Saved"}
#: A page of GetVirtualDiskChanges processes no more than this.
PAGE = 16 << 30


def invoke(node: Node, target: CimInstance, method: str, arguments: Mapping[str, Any]) -> Record:
    """The out parameters with ReturnValue. Raises Unsupported for what the class does not have."""
    declared = target.definition.methods
    name = next((known for known in declared if known.lower() == method.lower()), None)
    if name is None:
        raise Unsupported(f"the method {method} of {target.definition.name}")
    act = _METHODS.get((target.definition.name, name))
    if act is None:
        raise Unsupported(f"the method {name} of {target.definition.name}, which it does not model")
    given: dict[str, Any] = {}
    for key, value in arguments.items():
        parameter = next((known for known in declared[name].values() if known.name.lower() == key.lower()), None)
        if parameter is None or parameter.direction == "out":
            raise Unsupported(f"the argument {key} of {name}")
        given[parameter.name] = _typed(name, parameter.name, parameter.type, value)
    made = Record((parameter.name, None) for parameter in declared[name].values() if parameter.direction != "in")
    fault = node.estate.faults.take("method", name)
    if fault is not None and "value" in fault.settings:
        made["ReturnValue"] = int(fault.settings["value"])
        return made
    value, out = act(node, target, given)
    for key, result in out.items():
        if key not in made:
            raise Unsupported(f"the result {key} of {name}")
        made[key] = result
    made["ReturnValue"] = value
    settings = fault.settings if fault is not None else {}
    if name == "GetVirtualDiskChanges" and value == 0 and fault is not None:
        _change_answer(node, made, settings, given.get("ByteOffset") or 0)
    return made


def _typed(method: str, name: str, kind: str, value: Any) -> Any:
    """Raises Unsupported where an argument is of another kind than the method's page says."""
    if value is None:
        return None
    if kind.endswith(" REF"):
        wanted = kind.removesuffix(" REF")
        if not isinstance(value, CimInstance) or wanted not in _kinds(value.definition.name):
            raise Unsupported(
                f"{type_of(value)} for the argument {name} of {method}, which takes a reference to {wanted}"
            )
        return value
    if kind.endswith("[]"):
        return [_typed(method, name, kind[:-2], item) for item in items(value)]
    if "int" in kind:
        found = int(number(value))
        bits = int("".join(mark for mark in kind if mark.isdigit()))
        if not 0 <= found < 1 << bits:
            raise Unsupported(f"{found} for the argument {name} of {method}, which takes a {kind}")
        return found
    if kind == "boolean":
        return bool(value)
    if not isinstance(value, str):
        raise Unsupported(f"{type_of(value)} for the argument {name} of {method}, which takes a {kind}")
    return value


def _kinds(name: str) -> set[str]:
    return {name, cim_class(name).base}


Answer = tuple[int, Mapping[str, Any]]


def _as_job(node: Node, what: str, act: Callable[[], Any]) -> Job:
    return node.estate.job(what, act, seconds=node.job_seconds)


def _create_snapshot(node: Node, target: CimInstance, given: Mapping[str, Any]) -> Answer:
    machine = _machine(node, given.get("AffectedSystem"))
    if machine is None:
        return 4, {}
    level = 0
    if given.get("SnapshotType") == _RECOVERY_SNAPSHOT:
        if node.windows == "2012R2":
            return 6, {}
        settings = _embedded(given.get("SnapshotSettings"), "Msvm_VirtualSystemSnapshotSettingData")
        level = int(settings.values.get("ConsistencyLevel") or 2) if settings is not None else 2
        if level not in (1, 2):
            return 4, {}
    elif given.get("SnapshotType") != _FULL_SNAPSHOT:
        return 6, {}
    return STARTED, {
        "Job": reference(
            job_instance(_as_job(node, "Creating Checkpoint", lambda: node.estate.checkpoint(machine, level)))
        )
    }


def _destroy_snapshot(node: Node, target: CimInstance, given: Mapping[str, Any]) -> Answer:
    found = _checkpoint(node, given.get("AffectedSnapshot"))
    if found is None:
        return 4, {}
    machine, checkpoint = found
    act = lambda: node.estate.remove_checkpoint(machine, checkpoint)  # noqa: E731
    return STARTED, {"Job": reference(job_instance(_as_job(node, "Deleting Checkpoint", act)))}


def _convert(node: Node, target: CimInstance, given: Mapping[str, Any]) -> Answer:
    found = _checkpoint(node, given.get("AffectedSnapshot"))
    if found is None:
        return 4, {}
    machine, checkpoint = found
    act = lambda: node.estate.convert(machine, checkpoint)  # noqa: E731
    return STARTED, {"Job": reference(job_instance(_as_job(node, "Converting to Reference Point", act)))}


def _create_reference(node: Node, target: CimInstance, given: Mapping[str, Any]) -> Answer:
    machine = _machine(node, given.get("AffectedSystem"))
    settings = _embedded(given.get("ReferencePointSettings"), "Msvm_VirtualSystemReferencePointSettingData")
    if machine is None or settings is None:
        return 4, {}
    if given.get("ReferencePointType") != 1:
        return 6, {}
    level = int(settings.values.get("ConsistencyLevel") or 2)
    job = _as_job(node, "Creating Reference Point", lambda: node.estate.reference(machine, level))
    if node.direct:
        if job.description:
            return 2, {}
        return 0, {"ResultingReferencePoint": reference(reference_instance(job.affected, machine))}
    return STARTED, {"Job": reference(job_instance(job))}


def _destroy_reference(node: Node, target: CimInstance, given: Mapping[str, Any]) -> Answer:
    point = given.get("AffectedReferencePoint")
    for machine in node.machines:
        for each in machine.references:
            if point is not None and each.id == point.values.get("InstanceID"):
                forget = lambda machine=machine, each=each: node.estate.forget(machine, each)  # noqa: E731
                return STARTED, {"Job": reference(job_instance(_as_job(node, "Deleting Reference Point", forget)))}
    return INVALID_PARAMETER, {}


def _changes(node: Node, target: CimInstance, given: Mapping[str, Any]) -> Answer:
    if node.windows == "2012R2":
        return NOT_SUPPORTED, {}
    found = node.estate.owner_of(text(given.get("Path")))
    if found is None:
        return NOT_FOUND, {}
    _, disk, file = found
    offset, length = given.get("ByteOffset") or 0, given.get("ByteLength") or 0
    # The page: "This must be less than the size of the Virtual Disk."
    if given.get("TargetSnapshotId") or not 0 < length < disk.size or offset + length > disk.size:
        return INVALID_PARAMETER, {}
    length = min(length, PAGE)
    with node.estate.lock:
        try:
            ranges = list(disk.tracker.changed(text(given.get("LimitId")), file.frozen, offset, length))
        except UnknownTrackingId:
            return INVALID_PARAMETER, {}
    # WMI has no empty arrays: nothing is null.
    return 0, {
        "ProcessedByteLength": length,
        "ChangedByteOffsets": [start for start, _ in ranges] or None,
        "ChangedByteLengths": [size for _, size in ranges] or None,
    }


def _change_answer(node: Node, made: Record, settings: Mapping[str, Any], first: int) -> None:
    """What a fault makes of the answer: `processed` bytes only, `job`, or a job that fails with `message`."""
    if "processed" in settings:
        most = int(settings["processed"])
        pairs = list(zip(made["ChangedByteOffsets"] or [], made["ChangedByteLengths"] or [], strict=True))
        kept = [(at, min(size, first + most - at)) for at, size in pairs if at < first + most]
        made["ProcessedByteLength"] = min(most, made["ProcessedByteLength"])
        made["ChangedByteOffsets"] = [at for at, _ in kept] or None
        made["ChangedByteLengths"] = [size for _, size in kept] or None
    if settings.get("job") or "message" in settings:
        message = settings.get("message")

        def act() -> None:
            if message is not None:
                raise Failed(int(settings.get("code", FAILED)), str(message))

        made["Job"] = reference(job_instance(node.estate.job("Getting Changes", act, seconds=node.job_seconds)))
        made["ReturnValue"] = STARTED


def _disk_settings(node: Node, target: CimInstance, given: Mapping[str, Any]) -> Answer:
    found = node.estate.owner_of(text(given.get("Path")))
    if found is None:
        return NOT_FOUND, {}
    _, disk, file = found
    instance = CimInstance(
        "Msvm_VirtualHardDiskSettingData",
        {
            "Path": file.name,
            "Format": 2 if file.suffix in (".vhd", ".avhd") else 3,
            "Type": 4 if file.parent is not None else 2 if disk.fixed else 3,
            "ParentPath": file.parent.name if file.parent is not None else "",
            "MaxInternalSize": disk.size,
            "LogicalSectorSize": disk.sector,
            "VirtualDiskId": str(uuid.UUID(disk.id)),
        },
    )
    return 0, {"SettingData": to_text(instance)}


def _disk_state(node: Node, target: CimInstance, given: Mapping[str, Any]) -> Answer:
    found = node.estate.owner_of(text(given.get("Path")))
    if found is None:
        return NOT_FOUND, {}
    machine, _, file = found
    values = {"FileSize": file.path.stat().st_size, "InUse": machine.state == "Running"}
    return 0, {"State": to_text(CimInstance("Msvm_VirtualHardDiskState", values))}


def _items(given: Mapping[str, Any]) -> list[CimInstance] | None:
    texts = given.get("DataItems") or []
    found = [_embedded(source, "Msvm_KvpExchangeDataItem") for source in texts]
    if not 0 < len(texts) <= _MOST_ITEMS:
        return None
    kept = [item for item in found if item is not None and item.values.get("Source") == 4 and item.values.get("Name")]
    if any(len(text(item.values.get(key))) > _LONGEST for item in kept for key in ("Name", "Data")):
        return None
    return kept if len(kept) == len(texts) else None


def _pairs(change: str) -> Callable[[Node, CimInstance, Mapping[str, Any]], Answer]:
    def act(node: Node, target: CimInstance, given: Mapping[str, Any]) -> Answer:
        machine, found = _machine(node, given.get("TargetSystem")), _items(given)
        if machine is None or found is None:
            return INVALID_PARAMETER, {}

        def carry_out() -> None:
            for item in found:
                name, data = text(item.values["Name"]), text(item.values.get("Data"))
                if (name in machine.notes) == (change == "add"):
                    raise Failed(
                        FAILED,
                        f"The key-value pair '{name}' {'already exists' if change == 'add' else 'does not exist'}.",
                    )
                if change == "remove":
                    del machine.notes[name]
                else:
                    machine.notes[name] = data

        return STARTED, {"Job": reference(job_instance(_as_job(node, f"KVP {change}", carry_out)))}

    return act


def _shut_down(node: Node, target: CimInstance, given: Mapping[str, Any]) -> Answer:
    machine: Machine = target.model
    service = machine.services["shutdown"]
    if machine.state != "Running" or not service.enabled or not service.contact:
        return INVALID_STATE, {}
    with node.estate.lock:
        if machine.obeys:
            machine.power("Off")
    return 0, {}


def _request_state(node: Node, target: CimInstance, given: Mapping[str, Any]) -> Answer:
    machine = _machine(node, target)
    state = _STATES.get(given.get("RequestedState") or 0)
    if machine is None or state is None:
        return INVALID_PARAMETER, {}

    def act() -> None:
        with node.estate.lock:
            machine.power(state)

    return STARTED, {"Job": reference(job_instance(_as_job(node, "Requesting State Change", act)))}


def _machine(node: Node, given: Any) -> Machine | None:
    if not isinstance(given, CimInstance):
        return None
    found = node.estate.find(text(given.values.get("Name")))
    return found if found is not None and found.node == node.name else None


def _checkpoint(node: Node, given: Any) -> tuple[Machine, Checkpoint] | None:
    if isinstance(given, CimInstance):
        for machine in node.machines:
            for checkpoint in machine.checkpoints:
                if f"Microsoft:{checkpoint.id}" == given.values.get("InstanceID"):
                    return machine, checkpoint
    return None


def _embedded(source: Any, name: str) -> CimInstance | None:
    """An embedded instance of the class, or None for what is none."""
    if not isinstance(source, str) or not source:
        return None
    try:
        found = from_text(source)
    except ValueError:
        return None
    return found if found.definition.name == name else None


_METHODS: Mapping[tuple[str, str], Callable[[Node, CimInstance, Mapping[str, Any]], Answer]] = {
    ("Msvm_VirtualSystemSnapshotService", "CreateSnapshot"): _create_snapshot,
    ("Msvm_VirtualSystemSnapshotService", "DestroySnapshot"): _destroy_snapshot,
    ("Msvm_VirtualSystemSnapshotService", "ConvertToReferencePoint"): _convert,
    ("Msvm_VirtualSystemReferencePointService", "CreateReferencePoint"): _create_reference,
    ("Msvm_VirtualSystemReferencePointService", "DestroyReferencePoint"): _destroy_reference,
    ("Msvm_ImageManagementService", "GetVirtualDiskChanges"): _changes,
    ("Msvm_ImageManagementService", "GetVirtualHardDiskSettingData"): _disk_settings,
    ("Msvm_ImageManagementService", "GetVirtualHardDiskState"): _disk_state,
    ("Msvm_VirtualSystemManagementService", "AddKvpItems"): _pairs("add"),
    ("Msvm_VirtualSystemManagementService", "ModifyKvpItems"): _pairs("modify"),
    ("Msvm_VirtualSystemManagementService", "RemoveKvpItems"): _pairs("remove"),
    ("Msvm_ShutdownComponent", "InitiateShutdown"): _shut_down,
    ("Msvm_ComputerSystem", "RequestStateChange"): _request_state,
}
