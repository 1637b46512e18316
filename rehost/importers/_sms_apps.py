"""The applications of SMS: groups, launch order, launch configurations, of which several commands print a part each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rehost.importers._account import account
from rehost.importers._documents import Record
from rehost.importers._inventory import Inventory, Machine
from rehost.importers._remarks import Kind
from rehost.importers._sms_fields import IGNORED, NO_PLACE

_LAUNCH = {
    "instanceType": "instanceType",
    "subnet": "subnet",
    "ec2KeyName": "keyName",
    "iamInstanceProfileName": "instanceProfile",
}


class Apps:
    """`group_of` and `replication` are by server."""

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory
        self.group_of: dict[str, tuple[str, str]] = {}  # the application's key, and the group's name
        self.replication: dict[str, Record] = {}
        self._launches: dict[str, Record] = {}
        self._groups: dict[str, tuple[str, str]] = {}  # by id of a group

    def app(self, record: Record) -> Iterator[Record]:
        """One output of get-app; its servers."""
        summary = record.record("appSummary")
        key = summary.text("appId") or summary.text("name")
        name = summary.text("name") or key
        if not key:
            self.inventory.problems.append(f"{record.where}: an application with neither appId nor name")
            return
        if key in self.inventory.applications:
            self.inventory.tell(Kind.NOTE, "it is there twice; the first one counts", name, where=record.where)
            return
        found = self.inventory.application(key)
        found.wanted = name
        description = summary.text("description")
        found.comments.append(f"SMS: {summary.text('appId')}" + (f"; {description}" if description else ""))
        for tag in record.records("tags"):
            self.inventory.tag(found, name, tag.text("key"), tag.text("value"), where=tag.where, field="tags")
        for number, group in enumerate(record.records("serverGroups"), 1):
            called = group.text("name") or f"group-{number}"
            self._groups[group.text("serverGroupId")] = (key, called)
            for server in group.records("serverList"):
                self._member(server.text("serverId"), key, called, server.where)
                yield server
            account(self.inventory, group, name, NO_PLACE, IGNORED)
        account(self.inventory, summary, name, NO_PLACE, IGNORED)

    def listed(self, record: Record) -> None:
        """One output of list-apps: it has no groups."""
        for each in record.records("apps"):
            key, name = each.text("appId"), each.text("name")
            if key not in self.inventory.applications:
                reason = f"its groups are not in the files: print `aws sms get-app --app-id {key}`, too"
                self.inventory.tell(Kind.LEFT_OUT, reason, name or key, where=each.where)

    def replicated(self, record: Record) -> Iterator[Record]:
        """One output of get-app-replication-configuration; its servers."""
        for group in record.records("serverGroupReplicationConfigurations"):
            for each in group.records("serverReplicationConfigurations"):
                server = each.record("server")
                self._loose(server, group.text("serverGroupId"))
                self.replication[server.text("serverId")] = each.record("serverReplicationParameters")
                yield server

    def launched(self, record: Record) -> Iterator[Record]:
        """One output of get-app-launch-configuration; its servers."""
        name = self._name(record.text("appId"))
        for group in record.records("serverGroupLaunchConfigurations"):
            order, place = group.number("launchOrder"), self._groups.get(group.text("serverGroupId"))
            if place is not None and order is not None:
                self.inventory.applications[place[0]].order[place[1]] = order
            for each in group.records("serverLaunchConfigurations"):
                server = each.record("server")
                self._loose(server, group.text("serverGroupId"))
                self._launches[server.text("serverId")] = each
                yield server
        account(self.inventory, record, name, NO_PLACE, IGNORED)

    def validated(self, record: Record) -> None:
        """One output of get-app-validation-configuration: the scripts are in S3, or are for one instance that SMS made."""
        reason = "write it as `validation` of its group; docs/validation.md says how"
        for each in record.records("appValidationConfigurations"):
            command = each.record("ssmValidationParameters").text("command")
            self.inventory.tell(
                Kind.NOT_CARRIED, reason, field="appValidationConfigurations", value=command or each.text("name")
            )
        for group in record.records("serverGroupValidationConfigurations"):
            application, called = self._groups.get(group.text("serverGroupId"), ("", ""))
            for each in group.records("serverValidationConfigurations"):
                source = each.record("userDataValidationParameters").record("source").record("s3Location")
                subject = f"{self._name(application)}/{called}" if called else each.record("server").text("serverId")
                self.inventory.tell(
                    Kind.NOT_CARRIED, reason, subject, field="serverGroupValidationConfigurations", value=_s3(source)
                )

    def launch(self, machine: Machine, server: str) -> None:
        """What SMS would have launched it as."""
        each = self._launches.get(server)
        if each is None:
            return
        for field, key in _LAUNCH.items():
            self.inventory.carry(machine, "launchConfig", key, each.text(field), field=field)
        group = each.text("securityGroup")
        self.inventory.carry(
            machine, "launchConfig", "securityGroups", [group] if group else None, field="securityGroup"
        )
        self.inventory.carry(
            machine, "launchConfig", "publicIp", each.flag("associatePublicIpAddress"), field="associatePublicIpAddress"
        )
        kind = each.text("configureScriptType").removesuffix("_SCRIPT")
        for field, key, place in (
            ("userData", "userData: {file: ...}", each.record("userData").record("s3Location")),
            (
                "configureScript",
                f"configureScript: {{type: {kind or 'SHELL'}, file: ...}}",
                each.record("configureScript"),
            ),
        ):
            if place.text("key"):
                reason = f"it is an object of S3: fetch it, put it beside the spec, and write {key}"
                self.inventory.tell(
                    Kind.NOT_CARRIED, reason, machine.name, field=field, value=_s3(place), where=each.where
                )
                machine.comments.append(f"To do: {field} was {_s3(place)}; {reason}")
        account(self.inventory, each, machine.name, NO_PLACE, IGNORED)

    def _member(self, server: str, application: str, group: str, where: str) -> None:
        if self.group_of.setdefault(server, (application, group)) != (application, group):
            reason = "a server is in one group of one application; the first one counts"
            self.inventory.tell(Kind.NOT_CARRIED, reason, server, field="serverGroups", value=group, where=where)

    def _loose(self, server: Record, group: str) -> None:
        """A configuration names a group and its servers, but not the application."""
        if server.text("serverId") not in self.group_of and group not in self._groups:
            reason = "the files do not say to which application its group belongs: print `aws sms get-app`, too"
            self.inventory.tell(Kind.NOT_CARRIED, reason, server.text("serverId"), field="serverGroupId", value=group)

    def _name(self, key: str) -> str:
        found: Any = self.inventory.applications.get(key)
        return found.wanted if found else key


def _s3(place: Record) -> str:
    bucket, key = place.text("bucket"), place.text("key")
    return f"s3://{bucket}/{key}" if bucket or key else ""
