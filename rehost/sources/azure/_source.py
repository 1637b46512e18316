"""The `azure` source."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import structlog

from rehost.sources._common_concerns import refuse
from rehost.sources._errors import DiskUnsuitable, FreezeFailed, FreezeLost, QuiesceImpossible
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
from rehost.sources.azure import (
    _config,
    _inventory,
    _points,
    _pool,
    _positions,
    _power,
    _privileges,
    _taking,
    _vhd,
    _ways,
)
from rehost.sources.azure._access import Access
from rehost.sources.azure._blob import Blobs
from rehost.sources.azure._concerns import concerns
from rehost.sources.azure._errors import ResourceGone
from rehost.sources.azure._frozen import DiskState, FreezeState, FrozenMachine
from rehost.sources.azure._locate import locate, not_found
from rehost.sources.azure._names import ResourceId, same
from rehost.sources.azure._points import Place, Point
from rehost.sources.azure._records import MachineRecord
from rehost.sources.azure._taking import Taken, TakenDisk
from rehost.sources.azure._ways import Way

log = structlog.get_logger("rehost.sources.azure")

T = TypeVar("T")


class AzureSource:
    """One subscription. Thread-safe; logs in at the first call, and shares its login with others of the same configuration."""

    def __init__(self, config: Mapping[str, Any], *, base: Path) -> None:
        """`config` is the spec's entry, `{type: azure, subscription: ..., auth: ...}`. Raises SourceConfigInvalid."""
        self._config = _config.parse(config, base)
        self._client = _pool.acquire(self._config)
        self._closed = False
        self._readers: Blobs | None = None

    def discover(self) -> Iterator[DiscoveredServer]:
        """Every machine, by name, with its concerns."""
        found = sorted(_inventory.machines(self._client), key=lambda each: (each.name.lower(), each.group.lower()))
        times = Counter(each.name.lower() for each in found)
        for each in found:
            unique = times[each.name.lower()] == 1
            locator = {"name": each.name} if unique else {"name": each.name, "resourceGroup": each.group}
            yield _described(each, locator, concerns(each))

    def inspect(self, server: Locator) -> DiscoveredServer:
        record = self._record(server)
        machines = f"/subscriptions/{self._config.subscription}/resourceGroups/{record.group}"
        rights = _privileges.concerns(self._client, machines, self._place(record).group)
        found = [*rights, *concerns(record)]
        refuse(record.name, found)
        return _described(record, server, found)

    def freeze(self, server: Locator, *, quiesce: Quiesce, run: str) -> FrozenMachine:
        record = self._record(server)
        place = self._place(record)
        points = _points.listed(self._client, place)
        mine = next((each for each in points if each.is_of(run) and not each.kept), None)
        taken = self._found(record, mine) if mine else None
        if taken is None:
            refuse(record.name, concerns(record))
            for each in points:
                if each.is_of(run):  # what is no whole point in time, or was released under this name
                    _points.remove(self._client, each.ids)
            _points.remove_stale(self._client, [each for each in points if not each.is_of(run)], run, time.time())
            taken = self._taken(record, place, points, quiesce, run)
        try:
            return self._opened(record, place, taken, run)
        except BaseException:
            if mine is None:
                # Nobody has the token yet: nobody else would remove it.
                _points.remove(self._client, _ids(taken))
            raise

    def reopen(self, token: str) -> FrozenMachine:
        state = FreezeState.parse(token)
        parsed = ResourceId.parse(state.machine)
        if parsed is None or not same(parsed.subscription, self._config.subscription):
            raise FreezeLost(detail=f"its token is of another subscription than {self._config.subscription}")
        gone = state.gone(self._client)
        if gone:
            self._remove_rest(state, gone)
            raise FreezeLost(detail=gone)
        accesses = [Access(self._client, disk.resource) for disk in state.disks]
        return FrozenMachine(self._client, self._blobs(), state, accesses)

    def power(self, server: Locator) -> Power:
        return self._asked(server, lambda machine: _power.power(self._client, machine))

    def shut_down(self, server: Locator) -> bool:
        return self._asked(server, lambda machine: _power.shut_down(self._client, machine))

    def power_off(self, server: Locator) -> None:
        self._asked(server, lambda machine: _power.power_off(self._client, machine))

    def pause(self, server: Locator) -> None:
        self._asked(server, lambda machine: _power.pause(self._client, machine, machine.rpartition("/")[2]))

    def power_on(self, server: Locator, *, to: Power = Power.ON) -> None:
        if to is Power.ON:
            self._asked(server, lambda machine: _power.power_on(self._client, machine))

    def changed(self, server: Locator, since: Mapping[str, ChangePosition]) -> bool | None:
        return _power.changed(self._client, self._record(server), since)

    # What is left of rehost at a server

    def remains(self, server: Locator) -> Sequence[str]:
        """Snapshots and restore points of ours at the server, one line each. Raises SourceError."""
        place = self._place(self._record(server))
        return [
            f"{'kept for the next difference' if point.kept else 'open'}: {each}"
            for point in _points.listed(self._client, place)
            for each in point.ids
        ]

    def forget(self, server: Locator, positions: Mapping[str, ChangePosition]) -> None:
        """Remove what is kept to tell changes since these positions; the machine itself may be gone. Idempotent.

        Raises SourceError.
        """
        asked = [each for text in positions.values() if (each := _positions.Position.parse(text)) is not None]
        _points.forget(self._client, asked)

    def close(self) -> None:
        if self._readers is not None:
            self._readers.close()
        if not self._closed:
            self._closed = True
            _pool.release(self._client)

    def _asked(self, server: Locator, ask: Callable[[str], T]) -> T:
        """`ask(id of the machine)`. Raises ServerNotFound where there is none."""
        machine = locate(self._client, server)
        try:
            return ask(machine)
        except ResourceGone:
            self._client.forget("names")
            raise not_found(self._client, machine.rpartition("/")[2]) from None

    def _record(self, server: Locator) -> MachineRecord:
        return self._asked(server, lambda machine: _inventory.machine(self._client, machine))

    def _place(self, record: MachineRecord) -> Place:
        return _points.place_of(self._client, record.id, record.name, record.group, record.location)

    def _found(self, record: MachineRecord, point: Point) -> Taken | None:
        """What an earlier life of this freeze made, if it is whole."""
        if point.snapshots is None:
            try:
                return _taking.of_restore_point(self._client, record, point.restore_point)
            except (FreezeFailed, ResourceGone):
                return None
        states = {
            (each.get("properties") or {}).get("provisioningState", "Succeeded") for each in point.snapshots.values()
        }
        if set(point.snapshots) != {disk.key for disk in record.disks} or states != {"Succeeded"}:
            return None
        known = point.consistency in set(Consistency)
        if len(record.disks) > 1 and not record.off:
            return None  # it may have been started before the last of them was taken
        return _taking.of_snapshots(point.snapshots, Consistency(point.consistency) if known else Consistency.CRASH)

    def _taken(self, record: MachineRecord, place: Place, points: Sequence[Point], quiesce: Quiesce, run: str) -> Taken:
        kept = [each for each in points if each.kept and not each.is_of(run)]
        keeps = None if not kept else Way.SNAPSHOTS if kept[-1].snapshots is not None else Way.CRASH
        way = _ways.choose(record, quiesce, keeps=keeps)
        if quiesce is Quiesce.REQUIRE and not record.off and way is not Way.APPLICATION:
            detail = f"the Azure VM agent does not answer in {record.name}; start it, or set `quiesce: try`"
            raise QuiesceImpossible(detail=detail)
        if way is None:
            reason = "nothing takes all of its disks at one moment while it runs: install its agent, or shut it down"
            raise FreezeFailed(server=record.name, reason=reason)
        return _taking.take(self._client, record, place, way, run=run, quiesce=quiesce)

    def _opened(self, record: MachineRecord, place: Place, taken: Taken, run: str) -> FrozenMachine:
        accesses = [Access(self._client, each.resource) for each in taken.disks]
        try:
            sizes = [self._size(each, access) for each, access in zip(taken.disks, accesses, strict=True)]
        except BaseException:
            for access in accesses:
                access.revoke()
            raise
        state = FreezeState(
            machine=record.id,
            name=record.name,
            group=place.group,
            location=place.location,
            run=run,
            consistency=taken.consistency.value,
            restore_point=taken.restore_point,
            disks=[
                DiskState(each.key, size, each.resource, each.stamp, each.family, each.disk)
                for each, size in zip(taken.disks, sizes, strict=True)
            ],
        )
        return FrozenMachine(self._client, self._blobs(), state, accesses)

    def _size(self, disk: TakenDisk, access: Access) -> int:
        """Of the disk in a snapshot: what stands before the footer of its VHD."""
        blobs = self._blobs()
        tail = memoryview(bytearray(_vhd.FOOTER))
        try:
            length = access.use(lambda url: blobs.size(url, disk.key), disk.key)
            start = max(0, length - len(tail))
            access.use(lambda url: blobs.read_into(url, disk.key, start, tail), disk.key)
            return _vhd.disk_size(length, bytes(tail))
        except ValueError as error:
            reason = f"{error}; rehost reads disks that Azure exports as fixed VHDs"
            raise DiskUnsuitable(path=disk.resource.rpartition("/")[2], reason=reason) from None

    def _blobs(self) -> Blobs:
        """Closed with the source at the latest."""
        if self._readers is None:
            self._readers = Blobs(self._config)
        return self._readers

    def _remove_rest(self, state: FreezeState, gone: str) -> None:
        """With a point in time that is lost, nothing is left of it; what was released stays for its difference."""
        if gone.endswith("was removed"):
            _points.remove(
                self._client, [state.restore_point] if state.restore_point else [each.resource for each in state.disks]
            )
            _points.remove_empty_collection(self._client, state.place.collection)


