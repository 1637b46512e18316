"""The power of a machine (Virtual Machines - Start, Power Off, Deallocate in the REST reference), each of which may be repeated."""

from __future__ import annotations

from collections.abc import Mapping

from rehost.sources._errors import CommandRefused, PowerImpossible
from rehost.sources._power import any_changed
from rehost.sources._protocol import ChangePosition, Power
from rehost.sources.azure import _inventory, _points
from rehost.sources.azure._client import Client
from rehost.sources.azure._config import PowerOff
from rehost.sources.azure._errors import CallRefused, ResourceGone
from rehost.sources.azure._inventory import COMPUTE, DISKS
from rehost.sources.azure._positions import Position
from rehost.sources.azure._records import DiskRecord, MachineRecord

_SECONDS = 900.0  # for a machine to start or to stop
_OFF = ("stopped", "deallocated")
#: While it stops, or is deallocated, it may still write.
_ON = ("running", "starting", "stopping", "deallocating")


def power(client: Client, machine_id: str) -> Power:
    """Raises ResourceGone."""
    now = _inventory.power(client, machine_id)
    return Power.OFF if now in _OFF else Power.ON if now in _ON else Power.UNKNOWN


def shut_down(client: Client, machine_id: str) -> bool:
    """Power Off without skipShutdown: Azure asks the guest, and cuts its power when it does not listen for some minutes."""
    if power(client, machine_id) is not Power.ON:
        return False
    _command(client, machine_id, "powerOff", "shutting down")
    return True


def power_off(client: Client, machine_id: str) -> None:
    now = _inventory.power(client, machine_id)
    if now not in _OFF:
        _command(client, machine_id, "powerOff", "powering off", skipShutdown="true")
        now = _inventory.power(client, machine_id)
    if client.config.power_off is PowerOff.DEALLOCATE and now != "deallocated":
        _command(client, machine_id, "deallocate", "deallocating")


def pause(client: Client, machine_id: str, name: str) -> None:
    if power(client, machine_id) is not Power.OFF:
        reason = "Azure cannot make a machine stand still; set `cutover: {power: off}`"
        raise PowerImpossible(name=name, reason=reason)


def power_on(client: Client, machine_id: str) -> None:
    if _inventory.power(client, machine_id) != "running":
        _command(client, machine_id, "start", "powering on")


def changed(client: Client, machine: MachineRecord, since: Mapping[str, ChangePosition]) -> bool | None:
    """Without a snapshot, Azure tells only that a machine was not started since: when its disks' ownership changed last."""
    if machine.power != "deallocated":
        return None
    return any_changed(_written(client, disk, since.get(disk.key, "")) for disk in machine.disks)


def _written(client: Client, disk: DiskRecord, since: ChangePosition) -> bool | None:
    before = Position.parse(since)
    if before is None or before.disk != disk.unique_id:
        return None
    if before.size != disk.size:
        return True
    try:
        base = client.get(before.resource, DISKS, "asking for a snapshot")
    except ResourceGone:
        return None
    if not disk.ownership:
        return None
    # A machine that was started since has written; but what, and whether to this disk, is not known.
    return False if _points.seconds(disk.ownership) <= _points.created_of(base) else None


def _command(client: Client, machine_id: str, command: str, doing: str, **query: str) -> None:
    """What another one did meanwhile is as good: the state counts. Raises CommandRefused, ResourceGone."""
    what = f"{doing} {machine_id.rpartition('/')[2]}"
    try:
        if command == "powerOff" and not query:
            client.begin("POST", f"{machine_id}/powerOff", COMPUTE, what)
        else:
            client.call("POST", f"{machine_id}/{command}", COMPUTE, what, timeout=_SECONDS, query=query)
    except CallRefused as error:
        if _inventory.power(client, machine_id) in _WANTED[command]:
            return
        told = error.attributes
        raise CommandRefused(
            place=client.config.place, command=what, reason=told["reason"], kind=told["code"]
        ) from error


_WANTED = {"powerOff": _OFF, "deallocate": ("deallocated",), "start": ("running",)}
