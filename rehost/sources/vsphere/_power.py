"""The power of a machine: the methods of VirtualMachine in the vSphere API reference, each of which may be repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import structlog
from pyVmomi import vim

from rehost.sources._errors import ChangesUnknown, CommandRefused
from rehost.sources._power import any_changed
from rehost.sources._protocol import ChangePosition, Power
from rehost.sources.vsphere import _changes
from rehost.sources.vsphere._client import Client
from rehost.sources.vsphere._errors import TaskFailed
from rehost.sources.vsphere._inventory import MachineRecord, retrieve

log = structlog.get_logger("rehost.sources.vsphere")

_TASK_SECONDS = 600.0  # the memory of a large machine is written to its datastore when it is suspended
_POWERS = {"poweredOn": Power.ON, "poweredOff": Power.OFF, "suspended": Power.PAUSED}
#: Faults that say that there is nobody in the guest to ask.
_NOBODY = frozenset({"ToolsUnavailable", "InvalidPowerState", "NotSupported", "OperationNotSupportedByGuest"})


def power(client: Client, moref: str) -> Power:
    """Raises ObjectGone."""
    path = "runtime.powerState"
    found = retrieve(client, client.managed(vim.VirtualMachine, moref), [path])
    return _POWERS.get(str(found.get(path)), Power.UNKNOWN)


def shut_down(client: Client, machine: MachineRecord) -> bool:
    if not machine.powered_on or not machine.tools_running:
        return False
    target = client.managed(vim.VirtualMachine, machine.moref)
    try:
        client.call(target.ShutdownGuest, f"asking {machine.name} to shut down")
    except TaskFailed as error:
        if error.fault not in _NOBODY:
            raise _refused(client, machine, error) from error
        log.info("the guest cannot be asked to shut down", server=machine.name, reason=error.reason)
        return False
    return True


def power_off(client: Client, machine: MachineRecord) -> None:
    _change(client, machine, Power.OFF, lambda target: target.PowerOffVM_Task(), "powering off")


def pause(client: Client, machine: MachineRecord) -> None:
    if machine.powered_on:
        _change(client, machine, Power.PAUSED, lambda target: target.SuspendVM_Task(), "suspending")


def power_on(client: Client, machine: MachineRecord) -> None:
    _change(client, machine, Power.ON, lambda target: target.PowerOnVM_Task(), "powering on")


def changed(client: Client, machine: MachineRecord, since: Mapping[str, ChangePosition]) -> bool | None:
    """Without a snapshot, vCenter says what changed on a machine that is off, and on no other."""
    if machine.power != "poweredOff" or not machine.disks:
        return None
    return any_changed(_written(client, machine, disk.key, disk.device_key, disk.size, since) for disk in machine.disks)


def _written(
    client: Client, machine: MachineRecord, key: str, device_key: int, size: int, since: Mapping[str, ChangePosition]
) -> bool | None:
    before = _changes.Position.parse(since.get(key, ""))
    if before is None or before.change_id is None:
        return None
    if before.size != size:
        return True
    target = client.managed(vim.VirtualMachine, machine.moref)
    try:
        areas = _changes.areas(client, target, None, device_key, before.change_id, size=size, disk=key)
        return next(areas, None) is not None
    except (ChangesUnknown, TaskFailed) as error:
        log.info("whether a disk changed is not known", server=machine.name, disk=key, reason=str(error))
        return None


def _change(client: Client, machine: MachineRecord, to: Power, begin: Callable[[Any], Any], doing: str) -> None:
    """What another one did meanwhile is as good: the state counts. Raises CommandRefused."""
    if _POWERS.get(machine.power) is to:
        return
    target = client.managed(vim.VirtualMachine, machine.moref)
    what = f"{doing} {machine.name}"
    try:
        client.wait(client.call(lambda: begin(target), what), what, timeout=_TASK_SECONDS)
    except TaskFailed as error:
        if power(client, machine.moref) is not to:
            raise _refused(client, machine, error) from error


def _refused(client: Client, machine: MachineRecord, error: TaskFailed) -> CommandRefused:
    return CommandRefused(
        place=client.config.place, command=str(error.attributes["task"]), reason=error.reason, kind=error.fault
    )
