"""The `hyperv` source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import structlog

from rehost.sources._common_concerns import refuse
from rehost.sources._errors import FreezeFailed, FreezeLost, SourceError, SourceUnavailable
from rehost.sources._protocol import (
    ChangePosition,
    Concern,
    DiscoveredDisk,
    DiscoveredServer,
    Locator,
    Power,
    Quiesce,
)
from rehost.sources.hyperv import _config, _names, _points, _pool, _power
from rehost.sources.hyperv._changes import Position
from rehost.sources.hyperv._concerns import concerns
from rehost.sources.hyperv._files import HostFiles
from rehost.sources.hyperv._frozen import (
    DiskState,
    FreezeState,
    FrozenMachine,
    checkpoint_there,
    remove_checkpoint,
)
from rehost.sources.hyperv._host import Host
from rehost.sources.hyperv._inventory import MachineRecord
from rehost.sources.vhd import open_disk

log = structlog.get_logger("rehost.sources.hyperv")


class HyperVSource:
    """Hosts with Hyper-V. Thread-safe; connects at the first call, and shares its sessions with others of the same configuration."""

    def __init__(self, config: Mapping[str, Any], *, base: Path) -> None:
        """`config` is the spec's entry, `{type: hyperv, endpoint: ..., credentials: ...}`. Raises SourceConfigInvalid."""
        self._config = _config.parse(config, base)
        self._hosts = _pool.acquire(self._config)
        self._closed = False
        self._frozen: list[FrozenMachine] = []

    def discover(self) -> Iterator[DiscoveredServer]:
        """Every machine that the account sees, by name, with its concerns."""
        found = sorted(self._hosts.machines(), key=lambda each: (each.name, each.id))
        times = Counter(each.name for each in found)
        for each in found:
            locator = {"name": each.name} if times[each.name] == 1 else {"uuid": each.id.lower()}
            yield _described(each, locator, concerns(each, self._config))

    def inspect(self, server: Locator) -> DiscoveredServer:
        record = self._record(server)
        found = concerns(record, self._config)
        refuse(record.name, found)
        return _described(record, server, found)

    def freeze(self, server: Locator, *, quiesce: Quiesce, run: str) -> FrozenMachine:
        machine = self._hosts.locate(server)
        frozen = self._hosts.on(machine, lambda host: self._freeze(host, machine, quiesce, run))
        self._frozen.append(frozen)
        return frozen

    def reopen(self, token: str) -> FrozenMachine:
        state = FreezeState.parse(token)
        if state.place != self._config.place:
            raise FreezeLost(detail=f"its token is of {state.place}, and this is {self._config.place}")
        if checkpoint_there(self._hosts, state) is None:
            remove_checkpoint(self._hosts, state)
            raise FreezeLost(detail=f"checkpoint {state.checkpoint} of {state.name} was removed")
        frozen = FrozenMachine(self._hosts, state)
        self._frozen.append(frozen)
        return frozen

    def power(self, server: Locator) -> Power:
        machine = self._hosts.locate(server)
        return self._hosts.on(machine, lambda host: _power.power(host, machine))

    def shut_down(self, server: Locator) -> bool:
        machine = self._hosts.locate(server)
        return self._hosts.on(machine, lambda host: _power.shut_down(host, machine))

    def power_off(self, server: Locator) -> None:
        self._change(server, "off", Power.OFF)

    def pause(self, server: Locator) -> None:
        machine = self._hosts.locate(server)
        if self.power(server) is Power.ON:
            self._hosts.on(machine, lambda host: _power.change(host, machine, "save", Power.PAUSED))

    def power_on(self, server: Locator, *, to: Power = Power.ON) -> None:
        if to is Power.ON:
            self._change(server, "start", Power.ON)
        else:
            self._hosts.locate(server)

    def changed(self, server: Locator, since: Mapping[str, ChangePosition]) -> bool | None:
        record = self._record(server)
        return self._hosts.on(record.id, lambda host: _power.changed(host, record, since))

    def remains(self, server: Locator) -> list[str]:
        """What carries rehost's marks at this server now, one line each, found by asking."""
        machine = self._hosts.locate(server)
        points = self._hosts.on(machine, lambda host: _points.read(host, machine))
        checkpoints = [f"checkpoint {each.name}" for each in points.checkpoints if _points.run_of(each) is not None]
        return checkpoints + [f"reference point {each.reference} of run {each.run}" for each in points.notes]

    def forget(self, server: Locator, positions: Mapping[str, ChangePosition]) -> None:
        """Remove the reference points behind `positions` (disk key -> position): no run will ask for changes since then.

        Idempotent; what other runs need stays.
        """
        machine = self._hosts.locate(server)
        parsed = (Position.parse(each) for each in positions.values())
        runs = {each.run for each in parsed if each is not None}

        def end(host: Host) -> None:
            for note in _points.read(host, machine).notes:
                if note.run in runs:
                    _points.end_tracking(host, machine, note)

        self._hosts.on(machine, end)

    def close(self) -> None:
        for frozen in self._frozen:
            frozen.close()
        self._frozen.clear()
        if not self._closed:
            self._closed = True
            _pool.release(self._hosts)

    def _record(self, server: Locator) -> MachineRecord:
        return self._hosts.machine(self._hosts.locate(server))

    def _change(self, server: Locator, action: str, to: Power) -> None:
        machine = self._hosts.locate(server)
        self._hosts.on(machine, lambda host: _power.change(host, machine, action, to))

    def _freeze(self, host: Host, machine: str, quiesce: Quiesce, run: str) -> FrozenMachine:
        record = self._hosts.machine(machine)
        timeout = self._config.checkpoint_timeout
        points = _points.settled(host, machine, timeout=timeout)
        if points.of(run) is None:
            refuse(record.name, concerns(record, self._config))
            _points.remove_stale(host, record, points, run, timeout=timeout)
            tracked = self._config.change_tracking and _points.begin_tracking(host, record, points, run)
            try:
                points = _points.take(host, record, points.power, run=run, quiesce=quiesce)
                return self._opened(host, record, points, run)
            except SourceUnavailable:
                # The script goes on without us: the same run finds its checkpoint, another one removes it.
                raise
            except BaseException:
                # Nobody has the token yet: nobody else would remove it.
                self._undo(host, record, run, tracked=tracked)
                raise
        return self._opened(host, record, points, run)

    def _undo(self, host: Host, record: MachineRecord, run: str, *, tracked: bool) -> None:
        try:
            _points.remove_all(host, record.id, run, timeout=self._config.checkpoint_timeout)
            note = _points.read(host, record.id).note(run)
            if tracked and note is not None:
                _points.end_tracking(host, record.id, note)
        except SourceError as error:
            log.warning("what a failed run left is not removed yet; the next run does it", reason=str(error))

    def _opened(self, host: Host, record: MachineRecord, points: _points.Points, run: str) -> FrozenMachine:
        """The disks as the checkpoint has them, opened once: what cannot be read shows before a run counts on it."""
        found = points.of(run)
        parsed = _names.parse_checkpoint(found.name) if found else None
        if found is None or parsed is None:
            raise FreezeFailed(server=record.name, reason="its checkpoint was removed as soon as it was made")
        tracking = points.tracking(run)
        states = []
        files = HostFiles(self._config, host)
        try:
            for each in record.disks:
                path = found.disks.get(each.slot)
                if path is None:  # attached since
                    log.warning("a disk is not in the checkpoint, and is left out", server=record.name, disk=each.key)
                    continue
                disk = open_disk(path, files)
                size = disk.size
                disk.close()
                states.append(DiskState(each.key, path, size, *tracking.get(each.slot, ("", ""))))
        finally:
            files.close()
        state = FreezeState(
            place=self._config.place,
            machine=record.id,
            name=record.name,
            checkpoint=found.id,
            run=run,
            consistency=parsed[1].value,
            disks=states,
        )
        return FrozenMachine(self._hosts, state)


