"""Columns of MGN's CSV. MGN user guide, "Exporting your data inventory" (export parameters), and the import's."""

from __future__ import annotations

import re
from typing import Any

from rehost.importers._errors import InventoryUnreadable
from rehost.importers._inventory import Inventory, Machine, WaveFound
from rehost.importers._remarks import Kind
from rehost.importers._table import Row, Table

#: Those whose names do not vary.
EXPORTED = (
    "mgn:account-id", "mgn:region", "mgn:app:id", "mgn:app:name", "mgn:app:description", "mgn:wave:id", "mgn:wave:name",
    "mgn:wave:description", "mgn:server:id", "mgn:server:user-provided-id", "mgn:server:platform",
    "mgn:server:fqdn-for-action-framework", "mgn:server:lifecycle-state", "mgn:server:replication-type",
    "mgn:server:replication-state", "mgn:launch:instance-type", "mgn:launch:iam-instance-profile:name",
    "mgn:launch:placement:tenancy", "mgn:launch:placement:host-id", "mgn:launch:placement:operating-system-licensing",
    "mgn:launch:transfer-server-tags",
)  # fmt: skip
_NIC = re.compile(r"mgn:launch:nic:(\d{1,2}):(subnet-id|network-interface-id|security-group-id:\d+|private-ip:\d+)")
_VOLUME = re.compile(r"mgn:launch:volume:(.+):(\w+)")
_LAUNCH = {
    "mgn:launch:instance-type": "instanceType",
    "mgn:launch:iam-instance-profile:name": "instanceProfile",
    "mgn:launch:placement:tenancy": "placement.tenancy",
    "mgn:launch:placement:host-id": "placement.host",
}
_LICENCE = {"BYOL": "byol", "LI": "aws"}
_NO_PLACE = {
    "mgn:server:replication-state": "it is a state of MGN: replication begins anew here",
    "mgn:launch:transfer-server-tags": "a server's tags spread to all that is made of it",
}


def check(table: Table) -> None:
    """Raises InventoryUnreadable where it is no export of MGN."""
    if not any(each.startswith("mgn:") for each in table.columns):
        reason = "it is not MGN's CSV: none of its columns begins with mgn:, as mgn:server:id and mgn:app:name do"
        raise InventoryUnreadable(path=table.path, reason=reason)


def wave(key: str, name: str, description: str) -> WaveFound:
    return WaveFound(name or key, [description] if description else [])


def carry_groups(inventory: Inventory, row: Row) -> str | None:
    """The application of a row, and its wave; the application's key."""
    name, key = row.get("mgn:app:name"), row.get("mgn:app:id") or row.get("mgn:app:name")
    wave_name, wave_key = row.get("mgn:wave:name"), row.get("mgn:wave:id") or row.get("mgn:wave:name")
    if wave_key:
        inventory.waves.setdefault(wave_key, wave(wave_key, wave_name, row.get("mgn:wave:description")))
    if not key:
        if wave_key:
            inventory.tell(
                Kind.NOTE, "a wave is made of applications, and the row has none", wave_name, where=row.where
            )
        return None
    application = inventory.application(key)
    application.wanted = name or application.wanted
    description = row.get("mgn:app:description")
    if description and description not in application.comments:
        application.comments.append(description)
    for column, value in row.cells.items():
        if column.startswith("mgn:app:tag:"):
            inventory.tag(application, name, column.removeprefix("mgn:app:tag:"), value, where=row.where, field=column)
        elif column.startswith("mgn:wave:tag:"):
            inventory.tell(
                Kind.NOT_CARRIED, "a wave has no tags of its own", wave_name, field=column, value=value, where=row.where
            )
    if wave_key:
        inventory.join_wave(application, wave_key, row.where)
    return key


def carry(inventory: Inventory, machine: Machine, row: Row) -> None:
    """All columns of a server's row; each that has no place is told of."""
    application = carry_groups(inventory, row)
    if application is not None and machine.application is None:
        machine.application = application
    for column, value in row.cells.items():
        if column in _LAUNCH:
            inventory.carry(machine, "launchConfig", _LAUNCH[column], value, field=column)
        elif column.startswith(("mgn:server:tag:", "mgn:launch:tag:instance:")):
            key = column.split(":", 4 if column.startswith("mgn:launch") else 3)[-1]
            inventory.tag(machine, machine.name, key, value, where=row.where, field=column)
        elif column == "mgn:launch:placement:operating-system-licensing":
            inventory.carry(machine, "image", "license", _LICENCE.get(value.upper(), value), field=column)
        elif column == "mgn:server:platform":
            inventory.carry(machine, "image", "platform", value, field=column)
        elif not (
            (column in EXPORTED and column not in _NO_PLACE)
            or column.startswith(("mgn:app:", "mgn:wave:"))
            or _NIC.fullmatch(column)
            or _VOLUME.fullmatch(column)
        ):
            reason = _NO_PLACE.get(column, "rehost does not know this column")
            inventory.tell(Kind.NOT_CARRIED, reason, machine.name, field=column, value=value, where=row.where)
    _nics(inventory, machine, row)
    _volumes(inventory, machine, row)


def _nics(inventory: Inventory, machine: Machine, row: Row) -> None:
    nics: dict[int, dict[str, Any]] = {}
    for column, value in row.cells.items():
        found = _NIC.fullmatch(column)
        if found is None:
            continue
        nic, kind = nics.setdefault(int(found[1]), {"groups": []}), found[2].partition(":")[0]
        if kind == "security-group-id":
            nic["groups"].append(value)
        elif kind == "network-interface-id":
            reason = "rehost launches with network interfaces of its own; write the subnet and the address instead"
            inventory.tell(Kind.NOT_CARRIED, reason, machine.name, field=column, value=value, where=row.where)
        elif kind == "private-ip" and "private-ip" in nic:
            reason = "a network interface has one private address here"
            inventory.tell(Kind.NOT_CARRIED, reason, machine.name, field=column, value=value, where=row.where)
        else:
            nic[kind] = value
    for number, nic in sorted(nics.items()):
        at = "" if number == 0 else f"networkInterfaces.nic-{number}."
        field = f"mgn:launch:nic:{number}"
        if number and not nic.get("subnet-id"):
            inventory.tell(
                Kind.NOT_CARRIED,
                "a further network interface needs a subnet",
                machine.name,
                field=field,
                where=row.where,
            )
            continue
        inventory.carry(machine, "launchConfig", f"{at}subnet", nic.get("subnet-id"), field=f"{field}:subnet-id")
        inventory.carry(
            machine, "launchConfig", f"{at}securityGroups", nic["groups"], field=f"{field}:security-group-id"
        )
        inventory.carry(machine, "launchConfig", f"{at}privateIp", nic.get("private-ip"), field=f"{field}:private-ip")


def _volumes(inventory: Inventory, machine: Machine, row: Row) -> None:
    """MGN names disks as the guest does, a launch config by number: only what holds for all of them can be told apart from nothing."""
    found = {column: value for column, value in row.cells.items() if _VOLUME.fullmatch(column)}
    kinds = {value.casefold() for column, value in found.items() if column.endswith(":type")}
    if len(kinds) == 1 and all(column.endswith(":type") for column in found) and kinds <= {"gp3", "gp2", "standard"}:
        inventory.carry(machine, "launchConfig", "volumeType", kinds.pop(), field="mgn:launch:volume:...:type")
        return
    for column, value in found.items():
        reason = "disks have numbers here: write it under `volumes` as disk-1, disk-2 ... of its launch config"
        inventory.tell(Kind.NOT_CARRIED, reason, machine.name, field=column, value=value, where=row.where)
