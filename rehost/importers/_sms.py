"""AWS Server Migration Service, as `aws sms get-...` printed it. Names: botocore 1.34, service model `sms` 2016-10-24.

What was printed before the service ended is all there is: nothing is asked of AWS.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rehost.importers._account import account
from rehost.importers._documents import Record, documents_of
from rehost.importers._errors import InventoryUnreadable, NothingToImport
from rehost.importers._inventory import Inventory, Machine, Options
from rehost.importers._remarks import Kind
from rehost.importers._sms_apps import Apps
from rehost.importers._sms_fields import IGNORED, NO_PLACE
from rehost.importers._values import fitting, shown
from rehost.importers._vcenters import hyperv, vcenter

_HYPERV = frozenset({"HYPERV-MANAGER", "SCVMM"})
_GUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_ENDED = frozenset({"DELETED", "DELETING"})
_FAILED = frozenset({"FAILED", "FAILING", "PAUSED_ON_FAILURE"})
#: What each command's output is known by: its keys, and whether they are about servers, jobs or applications.
_KINDS = {
    "serverList": "servers",
    "replicationJobList": "jobs",
    "replicationJob": "job",
    "appSummary": "app",
    "apps": "apps",
    "serverGroupReplicationConfigurations": "replication",
    "serverGroupLaunchConfigurations": "launch",
    "appValidationConfigurations": "validation",
    "serverGroupValidationConfigurations": "validation",
    "connectorList": "connectors",
}


def read_sms(files: Sequence[Path], options: Options) -> Inventory:
    """Any number of outputs of `aws sms get-servers`, `get-replication-jobs`, `get-app` and the others, in any order.

    Raises InventoryUnreadable, InventoryWrong, NothingToImport.
    """
    return _Sms(options).read(files)


class _Sms:
    def __init__(self, options: Options) -> None:
        self.options = options
        self.inventory = Inventory("sms")
        self.servers: dict[str, Record] = {}  # by id; read once, when all files are known
        self.jobs: dict[str, Record] = {}  # by the server's id
        self.apps = Apps(self.inventory)

    def read(self, files: Sequence[Path]) -> Inventory:
        found: dict[str, list[Record]] = {}
        for path in files:
            for number, document in enumerate(documents_of(path, self.options.encoding), 1):
                where = path.name if number == 1 else f"{path.name}#{number}"
                found.setdefault(_kind_of(document, path), []).append(Record(document, where, self.inventory.problems))
        self._take(found)
        chosen = [each for each in {**self.servers, **self.jobs} if self._is_meant(each)]
        for server in chosen:
            self.inventory.add(self._machine(server))
        rest = len(self.servers) - sum(each in self.servers for each in chosen)
        if rest:
            reason = "in the catalog, with no replication job and in no application; --all takes them over, too"
            self.inventory.tell(Kind.NOTE, reason, field="serverList", value=f"{rest} servers")
        self.inventory.finish()
        if not chosen:
            told = f"{rest} servers are in the catalog, but none has a replication job or an application; --all takes them over"
            raise NothingToImport(reason=told if rest else "the files hold no servers and no replication jobs")
        return self.inventory

    def _take(self, found: dict[str, list[Record]]) -> None:
        """Applications before what belongs to them; the order of the files is of no importance."""
        of = {kind: found.get(kind, []) for kind in _KINDS.values()}
        for record in of["servers"]:
            status = record.text("serverCatalogStatus")
            if status.upper() not in ("", "AVAILABLE"):
                self.inventory.tell(
                    Kind.NOTE, "the catalog was not up to date", field="serverCatalogStatus", value=status
                )
            self._servers(record.records("serverList"))
        for record in of["jobs"]:
            for each in record.records("replicationJobList"):
                self._job(each)
        for record in of["job"]:
            self._job(record.record("replicationJob"))
            record.records("replicationRunList")
        for record in of["app"]:
            self._servers(self.apps.app(record))
        for record in of["apps"]:
            self.apps.listed(record)
        for record in of["replication"]:
            self._servers(self.apps.replicated(record))
        for record in of["launch"]:
            self._servers(self.apps.launched(record))
        for record in of["validation"]:
            self.apps.validated(record)
        if of["connectors"]:
            reason = "connectors of rehost are started where the sources are: `rehost connector run`"
            self.inventory.tell(Kind.NOT_CARRIED, reason, field="connectorList")
        for record in [each for records in of.values() for each in records]:
            if record.text("nextToken"):
                reason = (
                    "the output is not whole: it ends with a nextToken. Print the rest, too, or leave --max-items away"
                )
                self.inventory.tell(Kind.NOTE, reason, field="nextToken", where=record.where)
            account(self.inventory, record, "", NO_PLACE, IGNORED)

    def _servers(self, records: Iterable[Record]) -> None:
        for record in records:
            self._server(record)

    def _server(self, record: Record) -> None:
        server = record.text("serverId")
        if not server:
            self.inventory.problems.append(f"{record.where}: a server without serverId")
            return
        known = self.servers.get(server)
        # Lists of groups often name a server's id alone: the catalog's own record says more.
        if known is None or ("vmServer" in record and "vmServer" not in known):
            self.servers[server] = record

    def _job(self, record: Record) -> None:
        server = record.text("serverId")
        if not server:
            self.inventory.problems.append(f"{record.where}: a replication job without serverId")
        elif record.text("state").upper() in _ENDED:
            state = record.text("state")
            reason = "its replication job was deleted: its settings are not taken over"
            self.inventory.tell(Kind.NOTE, reason, server, field="state", value=state, where=record.where)
        elif server in self.jobs:
            reason = "it has a second replication job; the first one counts"
            self.inventory.tell(Kind.NOT_CARRIED, reason, server, field="replicationJobId", where=record.where)
        else:
            self.jobs[server] = record

    def _is_meant(self, server: str) -> bool:
        if self.options.everything or server in self.jobs or server in self.apps.group_of:
            return True
        record = self.servers[server]
        return bool(record.text("replicationJobId")) and not record.flag("replicationJobTerminated")

    def _machine(self, server: str) -> Machine:
        record, job = self.servers.get(server), self.jobs.get(server)
        vm = self._vm(record, job)
        address = vm.record("vmServerAddress")
        name = vm.text("vmName") or server
        kind = vm.text("vmManagerType").upper().replace("_", "-")
        where = (job or record or vm).where
        moref, path = address.text("vmId"), vm.text("vmPath")
        if record is not None and record.flag("replicationJobTerminated"):
            self.inventory.tell(
                Kind.NOTE, "its replication job was deleted or had failed", name, field="replicationJobTerminated"
            )
        machine = Machine(name, where, "", _locators(kind, moref, path, vm.text("vmName")))
        machine.comments.append(f"SMS: {server}" + (f", {moref}" if moref else "") + (f", {path}" if path else ""))
        manager, unique = vm.text("vmManagerName"), address.text("vmManagerId")
        if self.options.source is not None or kind in ("VSPHERE", ""):
            machine.source = vcenter(self.inventory, manager, unique=unique) if vm.text("vmName") else ""
        elif kind in _HYPERV:
            machine.source = hyperv(self.inventory, manager, scvmm=kind == "SCVMM", unique=unique)
        else:
            machine.refused = f"it is a machine of {shown(kind)}, which is no type of source here; export its disks into a folder, and import with --source"
        if not vm.text("vmName"):
            reason = "the files do not say which machine it is: print `aws sms get-servers`, too"
            machine.refused = machine.refused or reason
        group = self.apps.group_of.get(server)
        if group is not None:
            machine.application, machine.group = group
        self._settings(machine, job, self.apps.replication.get(server))
        self.apps.launch(machine, server)
        if record is not None:
            account(self.inventory, record, name, NO_PLACE, IGNORED)
        account(self.inventory, vm, name, NO_PLACE, IGNORED)
        account(self.inventory, address, name, NO_PLACE, IGNORED)
        return machine

    def _vm(self, record: Record | None, job: Record | None) -> Record:
        for each in (record, job):
            if each is not None and "vmServer" in each:
                return each.record("vmServer")
        return Record({}, "", self.inventory.problems)

    def _settings(self, machine: Machine, job: Record | None, parameters: Record | None) -> None:
        given = [each for each in (job, parameters) if each is not None]
        if not given:
            self.inventory.tell(Kind.NOTE, "it has no replication job: a single run, and no schedule", machine.name)
            return

        def first(read: Any) -> Any:
            """The job's own value before that of its application; where they differ, that is told."""
            values = [value for value in map(read, given) if value is not None]
            if len(values) > 1 and values[0] != values[1]:
                reason = "its job and its application's configuration differ; the job's counts"
                self.inventory.tell(
                    Kind.CHANGED,
                    reason,
                    machine.name,
                    field="serverReplicationParameters",
                    value=f"{values[0]}, {values[1]}",
                )
            return values[0] if values else None

        self._schedule(machine, first)
        carry = self.inventory.carry
        licence = first(lambda each: each.text("licenseType") or None)
        carry(machine, "image", "license", licence, field="licenseType")
        key = first(lambda each: each.text("kmsKeyId") or None)
        encrypted = first(lambda each: each.flag("encrypted"))
        carry(machine, "image", "encrypt", encrypted, field="encrypted")
        if key and encrypted:
            carry(machine, "image", "kmsKey", key, field="kmsKeyId")
        elif key:
            reason = "the job was not encrypted: a key without encryption has no effect"
            self.inventory.tell(Kind.NOT_CARRIED, reason, machine.name, field="kmsKeyId", value=key)
        if job is not None:
            carry(machine, "image", "description", job.text("description"), field="description")
            state = job.text("state").upper()
            if state in _FAILED:
                message = job.text("statusMessage")
                self.inventory.tell(
                    Kind.NOTE, "its job had failed", machine.name, field="state", value=message or state
                )
            account(self.inventory, job, machine.name, NO_PLACE, IGNORED)
        if parameters is not None:
            account(self.inventory, parameters, machine.name, NO_PLACE, IGNORED)

    def _schedule(self, machine: Machine, first: Any) -> None:
        hours, once = first(lambda each: each.number("frequency")), first(lambda each: each.flag("runOnce"))
        keep = first(lambda each: each.number("numberOfRecentAmisToKeep"))
        if once:
            machine.schedule["runOnce"] = True
        elif hours:
            self._scheduled(machine, "every", f"{hours}h", "frequency")
        else:
            reason = "its job says neither frequency nor runOnce: a single run, and no schedule"
            self.inventory.tell(Kind.NOTE, reason, machine.name, field="frequency")
            return
        if keep is not None:
            self._scheduled(machine, "keepImages", keep, "numberOfRecentAmisToKeep")
        elif machine.schedule:
            reason = "its job does not say how many images stay: rehost keeps 3"
            self.inventory.tell(Kind.ASSUMED, reason, machine.name, field="numberOfRecentAmisToKeep")
        seed = first(lambda each: each.moment("seedReplicationTime") or each.moment("seedTime"))
        moment = _moment(seed)
        if seed is not None and (moment is None or moment <= self.options.now):
            reason = "it has passed: the first run is at once" if moment else "this is no moment"
            self.inventory.tell(Kind.NOT_CARRIED, reason, machine.name, field="seedReplicationTime", value=str(seed))
        elif moment is not None:
            self._scheduled(machine, "seedTime", moment.strftime("%Y-%m-%dT%H:%M:%SZ"), "seedReplicationTime")

    def _scheduled(self, machine: Machine, key: str, value: Any, field: str) -> None:
        made, problem = fitting("schedule", key, value)
        if problem:
            self.inventory.tell(Kind.NOT_CARRIED, problem, machine.name, field=field, value=value, where=machine.where)
        else:
            machine.schedule[key] = made