def _described(record: MachineRecord, locator: Locator, found: list[Concern]) -> DiscoveredServer:
    guest = record.guest
    addresses = [
        each for each in guest.get("NetworkAddressIPv4", "").split(";") if each and not each.startswith("127.")
    ]
    facts: dict[str, Any] = {
        "uuid": record.id.lower(),
        "host": record.host,
        "cluster": record.cluster if record.clustered else "",
        "hostBuild": record.build,
        "generation": record.generation,
        "version": record.version,
        "guest": " ".join(each for each in (guest.get("OSName", ""), guest.get("OSVersion", "")) if each),
        "firmware": "uefi" if record.generation == 2 else "bios",
        "secureBoot": record.secure_boot,
        "cpus": record.cpus,
        "memoryMib": record.memory_mib,
        "dynamicMemory": record.dynamic_memory,
        "power": record.power.value,
        "state": record.state,
        "integrationServices": {name: on for name, (on, _) in sorted(record.services.items())},
        "changeTracking": _points.tracks(record),
        "hostName": guest.get("FullyQualifiedDomainName", ""),
        "address": addresses[0] if addresses else "",
        "nics": [dict(nic) for nic in record.nics],
        "snapshots": [each.name for each in record.checkpoints],
    }
    return DiscoveredServer(
        name=record.name,
        locator=locator,
        disks=[
            DiscoveredDisk(disk.key, disk.size, disk.format, min(disk.file_size, disk.size) or None)
            for disk in record.disks
        ],
        facts=facts,
        concerns=found,
    )
