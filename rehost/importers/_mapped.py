"""Any table, with a mapping from keys of the spec to its columns.

A key is `server`, `application`, `group`, `wave`, `application.owner`, `locator.KEY`, `launchConfig.KEY`, `image.KEY`, `tags.KEY`, `throttle`,
`quiesce`, or `schedule` and `launchConfig` for names that the spec has already.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from rehost.importers._errors import InventoryWrong, NothingToImport
from rehost.importers._inventory import Inventory, Machine, Options
from rehost.importers._remarks import Kind
from rehost.importers._table import Row, read_csv, require
from rehost.importers._values import has_key, shown
from rehost.importers._vcenters import exports, vcenter

_PLAIN = ("server", "application", "application.owner", "group", "wave", "account", "region")
_SECTIONS = {"launchConfig": "launchConfig", "image": "image", "locator": "locator"}
_SERVER = ("throttle", "quiesce", "schedule", "launchConfig")


def read_mapped(files: Sequence[Path], options: Options) -> Inventory:
    """CSV of any kind. Raises InventoryUnreadable, InventoryWrong, NothingToImport."""
    from rehost.importers._targets import Targets

    inventory, targets = Inventory("csv"), Targets(options)
    if "server" not in options.columns:
        raise InventoryWrong(
            ["which column names the servers has to be said: --map server=COLUMN, or `server:` in the mapping file"]
        )
    seen: dict[str, str] = {}
    for path in files:
        table = read_csv(path, encoding=options.encoding, delimiter=options.delimiter, known=options.columns.values())
        require(table, options.columns.values(), "the table that the mapping is for")
        check(options, table.columns, table.path)
        for raw in table.rows:
            row = _as_mapped(raw, options)
            name = row.get(options.columns["server"])
            if not name:
                inventory.tell(
                    Kind.LEFT_OUT, f"the row has nothing in the column {options.columns['server']}", where=row.where
                )
                continue
            if not targets.wants(_cell(row, options, "account"), _cell(row, options, "region")):
                continue
            if name.casefold() in seen:
                inventory.tell(
                    Kind.NOT_CARRIED,
                    f"the server stands in {seen[name.casefold()]} already; the first row counts",
                    name,
                    where=row.where,
                )
                continue
            seen[name.casefold()] = row.where
            _add(inventory, row, name, options)
    targets.finish(inventory)
    inventory.finish()
    if not inventory.machines:
        raise NothingToImport(reason="the table holds no servers")
    return inventory


def _add(inventory: Inventory, row: Row, name: str, options: Options) -> None:
    machine = Machine(name, row.where, "", {})
    for key, column in options.columns.items():
        if key.startswith("locator.") and row.get(column):
            machine.locators[key.removeprefix("locator.")] = row.get(column)
    in_vcenter = machine.locators.keys() & {"uuid", "moref"}
    machine.source = vcenter(inventory, "") if in_vcenter else exports(inventory)
    machine.locators.setdefault("name", name)
    carry(inventory, machine, row, options)
    mapped = set(options.columns.values()) | options.ignored
    for column, value in row.cells.items():
        if column not in mapped:
            reason = (
                "no key of the spec is mapped to this column; `ignore` in the mapping file says that it is not needed"
            )
            inventory.tell(Kind.NOT_CARRIED, reason, name, field=column, value=value, where=row.where)
    inventory.add(machine)


def carry(inventory: Inventory, machine: Machine, row: Row, options: Options) -> None:
    """The mapped columns of a row."""
    row = _as_mapped(row, options)
    application, wave = _cell(row, options, "application"), _cell(row, options, "wave")
    if application:
        found = inventory.application(application)
        machine.application, machine.group = application, _cell(row, options, "group")
        owner = _cell(row, options, "application.owner")
        if owner and found.owner in (None, owner[:200]):
            found.owner = owner[:200]
        elif owner:
            reason = f"the application has an owner already: {shown(found.owner)}"
            inventory.tell(
                Kind.NOT_CARRIED,
                reason,
                application,
                field=options.columns["application.owner"],
                value=owner,
                where=row.where,
            )
        if wave:
            inventory.join_wave(found, wave, row.where)
    elif wave:
        inventory.tell(
            Kind.NOT_CARRIED,
            "a wave is made of applications, and the row has none",
            machine.name,
            field=options.columns["wave"],
            value=wave,
            where=row.where,
        )
    for key, column in options.columns.items():
        section, dot, path = key.partition(".")
        value = row.get(column)
        if not value or key in _PLAIN or section == "locator":
            continue
        if section == "tags" and dot:
            inventory.tag(machine, machine.name, path, value, where=row.where, field=column)
        elif dot:
            inventory.carry(machine, section, path, value, field=column)
        else:
            inventory.carry(machine, "server", key, value, field=column)


def check(options: Options, columns: Collection[str], path: str) -> None:
    """Raises InventoryWrong for a mapping whose keys the spec does not have, or whose columns the table does not."""
    known = {each.casefold() for each in columns}
    problems = []
    for key, column in options.columns.items():
        section, dot, rest = key.partition(".")
        if not (
            key in _PLAIN
            or (not dot and key in _SERVER)
            or (dot and section == "tags" and rest)
            or (dot and section in _SECTIONS and has_key(section, rest))
        ):
            ways = f"{', '.join((*_PLAIN, *_SERVER))}, locator.KEY, launchConfig.KEY, image.KEY, tags.KEY"
            problems.append(f"the spec has nothing for the mapping's key {shown(key)}; known: {ways}")
        if column.casefold() not in known:
            problems.append(f"{path} has no column {shown(column)}, which is mapped to {shown(key)}")
    if problems:
        raise InventoryWrong(problems)


def _as_mapped(row: Row, options: Options) -> Row:
    """With the columns written as in the mapping."""
    own = {each.casefold(): each for each in (*options.columns.values(), *options.ignored)}
    return Row(row.where, {own.get(column.casefold(), column): value for column, value in row.cells.items()})


def _cell(row: Row, options: Options, key: str) -> str:
    return row.get(options.columns[key]) if key in options.columns else ""
