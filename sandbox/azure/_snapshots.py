"""Snapshots of managed disks: https://learn.microsoft.com/rest/api/compute/snapshots."""

from __future__ import annotations

from typing import Any

from sandbox.azure._arm import Arm, Call, not_found
from sandbox.azure._errors import ArmRefusal
from sandbox.azure._guest import freeze_together
from sandbox.azure._resources import GIB, Estate, ManagedDisk, Snapshot, key
from sandbox.azure._times import stamp
from sandbox.azure._web import Answer

_KIND = "Microsoft.Compute/snapshots"
_OPERATIONS = "DiskOperations"


class Snapshots:
    def __init__(self, estate: Estate, arm: Arm) -> None:
        self._estate, self._arm = estate, arm
        arm.on("PUT", _KIND, self._create)
        arm.on("GET", _KIND, self._read)
        arm.on("PATCH", _KIND, self._tag)
        arm.on("DELETE", _KIND, self._delete)
        arm.on("POST", f"{_KIND}/beginGetAccess", self._grant)
        arm.on("POST", f"{_KIND}/endGetAccess", self._revoke)

    def _create(self, call: Call) -> Answer:
        body = call.body
        properties = body.get("properties", {})
        data = properties.get("creationData", {})
        disk = self._source(call, data)
        existing = self._estate.snapshots.get(key(call.scope))
        if existing is not None:
            return self._update(call, existing, body, disk)
        operation = self._estate.begin(call.action, call.scope, body.get("location", disk.location), _OPERATIONS)
        family = [each for each in self._estate.snapshots.values() if each.source is disk]
        if len(family) >= self._estate.settings.snapshots_per_disk:
            # The code, and that a snapshot which failed stays: https://github.com/Azure/azure-sdk-for-python/issues/14282.
            text = "The snapshot count was exceeded for a disk. Please retry the request after sometime."
            operation.failure = ("SnapshotsLimitReached", text)
        frozen = None
        if operation.failure is None:
            owner = self._estate.machines.get(key(disk.owner)) if disk.owner else None
            [frozen] = freeze_together(owner.pid if owner is not None else 0, [disk.pages])
        snapshot = Snapshot(
            id=call.scope,
            name=call.names[-1],
            location=body.get("location", disk.location),
            tags=dict(body.get("tags") or {}),
            sku=(body.get("sku") or {}).get("name", "Standard_LRS"),
            source=disk,
            frozen=frozen,
            incremental=bool(properties.get("incremental")),
            network_access=properties.get("networkAccessPolicy", "AllowAll"),
            operation=operation,
            created=self._estate.clock(),
        )
        self._estate.snapshots[key(call.scope)] = snapshot
        return self._arm.accepted(call, operation, value=self.show(snapshot))

    def _source(self, call: Call, data: dict[str, Any]) -> ManagedDisk:
        if data.get("createOption") != "Copy" or not data.get("sourceResourceId"):
            message = (
                "Required parameter 'creationData.sourceResourceId' is missing (null), or createOption is not Copy."
            )
            raise ArmRefusal(400, "InvalidParameter", message)
        source = str(data["sourceResourceId"])
        disk = self._estate.disks.get(key(source))
        if disk is None:
            raise not_found(source)
        # Azure's own words when it is missing: https://github.com/Azure/OpenShift/issues/186.
        self._arm.check_linked(call, "Microsoft.Compute/disks/beginGetAccess/action", disk.id)
        if disk.spec.ephemeral:
            message = f"Disk '{disk.name}' is an ephemeral OS disk; snapshots of it are not supported."
            raise ArmRefusal(409, "OperationNotAllowed", message)
        return disk

    def _update(self, call: Call, snapshot: Snapshot, body: dict[str, Any], disk: ManagedDisk) -> Answer:
        """A PUT again: tags may change, where it comes from may not."""
        if snapshot.source is not disk:
            message = "Changing property 'creationData' is not allowed."
            raise ArmRefusal(409, "PropertyChangeNotAllowed", message)
        snapshot.tags = dict(body.get("tags") or {})
        return Answer.of(200, self.show(snapshot))

    def _tag(self, call: Call) -> Answer:
        snapshot = self._found(call)
        snapshot.tags = dict(call.body.get("tags") or snapshot.tags)
        return Answer.of(200, self.show(snapshot))

    def _read(self, call: Call) -> Answer:
        if call.names:
            return Answer.of(200, self.show(self._found(call)))
        within = f"/subscriptions/{self._estate.subscription}/" + (
            f"resourceGroups/{call.group}/" if call.group else ""
        )
        chosen = [each for identity, each in self._estate.snapshots.items() if identity.startswith(within.lower())]
        return self._arm.page(call, [self.show(each) for each in chosen])

    def _delete(self, call: Call) -> Answer:
        snapshot = self._estate.snapshots.get(key(call.scope))
        if snapshot is None:
            return Answer(204)
        if self._estate.access.active(snapshot.id):
            message = (
                f"There is an active shared access signature outstanding for disk {snapshot.name}. Call EndGetAccess "
                "before deleting or attaching the disk."
            )
            raise ArmRefusal(409, "OperationNotAllowed", message)
        operation = self._estate.begin(call.action, call.scope, snapshot.location, _OPERATIONS)
        if operation.failure is None:
            self.remove(snapshot)
        return self._arm.accepted(call, operation)

    def remove(self, snapshot: Snapshot) -> None:
        self._estate.access.revoke(snapshot.id)
        del self._estate.snapshots[key(snapshot.id)]
        if snapshot.frozen is not None:
            snapshot.source.pages.thaw(snapshot.frozen)

    def _grant(self, call: Call) -> Answer:
        snapshot = self._found(call)
        asked = call.body
        if asked.get("access") != "Read":
            raise ArmRefusal(
                409, "OperationNotAllowed", f"Access '{asked.get('access')}' is not allowed for a snapshot."
            )
        if snapshot.frozen is None or self._estate.status(snapshot.operation) != "Succeeded":
            message = f"Snapshot {snapshot.name} is not in provisioning state Succeeded."
            raise ArmRefusal(409, "Conflict", message)
        if snapshot.network_access != "AllowAll":
            message = f"Access to {snapshot.name} is denied by its network access policy {snapshot.network_access}."
            raise ArmRefusal(409, "OperationNotAllowed", message)
        family = {each.id for each in self._estate.snapshots.values() if each.source is snapshot.source}
        active = {each.resource for each in self._estate.access.active()} & family
        most = self._estate.settings.access_per_family
        if snapshot.id not in active and len(active) >= most:
            # The limit is documented, its error is not.
            message = f"SAS URIs of up to {most} snapshots of a snapshot family can be generated at any given time."
            raise ArmRefusal(409, "OperationNotAllowed", message)
        operation = self._estate.begin(call.action, call.scope, snapshot.location, _OPERATIONS)
        if operation.failure is None:
            grant = self._estate.access.grant(snapshot.id, snapshot.frozen, duration(asked))
            operation.result = {"accessSAS": grant.url(call.request.base)}
        return self._arm.accepted(call, operation)

    def _revoke(self, call: Call) -> Answer:
        snapshot = self._found(call)
        operation = self._estate.begin(call.action, call.scope, snapshot.location, _OPERATIONS)
        if operation.failure is None:
            self._estate.access.revoke(snapshot.id)
        return self._arm.accepted(call, operation)

    def _found(self, call: Call) -> Snapshot:
        snapshot = self._estate.snapshots.get(key(call.scope))
        if snapshot is None:
            raise not_found(call.scope)
        return snapshot

    def show(self, snapshot: Snapshot) -> dict[str, Any]:
        status, disk = self._estate.status(snapshot.operation), snapshot.source
        size = snapshot.frozen.size if snapshot.frozen is not None else disk.pages.size
        owner = self._estate.machines.get(key(disk.owner)) if disk.owner else None
        properties: dict[str, Any] = {
            "creationData": {
                "createOption": "Copy",
                "sourceResourceId": disk.id,
                "sourceUniqueId": str(disk.pages.identity),
                "logicalSectorSize": disk.spec.sector_size,
            },
            "diskSizeGB": max(1, -(-size // GIB)),
            "diskSizeBytes": size,
            "incremental": snapshot.incremental,
            "timeCreated": stamp(snapshot.created),
            "provisioningState": {"InProgress": "Updating"}.get(status, status),
            "diskState": "ActiveSAS" if self._estate.access.active(snapshot.id) else "Unattached",
            "uniqueId": snapshot.unique_id,
            "encryption": {"type": disk.spec.encryption},
            "networkAccessPolicy": snapshot.network_access,
            "publicNetworkAccess": "Enabled" if snapshot.network_access == "AllowAll" else "Disabled",
        }
        if snapshot.incremental:
            properties["incrementalSnapshotFamilyId"] = str(disk.pages.identity)
            properties["completionPercent"] = 100.0 if status == "Succeeded" else 0.0
        if owner is not None and owner.disks[0] is disk:
            properties |= {"osType": owner.os_type, "hyperVGeneration": owner.generation}
        return {
            "id": snapshot.id, "name": snapshot.name, "type": _KIND, "location": snapshot.location, "tags": snapshot.tags,
            "sku": {"name": snapshot.sku, "tier": snapshot.sku.partition("_")[0]}, "properties": properties,
        }  # fmt: skip


def duration(asked: dict[str, Any]) -> int:
    seconds = asked.get("durationInSeconds")
    if not isinstance(seconds, int) or not 0 < seconds <= 4_294_967_295:
        raise ArmRefusal(400, "InvalidParameter", f"The value '{seconds}' of parameter 'durationInSeconds' is invalid.")
    return seconds
