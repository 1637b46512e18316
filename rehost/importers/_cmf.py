"""Cloud Migration Factory on AWS: its intake form, a CSV with a row a server.

Columns: the solution's implementation guide, "Metadata management" (the attributes of applications, waves and servers), and the intake
form that its releases came with. Attributes that a user added have a name of the user's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rehost.importers._errors import NothingToImport
from rehost.importers._inventory import Inventory, Machine, Options
from rehost.importers._remarks import Kind
from rehost.importers._table import Row, Table, read_csv, require
from rehost.importers._targets import Targets
from rehost.importers._values import shown
from rehost.importers._vcenters import exports

_REQUIRED = ("app_name", "server_name")
_LAUNCH = {
    "instanceType": "instanceType",
    "iamRole": "instanceProfile",
    "private_ip": "privateIp",
    "dedicated_host_id": "placement.host",
    "availabilityzone": "placement.zone",
}
_TENANCY = {"shared": "default", "dedicated": "dedicated", "dedicated host": "host"}
#: Strategies that move the server's disks.
_MOVES = frozenset({"rehost", ""})
_REPLATFORM = "it is for a replatformed server, which is built anew"
_ONE = "one launch config serves test and cutover; the check of a test belongs into `validation`"
#: Columns that nothing is made of, and why.
NO_PLACE = {
    "subnet_IDs_test": _ONE,
    "securitygroup_IDs_test": _ONE,
    "network_interface_id": "rehost launches with network interfaces of its own; write the subnet and the address instead",
    "network_interface_id_test": _ONE,
    "migration_status": "it is a state of the factory",
    "replication_status": "it is a state of the factory",
    "root_vol_size": _REPLATFORM,
    "root_vol_name": _REPLATFORM,
    "root_vol_type": _REPLATFORM,
    "ami_id": _REPLATFORM,
    "add_vols_size": _REPLATFORM,
    "add_vols_name": _REPLATFORM,
    "add_vols_type": _REPLATFORM,
    "ebs_optimized": "instance types of today are always EBS-optimized",
    "detailed_monitoring": "write it for the instance once it runs; a spec does not have it",
    "cloudendure_projectname": "it names a project of CloudEndure, which has ended",
}
_READ = frozenset(
    {
        "wave_id", "wave_name", "app_id", "app_name", "app_ids", "aws_region", "aws_accountid", "server_id", "server_name",
        "server_os_family", "server_os_version", "server_fqdn", "server_tier", "server_environment", "r_type", "subnet_IDs",
        "securitygroup_IDs", "tenancy", "tags", "ebs_kms_key_id", "ebs_encrypted", "server_boot_mode_uefi", "server_os",
        *_LAUNCH,
    }
)  # fmt: skip
KNOWN = _READ | NO_PLACE.keys()


def read_cmf(files: Sequence[Path], options: Options) -> Inventory:
    """Raises InventoryUnreadable, InventoryWrong, NothingToImport."""
    inventory, targets = Inventory("cmf"), Targets(options)
    seen: dict[str, Row] = {}
    for path in files:
        table = read_csv(path, encoding=options.encoding, delimiter=options.delimiter, known=KNOWN)
        require(table, _REQUIRED, "an intake form of Cloud Migration Factory")
        for raw in table.rows:
            row = _canonical(raw, table)
            if targets.wants(row.get("aws_accountid"), row.get("aws_region")):
                _server(inventory, row, seen)
    targets.finish(inventory)
    inventory.finish()
    if not inventory.machines:
        raise NothingToImport(reason="the form holds no servers")
    return inventory


def _canonical(row: Row, table: Table) -> Row:
    """With the factory's own capitals; forms are edited by hand."""
    own = {each.casefold(): each for each in KNOWN}
    return Row(row.where, {own.get(column.casefold(), column): value for column, value in row.cells.items()})


