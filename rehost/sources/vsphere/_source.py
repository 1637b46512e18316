"""The `vsphere` source."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog
from pyVmomi import vim

from rehost.sources._common_concerns import refuse
from rehost.sources._errors import DiskUnsuitable, FreezeFailed, FreezeLost
from rehost.sources._protocol import (
    ChangePosition,
    Concern,
    Consistency,
    DiscoveredDisk,
    DiscoveredServer,
    Locator,
    Power,
    Quiesce,
)
from rehost.sources.vsphere import _config, _pool, _power, _privileges, _snapshots
from rehost.sources.vsphere._client import Client
from rehost.sources.vsphere._concerns import concerns
from rehost.sources.vsphere._config import Transport
from rehost.sources.vsphere._errors import ObjectGone, TaskFailed
from rehost.sources.vsphere._export import ExportReader
from rehost.sources.vsphere._frozen import (
    DiskReader,
    DiskState,
    FreezeState,
    FrozenMachine,
    remove_snapshot,
    snapshot_there,
)
from rehost.sources.vsphere._https import HttpsReader
from rehost.sources.vsphere._inventory import (
    DiskRecord,
    MachineRecord,
    SnapshotEntry,
    disks,
    machine,
    machines,
    retrieve,
)
from rehost.sources.vsphere._locate import locate
from rehost.sources.vsphere._names import is_ours
from rehost.sources.vsphere._vddk import VddkReader

log = structlog.get_logger("rehost.sources.vsphere")


class VSphereSource:
    """One vCenter. Thread-safe; connects at the first call, and shares its session with others of the same configuration."""

    def __init__(self, config: Mapping[str, Any], *, base: Path) -> None:
        """`config` is the spec's entry, `{type: vsphere, endpoint: ..., credentials: ...}`. Raises SourceConfigInvalid."""
        self._config = _config.parse(config, base)
        self._client = _pool.acquire(self._config)
        self._closed = False
        self._readers: list[DiskReader] = []

    def discover(self) -> Iterator[DiscoveredServer]:
        """Every machine that is no template, by name, with its concerns. Privileges are looked at by `inspect` alone."""
        found = sorted(machines(self._client), key=lambda each: each.path)
        times = Counter(each.name for each in found)
        for each in found:
            locator = {"name": each.name} if times[each.name] == 1 else {"path": each.path}
            yield _described(each, locator, concerns(each, self._config))

    def inspect(self, server: Locator) -> DiscoveredServer:
        record = self._record(server)
        found = [*_privileges.concerns(self._client, record.moref), *concerns(record, self._config)]
        refuse(record.name, found)
        return _described(record, server, found)

    def freeze(self, server: Locator, *, quiesce: Quiesce, run: str) -> FrozenMachine:
        record = self._record(server)
        target = self._client.managed(vim.VirtualMachine, record.moref)
        entry = _snapshots.ours(record.snapshots, run)
        if entry is None:
            refuse(record.name, concerns(record, self._config))
            if _snapshots.remove_stale(self._client, target, record.snapshots, run, time.time()):
                record = machine(self._client, record.moref)
            if record.consolidation_needed:
                _snapshots.consolidate(self._client, target, timeout=self._config.snapshot_timeout)
            self._track_changes(record, target)
            entry = _snapshots.take(self._client, record, run=run, quiesce=quiesce)
        try:
            return self._opened(record, entry, run)
        except BaseException:
            # Nobody has the token yet: nobody else would remove it.
            _snapshots.remove(self._client, target, entry.moref, timeout=self._config.snapshot_timeout)
            raise

    def reopen(self, token: str) -> FrozenMachine:
        state = FreezeState.parse(token)
        if state.vcenter != self._vcenter():
            raise FreezeLost(detail=f"its token is of another vCenter than {self._config.place}")
        if not snapshot_there(self._client, state):
            remove_snapshot(self._client, state)
            raise FreezeLost(detail=f"snapshot {state.snapshot} of {state.name} was removed")
        return FrozenMachine(self._client, state, self._reader(state))

    def power(self, server: Locator) -> Power:
        return _power.power(self._client, locate(self._client, server))

    def shut_down(self, server: Locator) -> bool:
        return _power.shut_down(self._client, self._record(server))

    def power_off(self, server: Locator) -> None:
        _power.power_off(self._client, self._record(server))

    def pause(self, server: Locator) -> None:
        _power.pause(self._client, self._record(server))

    def power_on(self, server: Locator, *, to: Power = Power.ON) -> None:
        record = self._record(server)
        if to is Power.ON:
            _power.power_on(self._client, record)

    def changed(self, server: Locator, since: Mapping[str, ChangePosition]) -> bool | None:
        return _power.changed(self._client, self._record(server), since)

    def remains(self, server: Locator) -> Sequence[str]:
        return [f"snapshot {each.name}" for each in self._record(server).snapshots if is_ours(each)]

    def forget(self, server: Locator, positions: Mapping[str, ChangePosition]) -> None:
        """The hosts track changes for all: nothing of ours is kept for a position."""

    def close(self) -> None:
        for reader in self._readers:
            reader.close()
        self._readers.clear()
        if not self._closed:
            self._closed = True
            _pool.release(self._client)

    def _vcenter(self) -> str:
        return str(self._client.content.about.instanceUuid or self._config.place)

    def _record(self, server: Locator) -> MachineRecord:
        moref = locate(self._client, server)
        return machine(self._client, moref)

    def _track_changes(self, record: MachineRecord, target: Any) -> None:
        """Turn changed block tracking on where it is off, the spec allows it, and vSphere can."""
        foreign = [each for each in record.snapshots if not is_ours(each)]
        if record.cbt_enabled or not record.cbt_supported or foreign or not self._config.enable_change_tracking:
            return
        doing = f"turning on changed block tracking of {record.name}"
        try:
            change = vim.vm.ConfigSpec(changeTrackingEnabled=True)
            task = self._client.call(lambda: target.ReconfigVM_Task(change), doing)
            self._client.wait(task, doing, timeout=self._config.snapshot_timeout)
            log.info("changed block tracking is on from now", server=record.name)
        except TaskFailed as error:
            log.warning(
                "changed block tracking stays off: whole disks are read", server=record.name, reason=error.reason
            )

    def _opened(self, record: MachineRecord, entry: SnapshotEntry, run: str) -> FrozenMachine:
        found = self._snapshot_disks(record, entry)
        chained = any(each.has_parent or each.backing != "flat" for each in found) or any(
            each.moref != entry.moref for each in record.snapshots
        )
        if entry.quiesced:
            consistency = Consistency.FILESYSTEM
        else:
            consistency = Consistency.OFFLINE if record.power == "poweredOff" else Consistency.CRASH
        state = FreezeState(
            vcenter=self._vcenter(),
            moref=record.moref,
            name=record.name,
            snapshot=entry.moref,
            run=run,
            consistency=consistency.value,
            datacenter=record.datacenter,
            transport=Transport.HTTPS,
            disks=[DiskState(each.key, each.device_key, each.size, each.file, each.change_id) for each in found],
        )
        return self._with_transport(state, chained=chained)

    def _snapshot_disks(self, record: MachineRecord, entry: SnapshotEntry) -> list[DiskRecord]:
        """The disks as the snapshot has them: change ids stand in its configuration, not in the machine's."""
        try:
            values = retrieve(
                self._client,
                self._client.managed(vim.vm.Snapshot, entry.moref),
                ["config.hardware.device", "config.bootOptions"],
            )
        except ObjectGone as error:
            raise FreezeFailed(server=record.name, reason="its snapshot was removed as soon as it was made") from error
        return disks(values.get("config.hardware.device") or (), values.get("config.bootOptions"))

    def _with_transport(self, state: FreezeState, *, chained: bool) -> FrozenMachine:
        """The state with the transport that serves, and its reader."""
        wanted = self._config.transport
        if wanted in (Transport.AUTO, Transport.HTTPS):
            wanted = Transport.HTTPS
            problem = "its disks are chains of files, since it has other snapshots" if chained else self._problem(state)
            if problem and self._config.transport is Transport.HTTPS:
                reason = f"{problem}; `transport: auto` reads it another way"
                raise DiskUnsuitable(path=state.disks[0].file, reason=reason)
            if problem:
                wanted = Transport.VDDK if self._config.vddk else Transport.EXPORT
                log.info("the disks are not read over /folder", server=state.name, reason=problem, instead=wanted.value)
        state = replace(state, transport=wanted.value)
        return FrozenMachine(self._client, state, self._reader(state))

    def _problem(self, state: FreezeState) -> str:
        reader = HttpsReader(self._client, state)
        try:
            return reader.problem()
        finally:
            reader.close()

    def _reader(self, state: FreezeState) -> DiskReader:
        """Closed with the source at the latest."""
        kinds: Mapping[str, Callable[[Client, FreezeState], DiskReader]] = {
            Transport.HTTPS: HttpsReader,
            Transport.VDDK: VddkReader,
            Transport.EXPORT: ExportReader,
        }
        if state.transport not in kinds:
            raise FreezeLost(detail=f"its transport {state.transport!r} is not known")
        reader = kinds[state.transport](self._client, state)
        self._readers.append(reader)
        return reader


def _described(record: MachineRecord, locator: Locator, found: list[Concern]) -> DiscoveredServer:
    facts: dict[str, Any] = {
        "moref": record.moref,
        "uuid": record.instance_uuid or record.uuid,
        "path": record.path,
        "folder": record.folder,
        "host": record.host,
        "guest": record.guest,
        "guestId": record.guest_id,
        "firmware": record.firmware,
        "secureBoot": record.secure_boot,
        "hardware": record.hardware_version,
        "cpus": record.cpus,
        "memoryMib": record.memory_mib,
        "power": record.power,
        "toolsRunning": record.tools_running,
        "changeTracking": record.cbt_enabled,
        "hostName": record.host_name,
        "address": record.address,
        "nics": [{"label": nic.label, "mac": nic.mac, "network": nic.network} for nic in record.nics],
        "snapshots": [each.name for each in record.snapshots],
        "tags": dict(record.tags),
    }
    return DiscoveredServer(
        name=record.name,
        locator=locator,
        disks=[DiscoveredDisk(disk.key, disk.size, disk.backing) for disk in record.disks],
        facts=facts,
        concerns=found,
    )
