"""What the account must be allowed on a machine: the least-privilege role of docs/sources/vsphere.md, which a test holds to this list."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pyVmomi import vim

from rehost.sources._protocol import Concern, Severity
from rehost.sources.vsphere._client import Client
from rehost.sources.vsphere._config import Transport, VSphereConfig

#: Privilege -> what it is needed for. virt-v2v's manual names those of /folder; the API reference each method's own.
ALWAYS: Mapping[str, str] = {
    "System.View": "see the machine",
    "System.Read": "read its configuration",
    "VirtualMachine.State.CreateSnapshot": "take its points in time",
    "VirtualMachine.State.RemoveSnapshot": "remove them again",
    "VirtualMachine.Provisioning.DiskRandomRead": "read disks, and ask what changed on them",
}
TRACKING: Mapping[str, str] = {"VirtualMachine.Config.ChangeTracking": "turn changed block tracking on"}
HTTPS: Mapping[str, str] = {
    "VirtualMachine.Provisioning.GetVmFiles": "download from the machine",
    "Datastore.Browse": "find its files on the datastore",
    "Datastore.FileManagement": "read them over HTTPS",
}
EXPORT: Mapping[str, str] = {"VApp.Export": "export a snapshot"}
#: ShutdownGuest asks for PowerOff, too.
POWER: Mapping[str, str] = {
    "VirtualMachine.Interact.PowerOff": "shut it down or power it off",
    "VirtualMachine.Interact.PowerOn": "power it on again",
    "VirtualMachine.Interact.Suspend": "suspend it",
}


def needed(config: VSphereConfig) -> Mapping[str, str]:
    """Of the machine itself. Those on a datastore are granted there, and show when a disk is read."""
    wanted = dict(ALWAYS)
    if config.enable_change_tracking:
        wanted |= TRACKING
    if config.transport in (Transport.AUTO, Transport.HTTPS):
        wanted |= {key: value for key, value in HTTPS.items() if not key.startswith("Datastore.")}
    if config.transport is Transport.EXPORT:
        wanted |= EXPORT
    return wanted


def concerns(client: Client, moref: str) -> Sequence[Concern]:
    """An error for the privileges that the account lacks on a machine, all in one, and a warning for those of power."""
    wanted = needed(client.config)
    manager = client.content.authorizationManager
    session = client.session()
    target = client.managed(vim.VirtualMachine, moref)
    [answer] = client.call(
        lambda: manager.HasPrivilegeOnEntities([target], session.key, [*wanted, *POWER]), "asking for privileges"
    )
    granted = {each.privId for each in answer.privAvailability if each.isGranted}
    found = []
    if told := _missing(wanted, granted):
        remedy = "add them to the account's role on this machine or a folder above; docs/sources/vsphere.md has the whole role"
        found.append(Concern("missing-privileges", Severity.ERROR, f"the account lacks {told}", remedy))
    if told := _missing(POWER, granted):
        remedy = "add them to the account's role before its cutover, or set `cutover: {power: keep}`"
        found.append(Concern("missing-power-privileges", Severity.WARNING, f"the account lacks {told}", remedy))
    return found


def _missing(wanted: Mapping[str, str], granted: Collection[str]) -> str:
    return ", ".join(f"{each} (to {what})" for each, what in wanted.items() if each not in granted)
