"""Taking a point in time of a machine: snapshots of its disks, or one restore point of all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from rehost.sources._errors import FreezeFailed, QuiesceImpossible, SourceError
from rehost.sources._protocol import Consistency, Quiesce
from rehost.sources.azure import _inventory, _points
from rehost.sources.azure._client import Client
from rehost.sources.azure._errors import CallRefused, OperationTimedOut, ResourceGone
from rehost.sources.azure._inventory import COMPUTE, DISKS
from rehost.sources.azure._names import (
    CONSISTENCY,
    DISK,
    MACHINE,
    OPEN,
    RUN,
    SERVER,
    STATE,
    digest,
    last,
    point_name,
    snapshot_name,
)
from rehost.sources.azure._points import Place
from rehost.sources.azure._records import DiskRecord, Json, MachineRecord
from rehost.sources.azure._ways import Way, crash_possible

log = structlog.get_logger("rehost.sources.azure")

_POLL = (0.2, 10.0)  # seconds between two looks at a copy in the background: the first, and the longest
#: Errors that mean that nothing can be taken, rather than that the guest cannot be quiesced.
_BEYOND_GUEST = ("quota", "limit", "notallowed", "exceeded", "conflict", "subscription", "policy", "authorization")
_MODES = {"ApplicationConsistent": Consistency.FILESYSTEM, "FileSystemConsistent": Consistency.FILESYSTEM}


@dataclass(frozen=True)
class TakenDisk:
    key: str
    resource: str  # id of the snapshot or the disk restore point
    stamp: str  # what tells it from another one of its name
    family: str  # within which differences are told
    disk: str  # the managed disk's own unique id


@dataclass(frozen=True)
class Taken:
    way: Way
    restore_point: str  # id; empty for snapshots
    consistency: Consistency
    disks: list[TakenDisk]


def take(client: Client, machine: MachineRecord, place: Place, way: Way, *, run: str, quiesce: Quiesce) -> Taken:
    """A new point in time. Raises FreezeFailed, QuiesceImpossible; then nothing is left of it."""
    try:
        if way is Way.SNAPSHOTS:
            return _snapshots(client, machine, place, run)
        return _restore_point(client, machine, place, way, run, quiesce)
    except (CallRefused, OperationTimedOut, ResourceGone) as error:
        _leave_nothing(client, place, run)
        raise FreezeFailed(server=machine.name, reason=str(error)) from error
    except BaseException:
        _leave_nothing(client, place, run)
        raise


def _leave_nothing(client: Client, place: Place, run: str) -> None:
    """What a failed attempt has made after all. What appears later still is found by the next run."""
    try:
        for point in _points.listed(client, place):
            if not point.kept and point.is_of(run):
                _points.remove(client, point.ids)
    except SourceError as error:
        log.warning("what a failed attempt left is not removed yet; the next run does it", reason=str(error))


# Snapshots


def _snapshots(client: Client, machine: MachineRecord, place: Place, run: str) -> Taken:
    consistency = Consistency.OFFLINE if machine.off else Consistency.CRASH
    for disk in machine.disks:
        _take_snapshot(client, machine, place, disk, run, consistency)
    if machine.off:
        _still_off(client, machine)
    found = {
        disk.key: _copied(client, f"{place.snapshots}/{snapshot_name(run, disk.key, machine.id)}")
        for disk in machine.disks
    }
    return of_snapshots(found, consistency)


def _take_snapshot(
    client: Client, machine: MachineRecord, place: Place, disk: DiskRecord, run: str, consistency: Consistency
) -> None:
    name = snapshot_name(run, disk.key, machine.id)
    tags = {RUN: run, SERVER: machine.name, MACHINE: digest(machine.id), DISK: disk.key, STATE: OPEN}
    content = {
        "location": machine.location,
        "tags": {**tags, CONSISTENCY: consistency.value},
        "properties": {"creationData": {"createOption": "Copy", "sourceResourceId": disk.id}, "incremental": True},
    }
    client.call("PUT", f"{place.snapshots}/{name}", DISKS, f"taking a snapshot of {disk.name}", content)


def of_snapshots(found: Mapping[str, Json], consistency: Consistency) -> Taken:
    disks = [_of_snapshot(key, found[key]) for key in sorted(found, key=_order)]
    return Taken(Way.SNAPSHOTS, "", consistency, disks)


def _of_snapshot(key: str, snapshot: Json) -> TakenDisk:
    told = snapshot.get("properties") or {}
    source = str((told.get("creationData") or {}).get("sourceUniqueId") or "")
    return TakenDisk(
        key,
        str(snapshot.get("id")),
        str(told.get("uniqueId") or told.get("timeCreated") or ""),
        str(told.get("incrementalSnapshotFamilyId") or ""),
        source,
    )


def _order(key: str) -> tuple[bool, int]:
    number = key.removeprefix("lun")
    return key != "os", int(number) if number.isdigit() else 0


def _still_off(client: Client, machine: MachineRecord) -> None:
    """Snapshots that were taken one after the other are of one moment if nothing ran meanwhile."""
    now = _inventory.machine(client, machine.id)
    owners = {disk.id.lower(): disk.ownership for disk in machine.disks}
    if not now.off or any(owners.get(disk.id.lower()) != disk.ownership for disk in now.disks):
        raise FreezeFailed(server=machine.name, reason="it was started while its disks were taken one after the other")


def _copied(client: Client, resource: str) -> Json:
    """The snapshot, when it can be read: those of Ultra and Premium SSD v2 disks are copied in the background."""

    def whole(told: Json) -> bool:
        percent = told.get("completionPercent")
        return percent is None or float(percent) >= 100

    return _awaited(client, resource, DISKS, whole, asking=last(resource), waiting=f"the copy of {last(resource)}")


def _awaited(
    client: Client, resource: str, version: str, done: Callable[[Json], bool], *, asking: str, waiting: str
) -> Json:
    """The resource, when `done(its properties)`. Raises OperationTimedOut, and what `done` raises."""
    deadline = time.monotonic() + client.config.snapshot_timeout
    pause = _POLL[0]
    while True:
        found = client.get(resource, version, f"asking for {asking}")
        if done(found.get("properties") or {}):
            return found
        if time.monotonic() >= deadline:
            raise OperationTimedOut(doing=waiting, seconds=client.config.snapshot_timeout)
        time.sleep(pause)
        pause = min(_POLL[1], pause * 1.5)


# Restore points


def _restore_point(client: Client, machine: MachineRecord, place: Place, way: Way, run: str, quiesce: Quiesce) -> Taken:
    _make_collection(client, place)
    resource = f"{place.collection}/restorePoints/{point_name(run, machine.id)}"
    try:
        _create(client, machine, resource, way)
    except CallRefused as error:
        if machine.off:
            # At a cutover that cannot wait for an hour: single snapshots are of one moment as well, though perhaps no difference is told.
            log.warning("no restore point can be taken; taking snapshots", server=machine.name, reason=str(error))
            _points.remove(client, [resource])
            return _snapshots(client, machine, place, run)
        if way is not Way.APPLICATION or any(each in error.attributes["code"].lower() for each in _BEYOND_GUEST):
            raise
        if quiesce is Quiesce.REQUIRE:
            detail = f"the agent of {machine.name} could not quiesce it: {error.attributes['reason']}"
            raise QuiesceImpossible(detail=detail) from error
        several = len(machine.disks) > 1
        if several and not crash_possible(machine):
            raise
        log.warning("the guest could not be quiesced; going on without", server=machine.name, reason=str(error))
        _points.remove(client, [resource])
        if not several:
            return _snapshots(client, machine, place, run)
        _create(client, machine, resource, Way.CRASH)
    taken = of_restore_point(client, machine, resource)
    if quiesce is Quiesce.REQUIRE and taken.consistency is Consistency.CRASH:
        raise QuiesceImpossible(detail=f"Azure took the restore point of {machine.name} without its agent")
    return taken


def _make_collection(client: Client, place: Place) -> None:
    if _points.collection(client, place) is None:
        content = {
            "location": place.location,
            "tags": {SERVER: place.name, MACHINE: digest(place.machine)},
            "properties": {"source": {"id": place.machine}},
        }
        client.call("PUT", place.collection, COMPUTE, "making a collection of restore points", content)


def _create(client: Client, machine: MachineRecord, resource: str, way: Way) -> None:
    properties: dict[str, Any] = {"consistencyMode": "CrashConsistent"} if way is Way.CRASH else {}
    doing = f"taking a restore point of {machine.name}"
    client.call("PUT", resource, COMPUTE, doing, {"properties": properties})


def of_restore_point(client: Client, machine: MachineRecord, resource: str) -> Taken:
    """The point as Azure has it. Raises FreezeFailed where a disk is not in it."""
    found = _ready(client, resource)
    told = found.get("properties") or {}
    storage = (told.get("sourceMetadata") or {}).get("storageProfile") or {}
    parts = {"os": storage.get("osDisk") or {}}
    parts |= {f"lun{int(each.get('lun', 0))}": each for each in storage.get("dataDisks") or ()}
    disks = []
    for disk in machine.disks:
        part = str((parts.get(disk.key, {}).get("diskRestorePoint") or {}).get("id") or "")
        if not part:
            raise FreezeFailed(server=machine.name, reason=f"its restore point leaves {disk.name} ({disk.key}) out")
        disks.append(_of_part(disk.key, _copied(client, part)))
    consistency = _MODES.get(str(told.get("consistencyMode")), Consistency.CRASH)
    if machine.off and _inventory.power(client, machine.id) == machine.power:
        consistency = Consistency.OFFLINE
    return Taken(Way.CRASH, resource, consistency, disks)


def _of_part(key: str, part: Json) -> TakenDisk:
    told = part.get("properties") or {}
    return TakenDisk(
        key,
        str(part.get("id")),
        str(told.get("timeCreated") or ""),
        str(told.get("familyId") or ""),
        str(told.get("sourceUniqueId") or ""),
    )


def _ready(client: Client, resource: str) -> Json:
    """The restore point, when it is made: one that another process began may be under way."""
    doing = "taking a restore point"

    def made(told: Json) -> bool:
        state = told.get("provisioningState") or "Succeeded"
        if state in ("Failed", "Canceled"):
            raise CallRefused(doing=doing, code=state, reason="Azure could not take it")
        return bool(state == "Succeeded")

    return _awaited(client, resource, COMPUTE, made, asking="a restore point", waiting=doing)
