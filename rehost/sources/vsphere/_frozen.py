"""A point in time of a machine: its snapshot, and the disks as the snapshot holds them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from pyVmomi import vim

from rehost.blocks import Extent
from rehost.sources import _tokens
from rehost.sources._errors import ChangesUnknown, SourceChanged
from rehost.sources._protocol import ChangePosition, Consistency
from rehost.sources.vsphere import _changes, _snapshots
from rehost.sources.vsphere._client import Client
from rehost.sources.vsphere._errors import ObjectGone
from rehost.sources.vsphere._inventory import retrieve

log = structlog.get_logger("rehost.sources.vsphere")

_TOKEN_VERSION = 1


@dataclass(frozen=True)
class DiskState:
    key: str
    device_key: int
    size: int  # bytes
    file: str  # "[datastore] folder/name.vmdk"
    change_id: str | None


@dataclass(frozen=True)
class FreezeState:
    """What the token carries: enough for another process to go on reading, and to remove the snapshot."""

    vcenter: str  # its instance UUID
    moref: str
    name: str  # of the machine, for messages
    snapshot: str
    run: str
    consistency: str
    datacenter: str
    transport: str
    disks: Sequence[DiskState]

    def token(self) -> str:
        return _tokens.written(self, _TOKEN_VERSION)

    @classmethod
    def parse(cls, token: str) -> FreezeState:
        """Raises FreezeLost where it is not a token of this source."""
        return _tokens.parsed(token, cls, DiskState, version=_TOKEN_VERSION, source="a vSphere source")


class DiskReader(Protocol):
    """How the bytes of a snapshot's disks are had; `close` lets go of connections and files."""

    def read_into(self, disk: DiskState, offset: int, buffer: memoryview) -> int:
        """As `FrozenDisk.read_into`; thread-safe."""

    def allocated(self, disk: DiskState) -> Iterator[Extent] | None:
        """What is not zeros, where the reader knows it by itself."""

    def close(self) -> None: ...


class FrozenVirtualDisk:
    def __init__(self, client: Client, state: FreezeState, disk: DiskState, reader: DiskReader) -> None:
        self._client = client
        self._state = state
        self._disk = disk
        self._reader = reader

    @property
    def key(self) -> str:
        return self._disk.key

    @property
    def size(self) -> int:
        return self._disk.size

    @property
    def position(self) -> ChangePosition:
        return str(_changes.Position(self._disk.change_id, self._disk.size))

    def extents(self, since: ChangePosition | None) -> Iterator[Extent]:
        if since is None:
            return self._allocated()
        now = _changes.Position(self._disk.change_id, self._disk.size)
        change_id = _changes.check_since(self.key, since, now)
        if change_id == self._disk.change_id:
            return iter(())
        # As a list: what vCenter no longer knows has to show before the first extent is used.
        return iter(list(self._areas(change_id)))

    def _areas(self, change_id: str) -> Iterator[Extent]:
        return _changes.areas(
            self._client,
            self._client.managed(vim.VirtualMachine, self._state.moref),
            self._client.managed(vim.vm.Snapshot, self._state.snapshot),
            self._disk.device_key,
            change_id,
            size=self.size,
            disk=self.key,
        )

    def _allocated(self) -> Iterator[Extent]:
        if self._disk.change_id is not None:
            try:
                return iter(list(self._areas(_changes.ALLOCATED)))
            except ChangesUnknown as unknown:
                log.info("reading all of a disk", disk=self.key, reason=str(unknown))
        known = self._reader.allocated(self._disk)
        return known if known is not None else iter((Extent(0, self.size),))

    def read_into(self, offset: int, buffer: memoryview) -> int:
        wanted = max(0, min(len(buffer), self.size - offset))
        return self._reader.read_into(self._disk, offset, buffer[:wanted]) if wanted else 0


class FrozenMachine:
    """Made by `VSphereSource.freeze` and `reopen`."""

    def __init__(self, client: Client, state: FreezeState, reader: DiskReader) -> None:
        self._client = client
        self._state = state
        self._reader = reader
        self.disks = [FrozenVirtualDisk(client, state, disk, reader) for disk in state.disks]

    @property
    def token(self) -> str:
        return self._state.token()

    @property
    def consistency(self) -> Consistency:
        return Consistency(self._state.consistency)

    def check(self) -> None:
        """The snapshot is what holds the moment: while it is there, the files below it do not change."""
        if not snapshot_there(self._client, self._state):
            what = f"snapshot {self._state.snapshot} was removed"
            advice = "somebody, or another backup, removed it; keep such jobs off this machine and run again"
            raise SourceChanged(path=self._state.name, what=what, advice=advice)

    def close(self) -> None:
        self._reader.close()

    def release(self) -> None:
        self.close()
        remove_snapshot(self._client, self._state)


def snapshot_there(client: Client, state: FreezeState) -> bool:
    """Whether the snapshot still is, and still is the machine's own."""
    target = client.managed(vim.vm.Snapshot, state.snapshot)
    try:
        owner: Any = retrieve(client, target, ["vm"]).get("vm")
    except ObjectGone:
        return False
    return owner is not None and owner._moId == state.moref


def remove_snapshot(client: Client, state: FreezeState) -> None:
    """Remove the run's snapshot, whoever has it by now; where the machine itself is gone, so is the snapshot."""
    target = client.managed(vim.VirtualMachine, state.moref)
    try:
        entry = _snapshots.ours(_snapshots.listed(client, target), state.run)
        if entry is None:
            _snapshots.consolidate(client, target, timeout=client.config.snapshot_timeout)
            return
        _snapshots.remove(client, target, entry.moref, timeout=client.config.snapshot_timeout)
    except ObjectGone:
        log.info("the machine is gone, and its snapshot with it", server=state.name)