def _kind_of(document: Any, path: Path) -> str:
    """Raises InventoryUnreadable."""
    kind = next((_KINDS[key] for key in _KINDS if isinstance(document, dict) and key in document), None)
    if kind is None:
        keys = ", ".join(map(shown, list(document)[:6])) if isinstance(document, dict) else "no object"
        reason = (
            f"this is not what `aws sms get-...` prints (it has: {keys or 'nothing'}). Known are {', '.join(_KINDS)}"
        )
        raise InventoryUnreadable(path=str(path), reason=reason)
    return kind


def _locators(kind: str, moref: str, path: str, name: str) -> dict[str, Any]:
    """A path is what a reviewer can read, and cannot mean another machine of a vCenter that was set up anew, as a moref could."""
    if kind in _HYPERV:
        # SCVMM's id of a machine is its own; the host's is the machine's.
        known = {"uuid": moref} if kind == "HYPERV-MANAGER" and _GUID.fullmatch(moref) else {}
        return {**known, "name": name}
    found = {}
    if path.startswith("/"):
        # The catalog begins at the root folder, vSphere's own paths below it.
        found["path"] = path.removeprefix("/Datacenters")
    if moref:
        found["moref"] = moref
    if name:
        found["name"] = name
    return found


def _moment(value: str | float | None) -> datetime | None:
    try:
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
        found = datetime.fromisoformat(value) if value else None
    except (ValueError, OverflowError, OSError):
        return None
    return found.astimezone(UTC) if found and found.tzinfo else None
