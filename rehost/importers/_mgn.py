"""AWS Application Migration Service (AWS Transform MGN by now): its CSV export, and what `aws mgn ...` prints.

Names: botocore's service model `mgn`; MGN user guide, "Exporting your data inventory" and "Importing your data inventory".
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rehost.importers import _mgn_columns, _mgn_settings
from rehost.importers._account import account
from rehost.importers._documents import Record, documents_of, records_in
from rehost.importers._errors import InventoryUnreadable, NothingToImport
from rehost.importers._inventory import Inventory, Machine, Options
from rehost.importers._mgn_fields import IGNORED, NO_PLACE
from rehost.importers._read import text_of
from rehost.importers._remarks import Kind
from rehost.importers._table import Row, read_csv
from rehost.importers._targets import Targets
from rehost.importers._values import fitting, shown
from rehost.importers._vcenters import exports, vcenter

_OVER = frozenset({"CUTOVER"})
_GIB = 1 << 30


def read_mgn(files: Sequence[Path], options: Options) -> Inventory:
    """CSV and JSON in any order; a server that is in both is joined by its id. Raises InventoryUnreadable, InventoryWrong, NothingToImport."""
    return _Mgn(options).read(files)


class _Mgn:
    def __init__(self, options: Options) -> None:
        self.options = options
        self.inventory = Inventory("mgn")
        self.targets = Targets(options)
        self.found: dict[str, list[Record]] = {}
        self.rows: list[Row] = []

    def read(self, files: Sequence[Path]) -> Inventory:
        for path in files:
            text = text_of(path, self.options.encoding)
            if text.lstrip()[:1] in ("{", "["):
                for document in documents_of(path, self.options.encoding):
                    self._document(document, path)
            else:
                table = read_csv(
                    path, encoding=self.options.encoding, delimiter=self.options.delimiter, known=_mgn_columns.EXPORTED
                )
                _mgn_columns.check(table)
                self.rows += table.rows
        self._applications()
        settings = _mgn_settings.Settings(self.inventory, self.found)
        by_id = {row.get("mgn:server:id"): row for row in self.rows if row.get("mgn:server:id")}
        seen: set[str] = set()
        for record in self.found.get("servers", ()):
            server = record.text("sourceServerID")
            if server in seen:
                self.inventory.tell(Kind.NOTE, "it is there twice; the first one counts", server, where=record.where)
                continue
            seen.add(server)
            machine = self._machine(record, by_id.get(server))
            if machine is not None:
                settings.of(machine, server)
                self.inventory.add(machine)
        for row in self.rows:
            if row.get("mgn:server:id") not in seen:
                self._row(row, seen)
        settings.finish(seen)
        self.targets.finish(self.inventory)
        self.inventory.finish()
        if not self.inventory.machines:
            raise NothingToImport(reason="the files hold no servers")
        return self.inventory

    def _document(self, document: Any, path: Path) -> None:
        """Every command prints `items`; what they are, their keys say."""
        listed = document if isinstance(document, list) else document.get("items")
        if isinstance(document, dict) and document.get("nextToken"):
            reason = "the output is not whole: it ends with a nextToken. Print the rest, too, or leave --max-items away"
            self.inventory.tell(Kind.NOTE, reason, field="nextToken", where=path.name)
        items = listed if isinstance(listed, list) else [document]
        for record in records_in(items, path.name, self.inventory.problems):
            kind = _kind_of(record)
            if kind is None:
                reason = f"{record.where} is not what `aws mgn describe-source-servers`, `list-applications`, `list-waves`, `get-launch-configuration` or `get-replication-configuration` prints"
                raise InventoryUnreadable(path=str(path), reason=reason)
            self.found.setdefault(kind, []).append(record)

    def _applications(self) -> None:
        for record in self.found.get("waves", ()):
            key, name = record.text("waveID"), record.text("name")
            found = self.inventory.waves.setdefault(key, _mgn_columns.wave(key, name, record.text("description")))
            if record.flag("isArchived"):
                found.refused = "it is archived in MGN"
            if record.pairs("tags"):
                self.inventory.tell(
                    Kind.NOT_CARRIED, "a wave has no tags of its own", name, field="tags", where=record.where
                )
            account(self.inventory, record, name, NO_PLACE, IGNORED)
        for record in self.found.get("applications", ()):
            key, name = record.text("applicationID"), record.text("name")
            application = self.inventory.application(key)
            application.wanted = name or key
            if record.text("description"):
                application.comments.append(record.text("description"))
            if record.flag("isArchived"):
                application.refused = "it is archived in MGN"
            for tag, value in record.pairs("tags").items():
                self.inventory.tag(application, name, tag, value, where=record.where, field="tags")
            wave = record.text("waveID")
            if wave:
                if wave not in self.inventory.waves:
                    self.inventory.tell(
                        Kind.NOTE, "the files do not have its name: print `aws mgn list-waves`, too", wave
                    )
                self.inventory.join_wave(application, wave, record.where)
            account(self.inventory, record, name, NO_PLACE, IGNORED)

    def _machine(self, record: Record, row: Row | None) -> Machine | None:
        """A server of DescribeSourceServers, with what the CSV has of it."""
        region = _arn(record.text("arn"))
        if not self.targets.wants(*region):
            return None
        server = record.text("sourceServerID")
        properties, tags = record.record("sourceProperties"), record.pairs("tags")
        hints = properties.record("identificationHints")
        fqdn, hostname = hints.text("fqdn"), hints.text("hostname")
        name = hostname or fqdn or record.text("userProvidedID") or tags.get("Name") or server
        machine = Machine(name, record.where, "", {})
        machine.comments += [f"MGN: {server}", *_facts(properties)]
        self._state(machine, record.record("lifeCycle").text("state"), archived=bool(record.flag("isArchived")))
        self._locate(machine, hints, fqdn, hostname)
        for tag, value in tags.items():
            self.inventory.tag(machine, name, tag, value, where=record.where, field="tags")
        application = record.text("applicationID")
        if application:
            if application not in self.inventory.applications:
                self.inventory.tell(
                    Kind.NOTE, "the files do not have its name: print `aws mgn list-applications`, too", application
                )
            self.inventory.application(application)
            machine.application = application
        self._replication(machine, record.text("replicationType"))
        recommended = properties.text("recommendedInstanceType")
        if recommended:
            machine.comments.append(f"MGN recommends {recommended}")
        if row is not None:
            _mgn_columns.carry(self.inventory, machine, row)
        for each in (record, properties, hints):
            account(self.inventory, each, name, NO_PLACE, IGNORED)
        return machine

    def _locate(self, machine: Machine, hints: Record, fqdn: str, hostname: str) -> None:
        uuid, path = hints.text("vmWareUuid"), hints.text("vmPath")
        if uuid and not fitting("locator", "uuid", uuid)[1]:
            machine.locators["uuid"] = uuid
        if path.startswith("/"):
            machine.locators["path"] = path.removeprefix("/Datacenters")
        in_vcenter = bool(machine.locators)
        if hostname or fqdn:
            machine.locators["name"] = hostname or fqdn
        if hints.text("awsInstanceID"):
            machine.refused = f"it runs in EC2 already, as {hints.text('awsInstanceID')}: copy it with EC2's own images"
        if machine.refused is None:
            machine.source = vcenter(self.inventory, "") if in_vcenter else exports(self.inventory)

    def _replication(self, machine: Machine, kind: str) -> None:
        folded = kind.upper().replace("-", "_") if machine.refused is None else ""
        if folded in ("AGENT_BASED",):
            machine.schedule["continuous"] = True
            reason = "MGN replicates without a pause: continuous runs follow each other, minutes apart"
        elif folded in ("SNAPSHOT_SHIPPING", "AGENTLESS"):
            machine.schedule["every"] = "1h"
            reason = "MGN ships snapshots by a rhythm of its own, which it does not tell: every hour"
        else:
            return
        self.inventory.tell(Kind.ASSUMED, reason, machine.name, field="replicationType", value=kind)

    def _state(self, machine: Machine, state: str, *, archived: bool = False) -> None:
        if archived:
            machine.refused = machine.refused or "it is archived in MGN"
        elif state.upper() in _OVER:
            machine.refused = machine.refused or "MGN has cut it over already"
        elif state:
            machine.comments.append(f"In MGN it is {shown(state)}")

    def _row(self, row: Row, seen: set[str]) -> None:
        """A server that only the CSV has."""
        key = (
            row.get("mgn:server:id")
            or row.get("mgn:server:user-provided-id")
            or row.get("mgn:server:fqdn-for-action-framework")
        )
        if not key:
            _mgn_columns.carry_groups(self.inventory, row)
            reason = "the row has no server: neither mgn:server:user-provided-id nor an id or a host name"
            self.inventory.tell(Kind.NOTE, reason, where=row.where)
            return
        if not self.targets.wants(row.get("mgn:account-id"), row.get("mgn:region")):
            return
        if key in seen:
            self.inventory.tell(Kind.NOTE, "it is there twice; the first one counts", key, where=row.where)
            return
        seen.add(key)
        fqdn = row.get("mgn:server:fqdn-for-action-framework")
        name = row.get("mgn:server:user-provided-id") or fqdn or row.get("mgn:server:tag:Name") or key
        machine = Machine(name, row.where, "", {"name": name})
        machine.comments.append(
            f"MGN: {row.get('mgn:server:id') or 'not installed yet'}" + (f", {fqdn}" if fqdn else "")
        )
        self._state(machine, row.get("mgn:server:lifecycle-state"))
        if machine.refused is None:
            machine.source = exports(self.inventory)
        self._replication(machine, row.get("mgn:server:replication-type"))
        _mgn_columns.carry(self.inventory, machine, row)
        self.inventory.add(machine)


def _kind_of(record: Record) -> str | None:
    for key, kind in (
        ("launchConfigurationTemplateID", "templates"), ("replicationConfigurationTemplateID", "templates"),
        ("ec2LaunchTemplateID", "launch"), ("targetInstanceTypeRightSizingMethod", "launch"),
        ("stagingAreaSubnetId", "replication"), ("replicationServerInstanceType", "replication"),
        ("sourceServerID", "servers"), ("applicationID", "applications"), ("waveID", "waves"),
    ):  # fmt: skip
        if key in record:
            return kind
    return None


def _arn(arn: str) -> tuple[str, str]:
    """(account, region)"""
    parts = arn.split(":")
    return (parts[4], parts[3]) if len(parts) > 5 else ("", "")


def _facts(properties: Record) -> list[str]:
    cores = sum(each.number("cores") or 0 for each in properties.records("cpus"))
    memory = properties.number("ramBytes")
    disks = [each.number("bytes") or 0 for each in properties.records("disks")]
    addresses = [address for each in properties.records("networkInterfaces") for address in each.texts("ips")]
    system = properties.record("os").text("fullString")
    parts = [
        system,
        f"{cores} CPUs" if cores else "",
        f"{memory / _GIB:.0f} GiB" if memory else "",
        f"disks: {', '.join(f'{each / _GIB:.0f} GiB' for each in disks)}" if disks else "",
        ", ".join(addresses[:4]),
    ]
    return ["; ".join(each for each in parts if each)] if any(parts) else []
