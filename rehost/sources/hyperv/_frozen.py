"""A point in time of a machine: its checkpoint, and the disks as the checkpoint holds them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import structlog

from rehost.blocks import Extent
from rehost.sources import _tokens
from rehost.sources._errors import (
    ChangesUnknown,
    DiskMissing,
    DiskUnreadable,
    DiskUnsuitable,
    ReadFailed,
    ServerNotFound,
    SourceChanged,
    SourceError,
    SourceUnavailable,
)
from rehost.sources._protocol import ChangePosition, Consistency
from rehost.sources.hyperv import _changes, _points
from rehost.sources.hyperv._errors import MachineGone, ScriptFailed, TooSlow
from rehost.sources.hyperv._files import HostFiles
from rehost.sources.hyperv._host import Host
from rehost.sources.hyperv._hosts import Hosts
from rehost.sources.vhd import VirtualDisk, open_disk

if TYPE_CHECKING:
    from rehost.sources.hyperv._inventory import CheckpointRecord

log = structlog.get_logger("rehost.sources.hyperv")

T = TypeVar("T")

_TOKEN_VERSION = 1
#: Seconds between attempts to remove a checkpoint: a backup or a migration may hold the machine for a while.
_REMOVE_DELAYS = (0.5, 2.0, 8.0)


#: What a disk that is elsewhere by now is met with.
_ELSEWHERE = (SourceChanged, ReadFailed, SourceUnavailable, DiskMissing, DiskUnreadable, DiskUnsuitable)


@dataclass(frozen=True)
class DiskState:
    key: str
    path: str  # the checkpoint's file, as its host names it
    size: int  # bytes
    tracking: str  # Resilient Change Tracking id; empty where changes are not tracked
    disk: str  # WMI's id of it


@dataclass(frozen=True)
class FreezeState:
    """What the token carries: enough for another process to go on reading, and to remove the checkpoint."""

    place: str  # of the spec's entry
    machine: str
    name: str  # of the machine, for messages
    checkpoint: str
    run: str
    consistency: str
    disks: Sequence[DiskState]

    def token(self) -> str:
        return _tokens.written(self, _TOKEN_VERSION)

    @classmethod
    def parse(cls, token: str) -> FreezeState:
        """Raises FreezeLost where it is not a token of this source."""
        return _tokens.parsed(token, cls, DiskState, version=_TOKEN_VERSION, source="a Hyper-V source")


class Reader:
    """The virtual disks of a checkpoint, opened when they are asked for; opened again where they have moved."""

    def __init__(self, hosts: Hosts, state: FreezeState) -> None:
        self._hosts = hosts
        self._state = state
        self._lock = threading.RLock()
        self._host: Host | None = None
        self._files: HostFiles | None = None
        self._times_opened = 0
        self._disks: dict[str, VirtualDisk] = {}
        self._paths = {disk.key: disk.path for disk in state.disks}

    def path(self, key: str) -> str:
        return self._paths[key]

    def with_disk(self, key: str, what: Callable[[VirtualDisk], T]) -> T:
        """`what(disk)`, and once more where it failed and the disk is elsewhere by now."""
        times = 0
        try:
            disk, times = self._open(key)
            return what(disk)
        except _ELSEWHERE as error:
            if not self.follow(times):
                raise
            log.info("reading on from where the disk is now", server=self._state.name, disk=key, reason=str(error))
        disk, _ = self._open(key)
        return what(disk)

    def check(self) -> None:
        """Raise SourceChanged where a file that was opened has been written to since."""
        with self._lock:
            opened = list(self._disks)
        for key in opened:
            self.with_disk(key, lambda disk: disk.check())

    def close(self) -> None:
        with self._lock:
            disks, self._disks = list(self._disks.values()), {}
            files, self._files, self._host = self._files, None, None
        for disk in disks:
            disk.close()
        if files is not None:
            files.close()

    def _open(self, key: str) -> tuple[VirtualDisk, int]:
        """The disk, and how many times the disks have been opened anew."""
        with self._lock:
            if self._host is None or self._files is None:
                self._host = self._hosts.where(self._state.machine)
                self._files = HostFiles(self._hosts.config, self._host)
                self._times_opened += 1
            if key not in self._disks:
                self._disks[key] = open_disk(self._paths[key], self._files)
            return self._disks[key], self._times_opened

    def follow(self, times: int = 0) -> bool:
        """Whether the checkpoint's disks are elsewhere by now: on another host, or in other files.

        `times`: what `_open` said; another thread may have opened them anew since. Removing an older checkpoint merges this
        one's files into those below them; they hold the same moment there.
        """
        with self._lock:
            if times and (self._host is None or self._times_opened != times):
                return True  # another thread has been here
            host = self._hosts.where(self._state.machine, again=True)
            try:
                found = find_checkpoint(_points.read(host, self._state.machine), self._state)
            except SourceError:
                return False
            if found is None:
                return False
            paths = {slot.key: path for slot, path in found.disks.items() if slot.key in self._paths}
            if self._host in (None, host) and paths == self._paths:
                return False
            self.close()
            self._paths.update(paths)
            return True


class FrozenVirtualDisk:
    def __init__(self, hosts: Hosts, state: FreezeState, disk: DiskState, reader: Reader) -> None:
        self._hosts = hosts
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
        return str(self._position)

    @property
    def _position(self) -> _changes.Position:
        return _changes.Position(self._disk.tracking, self._disk.disk, self._state.run, self._disk.size)

    def extents(self, since: ChangePosition | None) -> Iterator[Extent]:
        if since is None:
            return iter(self._reader.with_disk(self.key, lambda disk: list(disk.extents())))
        before = _changes.check_since(self.key, since, self._position)
        # As a list: what the host no longer knows has to show before the first extent is used.
        try:
            return iter(self._hosts.on(self._state.machine, lambda host: self._areas(host, before.tracking)))
        except ChangesUnknown:
            if not self._reader.follow():
                raise
        return iter(self._hosts.on(self._state.machine, lambda host: self._areas(host, before.tracking)))

    def read_into(self, offset: int, buffer: memoryview) -> int:
        wanted = max(0, min(len(buffer), self.size - offset))
        return self._reader.with_disk(self.key, lambda disk: disk.read_into(offset, buffer[:wanted])) if wanted else 0

    def _areas(self, host: Host, tracking: str) -> list[Extent]:
        path = self._reader.path(self.key)
        return list(_changes.areas(host, path, tracking, size=self.size, disk=self.key))


class FrozenMachine:
    """Made by `HyperVSource.freeze` and `reopen`."""

    def __init__(self, hosts: Hosts, state: FreezeState) -> None:
        self._hosts = hosts
        self._state = state
        self._reader = Reader(hosts, state)
        self.disks = [FrozenVirtualDisk(hosts, state, disk, self._reader) for disk in state.disks]

    @property
    def token(self) -> str:
        return self._state.token()

    @property
    def consistency(self) -> Consistency:
        return Consistency(self._state.consistency)

    def check(self) -> None:
        """The checkpoint is what holds the moment: while it is there, nobody writes to its files; whether somebody did, they tell."""
        self._reader.check()
        if checkpoint_there(self._hosts, self._state) is None:
            what = f"checkpoint {self._state.checkpoint} was removed"
            advice = "somebody, or another backup, removed it; keep such jobs off this machine and run again"
            raise SourceChanged(path=self._state.name, what=what, advice=advice)

    def close(self) -> None:
        self._reader.close()

    def release(self) -> None:
        self.close()
        remove_checkpoint(self._hosts, self._state)


def find_checkpoint(points: _points.Points, state: FreezeState) -> CheckpointRecord | None:
    """The run's checkpoint, if it still is the one that the token names."""
    found = points.of(state.run)
    return found if found is not None and found.id == state.checkpoint else None


