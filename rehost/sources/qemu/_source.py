"""The `qemu` source: running machines of QEMU, by their QMP sockets or through libvirt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rehost.sources._errors import CommandRefused, FreezeLost, LocatorInvalid, SourceConfigInvalid, SourceError
from rehost.sources._protocol import (
    ChangePosition,
    Concern,
    DiscoveredDisk,
    DiscoveredServer,
    Locator,
    Power,
    Quiesce,
    Severity,
)
from rehost.sources.qemu import _agent, _disks, _names, _power, _remains
from rehost.sources.qemu._freeze import freeze
from rehost.sources.qemu._frozen import FrozenMachine, Moment, reopen
from rehost.sources.qemu._machines import LibvirtHost, Machine, Machines, SocketFolder
from rehost.sources.qemu._monitor import Monitor
from rehost.sources.qemu._scratch import Scratch


class QemuSource:
    """Thread-safe: it holds nothing but where its machines are."""

    def __init__(self, config: Mapping[str, Any], *, base: Path) -> None:
        """`config` is `{type: qemu, scratch: FOLDER}` with one of `sockets: FOLDER` and `libvirt: URI`; folders are
        relative to `base`. Raises SourceConfigInvalid; nothing is reached yet.
        """
        sockets, uri, scratch = (config.get(key) for key in ("sockets", "libvirt", "scratch"))
        if (sockets is None) == (uri is None):
            detail = "a `qemu` source needs one of `sockets`, the folder of QMP sockets, and `libvirt`, a URI"
            raise SourceConfigInvalid(detail=detail)
        if not isinstance(scratch, str) or not scratch:
            detail = "a `qemu` source needs `scratch`, a folder for what guests overwrite while they are copied"
            raise SourceConfigInvalid(detail=detail)
        self._machines: Machines = SocketFolder(base / str(sockets)) if uri is None else LibvirtHost(str(uri))
        self._scratch = (base / scratch).resolve()

    def discover(self) -> Iterator[DiscoveredServer]:
        """Every machine, by name. One that cannot be replicated now says why in `facts["problem"]`."""
        for name in self._machines.names():
            locator = {"name": name}
            try:
                yield self._describe(self._machines.find(name), locator)
            except SourceError as error:
                yield DiscoveredServer(name, locator, (), {"problem": str(error)})

    def inspect(self, server: Locator) -> DiscoveredServer:
        machine = self._locate(server)
        found = self._describe(machine, server)
        if not found.disks:
            _disks.check(machine.name, ())
        return found

    def freeze(self, server: Locator, *, quiesce: Quiesce, run: str) -> FrozenMachine:
        machine = self._locate(server)
        return freeze(machine, Scratch.of(self._scratch, machine.name), quiesce=quiesce, run=_names.safe(run))

    def reopen(self, token: str) -> FrozenMachine:
        moment = Moment.parse(token)
        try:
            machine = self._machines.find(moment.machine)
        except SourceError as error:
            if error.retryable:
                raise
            Scratch.of(self._scratch, moment.machine).remove()
            raise FreezeLost(detail=str(error)) from error
        return reopen(machine, Scratch.of(self._scratch, machine.name), moment)

    def power(self, server: Locator) -> Power:
        return _power.power(self._locate(server))

    def shut_down(self, server: Locator) -> bool:
        return _power.shut_down(*self._both(server))

    def power_off(self, server: Locator) -> None:
        _power.power_off(*self._both(server))

    def pause(self, server: Locator) -> None:
        _power.pause(*self._both(server))

    def power_on(self, server: Locator, *, to: Power = Power.ON) -> None:
        _power.power_on(*self._both(server), to)

    def changed(self, server: Locator, since: Mapping[str, ChangePosition]) -> bool | None:
        return _power.changed(self._locate(server), since)

    def remains(self, server: Locator) -> Sequence[str]:
        machine, scratch = self._both(server)
        return _remains.remains(machine, scratch)

    def forget(self, server: Locator, positions: Mapping[str, ChangePosition]) -> None:
        _remains.forget(self._locate(server), positions)

    def close(self) -> None:
        """Nothing is held."""

    def _both(self, server: Locator) -> tuple[Machine, Scratch]:
        machine = self._locate(server)
        return machine, Scratch.of(self._scratch, machine.name)

    def _locate(self, locator: Locator) -> Machine:
        if set(locator) != {"name"}:
            raise LocatorInvalid(locator=dict(locator), reason="give its `name` and nothing else")
        return self._machines.find(locator["name"])

    def _describe(self, machine: Machine, locator: Locator) -> DiscoveredServer:
        with machine.session() as monitor:
            found = _disks.inventory(monitor)
            facts = _facts(monitor, found)
        has_agent = machine.agent is not None and _agent.answers(machine.agent)
        facts["guestAgent"] = has_agent
        _disks.check(machine.name, found.disks) if found.disks else None
        concerns = [*found.concerns, *([] if has_agent else [_NO_AGENT])]
        disks = [DiscoveredDisk(disk.key, disk.size, disk.format, disk.allocated) for disk in found.disks]
        return DiscoveredServer(machine.name, dict(locator), disks, facts, concerns)


_NO_AGENT = Concern(
    "qemu-no-agent",
    Severity.WARNING,
    "no guest agent answers: images are crash-consistent, as after a power cut",
    "install qemu-guest-agent in the guest, or make sure that its databases recover from a power cut",
)


def _facts(monitor: Monitor, found: _disks.Inventory) -> dict[str, Any]:
    version = monitor.execute("query-version")["qemu"]
    facts: dict[str, Any] = {
        "qemu": f"{version['major']}.{version['minor']}.{version['micro']}",
        "status": monitor.execute("query-status")["status"],
        "firmware": "uefi" if found.uefi else "bios",
    }
    try:
        facts["cpus"] = len(monitor.execute("query-cpus-fast"))
        facts["memory"] = monitor.execute("query-memory-size-summary")["base-memory"]  # bytes
    except CommandRefused:
        pass  # nice to know, no more
    return facts
