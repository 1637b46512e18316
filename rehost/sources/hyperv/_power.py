"""The power of a machine, with the cmdlets that administrators use. Each may be repeated.

Pausing saves the machine's state to its host's disk (Save-VM): unlike one that is merely suspended, it stands still across a
restart of the host, and goes on where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import structlog

from rehost.sources._errors import ChangesUnknown, CommandRefused
from rehost.sources._power import any_changed
from rehost.sources._protocol import ChangePosition, Power
from rehost.sources.hyperv import _changes
from rehost.sources.hyperv._errors import ScriptFailed
from rehost.sources.hyperv._host import Host
from rehost.sources.hyperv._inventory import MachineRecord, power_of

log = structlog.get_logger("rehost.sources.hyperv")

_SECONDS = 600.0  # the memory of a large machine is written to its host's disk when its state is saved
_POLL = 0.5  # seconds


def power(host: Host, machine: str) -> Power:
    return power_of(str(host.run("power", Id=machine, Action="state")["state"]))


def shut_down(host: Host, machine: str) -> bool:
    if power(host, machine) is not Power.ON:
        return False
    return bool(host.run("power", Id=machine, Action="shutdown")["asked"])


def change(host: Host, machine: str, action: str, to: Power) -> None:
    """What another one did meanwhile is as good: the state counts. Raises CommandRefused."""
    if power(host, machine) is to:
        return
    try:
        host.run("power", Id=machine, Action=action)
    except ScriptFailed as error:
        if power(host, machine) is not to:
            reason = str(error.attributes["reason"])
            raise CommandRefused(
                place=host.name, command=f"to {action} {machine}", reason=reason, kind=str(error.attributes["kind"])
            ) from error
    deadline = time.monotonic() + _SECONDS
    while power(host, machine) is not to:
        if time.monotonic() > deadline:
            reason = f"it is not {to.value} after {_SECONDS:.0f} s"
            raise CommandRefused(place=host.name, command=f"to {action} {machine}", reason=reason, kind="timeout")
        time.sleep(_POLL)


def changed(host: Host, machine: MachineRecord, since: Mapping[str, ChangePosition]) -> bool | None:
    """Asked of the files that the machine writes to, or would."""
    if not machine.disks:
        return None
    return any_changed(_written(host, machine.name, disk.key, disk.path, disk.size, since) for disk in machine.disks)


def _written(host: Host, name: str, key: str, path: str, size: int, since: Mapping[str, ChangePosition]) -> bool | None:
    before = _changes.Position.parse(since.get(key, ""))
    if before is None or not before.tracking or not path:
        return None
    if before.size != size:
        return True
    try:
        return next(_changes.areas(host, path, before.tracking, size=size, disk=key), None) is not None
    except ChangesUnknown as error:
        log.info("whether a disk changed is not known", server=name, disk=key, reason=str(error))
        return None