def _server(inventory: Inventory, row: Row, seen: dict[str, Row]) -> None:
    name = row.get("server_name")
    if not name:
        inventory.tell(Kind.LEFT_OUT, "the row has no server_name", where=row.where)
        return
    first = seen.setdefault(name.casefold(), row)
    if first is not row:
        differ = [each for each in {**first.cells, **row.cells} if first.get(each) != row.get(each)]
        what = f"with another {', '.join(differ[:5])}" if differ else "word for word"
        inventory.tell(
            Kind.NOT_CARRIED,
            f"the server stands in {first.where} already, {what}; the first row counts",
            name,
            where=row.where,
        )
        return
    machine = Machine(name, row.where, "", {"name": name})
    strategy = row.get("r_type")
    if strategy.casefold() in _MOVES:
        machine.source = exports(inventory)
    else:
        machine.refused = f"its strategy is {shown(strategy)}: only Rehost moves a server as it is"
    system = row.get("server_os_version") or row.get("server_os_family") or row.get("server_os")
    about = (row.get("server_fqdn"), system, row.get("server_environment"), row.get("server_tier"))
    machine.comments.append("; ".join(each for each in about if each))
    machine.comments = [each for each in machine.comments if each]
    _application(inventory, machine, row)
    _image(inventory, machine, row)
    _launch(inventory, machine, row)
    _tags(inventory, machine, row)
    for column, value in row.cells.items():
        if column not in _READ:
            reason = NO_PLACE.get(
                column, "it is not an attribute of the factory's own; `rehost import csv` can give it a place"
            )
            inventory.tell(Kind.NOT_CARRIED, reason, name, field=column, value=value, where=row.where)
    inventory.add(machine)


def _application(inventory: Inventory, machine: Machine, row: Row) -> None:
    name, wave = row.get("app_name"), row.get("wave_name") or row.get("wave_id")
    if not name:
        inventory.tell(Kind.NOTE, "it is in no application", machine.name, field="app_name", where=row.where)
        return
    application = inventory.application(name)
    machine.application, machine.group = name, row.get("server_tier")
    if machine.group and machine.refused is None:
        reason = "tiers became groups; the form does not say which launches first: write `after`"
        inventory.tell(Kind.NOTE, reason, name, field="server_tier")
    if wave:
        inventory.join_wave(application, wave, row.where)


def _image(inventory: Inventory, machine: Machine, row: Row) -> None:
    family = row.get("server_os_family") or row.get("server_os")
    inventory.carry(machine, "image", "platform", family, field="server_os_family")
    inventory.carry(machine, "image", "encrypt", row.get("ebs_encrypted"), field="ebs_encrypted")
    key = row.get("ebs_kms_key_id")
    if key and not machine.image.get("encrypt"):
        inventory.tell(
            Kind.ASSUMED,
            "a key is named, so the image is encrypted with it",
            machine.name,
            field="ebs_kms_key_id",
            value=key,
        )
        machine.image["encrypt"] = True
    inventory.carry(machine, "image", "kmsKey", key, field="ebs_kms_key_id")
    if row.get("server_boot_mode_uefi").casefold() in ("true", "yes", "1"):
        if "platform" in machine.image:
            inventory.carry(machine, "image", "bootMode", "uefi", field="server_boot_mode_uefi")
        else:
            reason = "VM import has to be told the platform of a UEFI machine: fill server_os_family in"
            inventory.tell(Kind.NOT_CARRIED, reason, machine.name, field="server_boot_mode_uefi", where=row.where)


def _launch(inventory: Inventory, machine: Machine, row: Row) -> None:
    for column, key in _LAUNCH.items():
        inventory.carry(machine, "launchConfig", key, row.get(column), field=column)
    subnets = [each.strip() for each in row.get("subnet_IDs").split(";") if each.strip()]
    if len(subnets) > 1:
        reason = "an instance is launched into one subnet; the first one counts"
        inventory.tell(
            Kind.CHANGED, reason, machine.name, field="subnet_IDs", value="; ".join(subnets), where=row.where
        )
    inventory.carry(machine, "launchConfig", "subnet", subnets[:1] and subnets[0], field="subnet_IDs")
    inventory.carry(machine, "launchConfig", "securityGroups", row.get("securitygroup_IDs"), field="securitygroup_IDs")
    tenancy = row.get("tenancy")
    made = _TENANCY.get(tenancy.casefold(), tenancy)
    if made != "default":  # what EC2 does by itself
        inventory.carry(machine, "launchConfig", "placement.tenancy", made, field="tenancy")


def _tags(inventory: Inventory, machine: Machine, row: Row) -> None:
    """`key=value;key=value`, as the factory reads it."""
    for pair in row.get("tags").split(";"):
        key, equals, value = pair.partition("=")
        if equals and key.strip():
            inventory.tag(machine, machine.name, key.strip(), value.strip(), where=row.where, field="tags")
        elif pair.strip():
            reason = "this is no tag: they are written key=value, with ; between them"
            inventory.tell(Kind.NOT_CARRIED, reason, machine.name, field="tags", value=pair, where=row.where)
