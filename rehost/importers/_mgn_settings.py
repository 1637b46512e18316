"""A server's launch and replication settings, as `aws mgn get-launch-configuration` and `get-replication-configuration` print them."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from rehost.importers._account import account
from rehost.importers._documents import Record
from rehost.importers._inventory import Inventory, Machine
from rehost.importers._mgn_fields import IGNORED, NO_PLACE
from rehost.importers._remarks import Kind

_BOOT = {"LEGACY_BIOS": "bios", "UEFI": "uefi"}


class Settings:
    def __init__(self, inventory: Inventory, found: Mapping[str, Sequence[Record]]) -> None:
        self.inventory = inventory
        self._launch = {each.text("sourceServerID"): each for each in found.get("launch", ())}
        self._replication = {each.text("sourceServerID"): each for each in found.get("replication", ())}
        for each in found.get("templates", ()):
            reason = "a template is what MGN gives to servers that are new; each server's own settings are in get-launch-configuration and get-replication-configuration"
            inventory.tell(Kind.NOT_CARRIED, reason, field="template", where=each.where)

    def of(self, machine: Machine, server: str) -> None:
        """Carry over what the files have for this server."""
        if server in self._launch:
            self._launched(machine, self._launch[server])
        if server in self._replication:
            self._replicated(machine, self._replication[server])

    def finish(self, servers: Container[str]) -> None:
        """Say whose settings are in the files, and who is not."""
        for server, record in (*self._launch.items(), *self._replication.items()):
            if server not in servers:
                reason = "the files have settings of this server, and not the server: print `aws mgn describe-source-servers`, too"
                self.inventory.tell(Kind.NOT_CARRIED, reason, server, field="sourceServerID", where=record.where)

    def _launched(self, machine: Machine, record: Record) -> None:
        carry = self.inventory.carry
        method = record.text("targetInstanceTypeRightSizingMethod")
        if method == "BASIC" and "instanceType" not in machine.launch:
            carry(machine, "launchConfig", "instanceType", "auto", field="targetInstanceTypeRightSizingMethod")
        elif method != "BASIC" and method and "instanceType" not in machine.launch:
            reason = "the instance type is in MGN's launch template, which its CSV export has and this output has not"
            self.inventory.tell(
                Kind.NOT_CARRIED, reason, machine.name, field="targetInstanceTypeRightSizingMethod", value=method
            )
        if record.flag("copyPrivateIp"):
            carry(machine, "launchConfig", "privateIp", "copy", field="copyPrivateIp")
        if record.text("launchDisposition") == "STOPPED":
            carry(machine, "launchConfig", "started", False, field="launchDisposition")
        if record.flag("copyTags") is False and machine.tags:
            reason = "MGN kept the tags from the instance; here a server's tags spread to all that is made of it"
            self.inventory.tell(Kind.CHANGED, reason, machine.name, field="copyTags")
        if record.record("licensing").flag("osByol"):
            carry(machine, "image", "license", "byol", field="licensing.osByol")
        self._boot(machine, record.text("bootMode"))
        account(self.inventory, record, machine.name, NO_PLACE, IGNORED)

    def _boot(self, machine: Machine, mode: str) -> None:
        if mode not in _BOOT:
            return  # USE_SOURCE is what auto does
        about = " ".join(machine.comments).casefold()
        platform = machine.image.get("platform") or next((each for each in ("windows", "linux") if each in about), None)
        if mode == "UEFI" and platform is None:
            reason = "VM import has to be told the platform of a UEFI machine, and the files do not name it"
            self.inventory.tell(Kind.NOT_CARRIED, reason, machine.name, field="bootMode", value=mode)
            return
        self.inventory.carry(machine, "image", "bootMode", _BOOT[mode], field="bootMode")
        if mode == "UEFI":
            self.inventory.carry(machine, "image", "platform", platform, field="os")

    def _replicated(self, machine: Machine, record: Record) -> None:
        encryption, key = record.text("ebsEncryption"), record.text("ebsEncryptionKeyArn")
        if encryption in ("DEFAULT", "CUSTOM"):
            self.inventory.carry(machine, "image", "encrypt", True, field="ebsEncryption")
        if encryption == "CUSTOM":
            self.inventory.carry(machine, "image", "kmsKey", key, field="ebsEncryptionKeyArn")
        rate = record.number("bandwidthThrottling")
        if rate:
            self.inventory.carry(machine, "server", "throttle", f"{rate} Mbit/s", field="bandwidthThrottling")
        account(self.inventory, record, machine.name, NO_PLACE, IGNORED)