def checkpoint_there(hosts: Hosts, state: FreezeState) -> CheckpointRecord | None:
    try:
        points = hosts.on(state.machine, lambda host: _points.read(host, state.machine))
    except (ServerNotFound, MachineGone):
        return None
    return find_checkpoint(points, state)


def remove_checkpoint(hosts: Hosts, state: FreezeState) -> None:
    """Remove the run's checkpoint, whoever has it by now; where the machine itself is gone, so is the checkpoint."""

    def remove(host: Host) -> None:
        _points.remove_all(host, state.machine, state.run, timeout=hosts.config.checkpoint_timeout)

    last: SourceError | None = None
    for delay in (*_REMOVE_DELAYS, None):
        try:
            hosts.on(state.machine, remove)
            return
        except (ServerNotFound, MachineGone):
            log.info("the machine is gone, and its checkpoint with it", server=state.name)
            return
        except TooSlow as error:
            # The host goes on by itself, and nothing that was read is wrong for it.
            log.warning("its disks are still being merged", server=state.name, reason=str(error))
            return
        except ScriptFailed as error:
            last = error
            log.warning("a checkpoint cannot be removed yet", server=state.name, reason=str(error))
        if delay is not None:
            time.sleep(delay)
    advice = "remove it in Hyper-V Manager; the next run tries again"
    raise SourceUnavailable(place=hosts.config.place, reason=f"a checkpoint of {state.name} stays: {last}; {advice}")