def _ids(taken: Taken) -> list[str]:
    return [taken.restore_point] if taken.restore_point else [each.resource for each in taken.disks]


def _described(record: MachineRecord, locator: Locator, found: list[Concern]) -> DiscoveredServer:
    facts: dict[str, Any] = {
        "id": record.id,
        "resourceGroup": record.group,
        "location": record.location,
        "zone": record.zone,
        "size": record.size_name,
        "guest": record.guest,
        "osType": record.os_type,
        "firmware": "uefi" if record.generation == "V2" else "bios",
        "secureBoot": record.secure_boot,
        "vtpm": record.vtpm,
        "architecture": "arm64" if record.size.architecture.lower() == "arm64" else "x86_64",
        "cpus": record.size.cpus,
        "memoryMib": record.size.memory_mib,
        "power": record.power,
        "agentRunning": record.agent,
        "hostName": record.host_name,
        "address": next((nic.address for nic in record.nics if nic.address), ""),
        "nics": [{"label": nic.label, "mac": nic.mac, "network": nic.network} for nic in record.nics],
        "tags": dict(record.tags),
    }
    return DiscoveredServer(
        name=record.name,
        locator=locator,
        disks=[DiscoveredDisk(disk.key, disk.size, disk.sku.lower() or "managed") for disk in record.disks],
        facts=facts,
        concerns=found,
    )
