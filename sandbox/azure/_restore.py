"""Restore points: all disks of a machine at one moment.

https://learn.microsoft.com/rest/api/compute/restore-point-collections, .../restore-points and .../disk-restore-point; what they
support: https://learn.microsoft.com/azure/virtual-machines/concepts-restore-points.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from sandbox.azure._arm import Arm, Call, not_found
from sandbox.azure._errors import ArmRefusal
from sandbox.azure._guest import freeze_together
from sandbox.azure._machines import machine_json
from sandbox.azure._resources import Collection, DiskPoint, Estate, Machine, RestorePoint, key
from sandbox.azure._snapshots import duration
from sandbox.azure._times import stamp
from sandbox.azure._web import Answer

_COLLECTIONS = "Microsoft.Compute/restorePointCollections"
_POINTS = f"{_COLLECTIONS}/restorePoints"
_DISK_POINTS = f"{_POINTS}/diskRestorePoints"
#: Kept for a machine, and seconds between two, by mode (concepts-restore-points).
_MOST = 500
_INTERVALS = {"CrashConsistent": 3600.0}
_APPLICATION_INTERVAL = 10_800.0
_ONLY_APPLICATION = ("UltraSSD_LRS", "PremiumV2_LRS")


class RestorePoints:
    def __init__(self, estate: Estate, arm: Arm) -> None:
        self._estate, self._arm = estate, arm
        arm.on("PUT", _COLLECTIONS, self._create_collection)
        arm.on("GET", _COLLECTIONS, self._read_collections)
        arm.on("PATCH", _COLLECTIONS, self._tag)
        arm.on("DELETE", _COLLECTIONS, self._delete_collection)
        arm.on("PUT", _POINTS, self._create)
        arm.on("GET", _POINTS, self._read)
        arm.on("DELETE", _POINTS, self._delete)
        arm.on("GET", _DISK_POINTS, self._read_disk_points)
        arm.on("POST", f"{_DISK_POINTS}/beginGetAccess", self._grant)
        arm.on("POST", f"{_DISK_POINTS}/endGetAccess", self._revoke)

    def _create_collection(self, call: Call) -> Answer:
        body = call.body
        source = ((body.get("properties") or {}).get("source") or {}).get("id", "")
        machine = self._estate.machines.get(key(source))
        if machine is None:
            raise not_found(source)
        self._arm.check_linked(call, "Microsoft.Compute/virtualMachines/read", machine.id)
        existing = self._estate.collections.get(key(call.scope))
        if existing is not None:
            if key(existing.source) != key(source):
                raise ArmRefusal(409, "PropertyChangeNotAllowed", "Changing property 'source.id' is not allowed.")
            existing.tags = dict(body.get("tags") or {})
            return Answer.of(200, self._collection_json(existing))
        location = body.get("location", machine.location)
        made = Collection(call.scope, call.names[-1], location, dict(body.get("tags") or {}), machine.id)
        self._estate.collections[key(call.scope)] = made
        return Answer.of(201, self._collection_json(made))

    def _tag(self, call: Call) -> Answer:
        collection = self._collection(call.scope)
        collection.tags = dict(call.body.get("tags") or collection.tags)
        return Answer.of(200, self._collection_json(collection))

    def _read_collections(self, call: Call) -> Answer:
        if call.names:
            points = "restorepoints" in call.request.query.get("$expand", "").lower()
            return Answer.of(200, self._collection_json(self._collection(call.scope), points=points))
        within = f"/subscriptions/{self._estate.subscription}/" + (
            f"resourceGroups/{call.group}/" if call.group else ""
        )
        chosen = [each for identity, each in self._estate.collections.items() if identity.startswith(within.lower())]
        return self._arm.page(call, [self._collection_json(each) for each in chosen])

    def _delete_collection(self, call: Call) -> Answer:
        collection = self._estate.collections.get(key(call.scope))
        if collection is None:
            return Answer(204)
        self._check_idle([point for each in collection.points.values() for point in each.points])
        operation = self._estate.begin(call.action, call.scope, collection.location, "operations")
        if operation.failure is None:
            for point in list(collection.points.values()):
                self.remove(collection, point)
            del self._estate.collections[key(call.scope)]
        return self._arm.accepted(call, operation)

    def _create(self, call: Call) -> Answer:
        collection = self._collection(call.scope.rsplit("/", 2)[0])
        machine = self._estate.machines.get(key(collection.source))
        if machine is None:
            raise not_found(collection.source)
        if call.names[-1].lower() in collection.points:
            message = f"Restore point '{call.names[-1]}' exists already, and cannot be changed."
            raise ArmRefusal(409, "Conflict", message)
        properties = call.body.get("properties") or {}
        mode = self._mode(machine, properties.get("consistencyMode"))
        excluded = [str(each["id"]) for each in properties.get("excludeDisks") or []]
        disks = [disk for disk in machine.disks if key(disk.id) not in {key(each) for each in excluded}]
        # "Azure Backup Snapshot Contributor", which is made for this, has it beside what the calls are named by
        # (https://learn.microsoft.com/azure/role-based-access-control/built-in-roles); of snapshots it is known for certain.
        for disk in disks:
            self._arm.check_linked(call, "Microsoft.Compute/disks/beginGetAccess/action", disk.id)
        self._check_disks(machine, mode, [disk.spec for disk in disks])
        self._check_frequency(machine, mode)
        operation = self._estate.begin(call.action, call.scope, collection.location, "operations")
        if mode != "CrashConsistent" and not machine.agent:
            text = "VM agent is unable to communicate with the restore point service."
            operation.failure = ("GuestAgentStatusUnavailable", text)
        points: list[DiskPoint] = []
        now = self._estate.clock()
        if operation.failure is None:
            moments = freeze_together(machine.pid, [disk.pages for disk in disks])
            for disk, frozen in zip(disks, moments, strict=True):
                name = f"{disk.name}_{uuid.uuid4()}"
                points.append(DiskPoint(f"{call.scope}/diskRestorePoints/{name}", name, disk, frozen, now))
        made = RestorePoint(call.scope, call.names[-1], mode, machine_json(machine), points, excluded, operation, now)
        collection.points[made.name.lower()] = made
        return self._arm.accepted(call, operation, 201, self._point_json(made))

    def _mode(self, machine: Machine, asked: str | None) -> str:
        if asked not in (None, "CrashConsistent", "ApplicationConsistent", "FileSystemConsistent"):
            raise ArmRefusal(400, "InvalidParameter", f"The value '{asked}' of parameter 'consistencyMode' is invalid.")
        if asked is None:
            if machine.power != "running":
                return "CrashConsistent"  # nothing runs there that could be made consistent
            # Writers that fail: https://learn.microsoft.com/azure/virtual-machines/virtual-machines-restore-points-vm-snapshot-extension.
            whole = machine.os_type == "Windows" and machine.writers
            return "ApplicationConsistent" if whole else "FileSystemConsistent"
        if asked != "CrashConsistent":
            message = (
                f"The value '{asked}' of parameter 'consistencyMode' is not accepted: only CrashConsistent is, or none."
            )
            raise ArmRefusal(400, "InvalidParameter", message)
        return asked

    def _check_disks(self, machine: Machine, mode: str, specs: list[Any]) -> None:
        for spec in specs:
            reason = ""
            if spec.ephemeral:
                reason = "an ephemeral OS disk"
            elif spec.max_shares > 1:
                reason = "a shared disk"
            elif spec.sku in _ONLY_APPLICATION and mode == "CrashConsistent":
                reason = f"a {spec.sku} disk, which a crash-consistent restore point does not take"
            if reason:
                message = f"Restore points are not supported for VM '{machine.name}': it has {reason}. Exclude it."
                raise ArmRefusal(409, "OperationNotAllowed", message)

    def _check_frequency(self, machine: Machine, mode: str) -> None:
        points = [
            point
            for collection in self._estate.collections.values()
            if key(collection.source) == key(machine.id)
            for point in collection.points.values()
        ]
        if len(points) >= _MOST:
            message = f"The VM '{machine.name}' has {_MOST} restore points, the most that can be retained."
            raise ArmRefusal(409, "OperationNotAllowed", message)
        if any(self._estate.status(point.operation) == "InProgress" for point in points):
            message = "Concurrent creation of restore points for a VM isn't supported."
            raise ArmRefusal(409, "OperationNotAllowed", message)
        wait = _INTERVALS.get(mode, _APPLICATION_INTERVAL)
        latest = max((point.created for point in points if point.mode == mode), default=0.0)
        if self._estate.settings.restore_point_interval and self._estate.clock() < latest + wait:
            message = f"Restore points of mode {mode} can be taken of a VM every {wait / 3600:g} hours."
            raise ArmRefusal(409, "OperationNotAllowed", message)

    def _read(self, call: Call) -> Answer:
        _, point = self._point(call.scope)
        view = "instanceview" in call.request.query.get("$expand", "").lower()
        return Answer.of(200, self._point_json(point, with_view=view))

    def _delete(self, call: Call) -> Answer:
        try:
            collection, point = self._point(call.scope)
        except ArmRefusal:
            return Answer(204)
        self._check_idle(point.points)
        operation = self._estate.begin(call.action, call.scope, collection.location, "operations")
        if operation.failure is None:
            self.remove(collection, point)
        return self._arm.accepted(call, operation)

    def remove(self, collection: Collection, point: RestorePoint) -> None:
        del collection.points[point.name.lower()]
        for each in point.points:
            self._estate.access.revoke(each.id)
            each.source.pages.thaw(each.frozen)

    def _read_disk_points(self, call: Call) -> Answer:
        if len(call.names) == 3:
            return Answer.of(200, self._disk_point_json(self._disk_point(call.scope)))
        _, point = self._point(call.scope.rpartition("/")[0])
        return self._arm.page(call, [self._disk_point_json(each) for each in point.points])

    def _grant(self, call: Call) -> Answer:
        point = self._disk_point(call.scope)
        operation = self._estate.begin(call.action, call.scope, point.source.location, "DiskOperations")
        if operation.failure is None:
            grant = self._estate.access.grant(point.id, point.frozen, duration(call.body))
            operation.result = {"accessSAS": grant.url(call.request.base)}
        return self._arm.accepted(call, operation)

    def _revoke(self, call: Call) -> Answer:
        point = self._disk_point(call.scope)
        operation = self._estate.begin(call.action, call.scope, point.source.location, "DiskOperations")
        if operation.failure is None:
            self._estate.access.revoke(point.id)
        return self._arm.accepted(call, operation)

    def _check_idle(self, points: list[DiskPoint]) -> None:
        for point in points:
            if self._estate.access.active(point.id):
                message = (
                    f"There is an active shared access signature outstanding for disk restore point {point.name}. Call "
                    "EndGetAccess before deleting it."
                )
                raise ArmRefusal(409, "OperationNotAllowed", message)

    def _collection(self, scope: str) -> Collection:
        found = self._estate.collections.get(key(scope))
        if found is None:
            raise not_found(scope)
        return found

    def _point(self, scope: str) -> tuple[Collection, RestorePoint]:
        above, _, name = scope.rpartition("/")
        collection = self._collection(above.rpartition("/")[0])
        found = collection.points.get(name.lower())
        if found is None:
            raise not_found(scope)
        return collection, found

    def _disk_point(self, scope: str) -> DiskPoint:
        above, _, name = scope.rpartition("/")
        _, point = self._point(above.rpartition("/")[0])
        for each in point.points:
            if each.name.lower() == name.lower():
                return each
        raise not_found(scope)

    def _collection_json(self, collection: Collection, *, points: bool = False) -> dict[str, Any]:
        properties: dict[str, Any] = {
            "source": {"id": collection.source, "location": collection.location},
            "provisioningState": "Succeeded",
            "restorePointCollectionId": collection.collection_id,
        }
        if points:
            properties["restorePoints"] = [self._point_json(each) for each in collection.points.values()]
        return {
            "id": collection.id, "name": collection.name, "type": _COLLECTIONS, "location": collection.location,
            "tags": collection.tags, "properties": properties,
        }  # fmt: skip

    def _point_json(self, point: RestorePoint, *, with_view: bool = False) -> dict[str, Any]:
        status = self._estate.status(point.operation)
        properties: dict[str, Any] = {
            "provisioningState": {"InProgress": "Creating"}.get(status, status),
            "consistencyMode": point.mode,
            "timeCreated": stamp(point.created),
            "sourceMetadata": _metadata(point.machine, {key(each.source.id): each for each in point.points}),
        }
        if point.excluded:
            properties["excludeDisks"] = [{"id": each} for each in point.excluded]
        if with_view:
            done = {"status": {"code": "ReplicationState/succeeded", "level": "Info"}, "completionPercent": 100}
            properties["instanceView"] = {
                "diskRestorePoints": [{"id": each.id, "replicationStatus": done} for each in point.points],
                "statuses": [{"code": f"ProvisioningState/{status.lower()}", "level": "Info"}],
            }
        return {"id": point.id, "name": point.name, "type": _POINTS, "properties": properties}

    def _disk_point_json(self, point: DiskPoint) -> dict[str, Any]:
        disk = point.source
        properties = {
            "timeCreated": stamp(point.created),
            "sourceResourceId": disk.id,
            "sourceUniqueId": str(disk.pages.identity),
            "sourceResourceLocation": disk.location,
            "familyId": str(disk.pages.identity),
            "encryption": {"type": disk.spec.encryption},
            "networkAccessPolicy": "AllowAll",
            "publicNetworkAccess": "Enabled",
            "completionPercent": 100.0,
            "logicalSectorSize": disk.spec.sector_size,
        }
        return {"id": point.id, "name": point.name, "type": _DISK_POINTS, "properties": properties}


def _metadata(machine: Mapping[str, Any], points: Mapping[str, DiskPoint]) -> dict[str, Any]:
    """What a restore point keeps of the machine, with each disk's restore point where it has one."""
    shown = machine["properties"]

    def with_point(disk: Mapping[str, Any]) -> dict[str, Any]:
        kept = {
            name: disk[name]
            for name in ("osType", "lun", "name", "caching", "diskSizeGB", "managedDisk")
            if name in disk
        }
        point = points.get(key(str(disk["managedDisk"]["id"])))
        return {**kept, "diskRestorePoint": {"id": point.id}} if point is not None else kept

    storage = shown["storageProfile"]
    return {
        "hardwareProfile": shown["hardwareProfile"],
        "osProfile": shown["osProfile"],
        "vmId": shown["vmId"],
        "location": machine["location"],
        "storageProfile": {
            "osDisk": with_point(storage["osDisk"]),
            "dataDisks": [with_point(disk) for disk in storage["dataDisks"]],
        },
    }
