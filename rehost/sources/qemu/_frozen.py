"""A point in time that stands in QEMU: its disks, read over NBD."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Self

from rehost.blocks import Extent
from rehost.sources._errors import FreezeLost, ReadFailed, ServerNotRunning, SourceChanged, SourceUnavailable
from rehost.sources._protocol import ChangePosition, Consistency
from rehost.sources.nbd import NbdClient, NbdError, NbdRefused, NbdUnavailable
from rehost.sources.qemu import _bitmaps, _names
from rehost.sources.qemu._clear import clear, ours
from rehost.sources.qemu._disks import Disk
from rehost.sources.qemu._machines import Machine
from rehost.sources.qemu._monitor import Monitor
from rehost.sources.qemu._scratch import Lock, Scratch

_TOKEN_VERSION = 1
_CONNECTIONS = 4  # a disk; QEMU serves each in turn, so that more bring nothing
_LOW_ROOM = 256 << 20  # bytes; with less, the guest's next writes may fail for want of scratch space
_ROOM_INTERVAL = 2.0  # seconds


@dataclass(frozen=True)
class Moment:
    """What a token says."""

    machine: str
    run: str
    consistency: Consistency
    disks: tuple[Disk, ...]

    @property
    def token(self) -> str:
        return json.dumps({"version": _TOKEN_VERSION, **asdict(self)})

    @classmethod
    def parse(cls, token: str) -> Self:
        """Raises FreezeLost where it is not a token of this source."""
        try:
            fields = json.loads(token)
            if fields["version"] != _TOKEN_VERSION:
                raise ValueError(fields["version"])
            disks = tuple(Disk(**disk) for disk in fields["disks"])
            return cls(str(fields["machine"]), str(fields["run"]), Consistency(fields["consistency"]), disks)
        except (ValueError, KeyError, TypeError):
            raise FreezeLost(detail="its token is not one of a QEMU source") from None

    @property
    def size(self) -> int:
        return sum(disk.size for disk in self.disks)


def reopen(machine: Machine, scratch: Scratch, moment: Moment) -> FrozenMachine:
    """Raises FreezeLost, with nothing left behind; SourceUnavailable where QEMU cannot be asked now."""
    scratch.prepare()
    frozen = FrozenMachine(machine, scratch, moment, scratch.lock_using(moment.run))
    try:
        with machine.session() as monitor:
            what = frozen.missing(monitor)
            if what and _is_latest(scratch, moment):
                clear(monitor, machine, scratch)
    except ServerNotRunning as gone:
        what = str(gone)
        if _is_latest(scratch, moment):
            scratch.remove()
    except BaseException:
        frozen.close()
        raise
    if what:
        frozen.close()
        raise FreezeLost(detail=what)
    return frozen


def _is_latest(scratch: Scratch, moment: Moment) -> bool:
    """Whether what is left there is of this moment, not of a later one."""
    note = scratch.note()
    return note is None or note.run == moment.run


class FrozenMachine:
    def __init__(self, machine: Machine, scratch: Scratch, moment: Moment, lock: Lock) -> None:
        self.moment = moment
        self._machine, self._scratch, self._lock = machine, scratch, lock
        self._checked_room = time.monotonic()
        self._asking = threading.Lock()
        self._disks = [FrozenDisk(self, index, disk) for index, disk in enumerate(moment.disks)]

    @property
    def token(self) -> str:
        return self.moment.token

    @property
    def disks(self) -> Sequence[FrozenDisk]:
        return self._disks

    @property
    def consistency(self) -> Consistency:
        return self.moment.consistency

    def check(self) -> None:
        """Whether QEMU has kept aside all that the guest overwrote. Raises SourceChanged, SourceUnavailable."""
        try:
            with self._machine.session() as monitor:
                what = self.missing(monitor)
        except ServerNotRunning as gone:
            what = str(gone)
        if what:
            advice = "the next run takes another; keep the server running meanwhile, and room in the scratch folder"
            raise SourceChanged(path=self.moment.machine, what=what, advice=advice)

    def missing(self, monitor: Monitor) -> str:
        """What of the point in time does not stand any more, in words; "" if all of it does."""
        jobs = {job["id"]: job for job in ours(monitor, "query-jobs", "id")}
        exports = {export["id"] for export in ours(monitor, "query-block-exports", "id")}
        for index, disk in enumerate(self.moment.disks):
            job = jobs.get(_names.job(self.moment.run, index))
            if job is None:
                return (
                    f"QEMU keeps no point in time of disk {disk.key} any more; it was restarted, or the job cancelled"
                )
            if job["status"] != "running":
                told = job.get("error", job["status"])
                return f"the backup job of disk {disk.key} has ended: {told}"
            if _names.export(self.moment.run, index, "disk") not in exports:
                return f"disk {disk.key} is not exported any more"
        return ""

    def client(self, export: str, *, connections: int = 1) -> NbdClient:
        return NbdClient(self._scratch.socket, export, connections=connections)

    def export_changes(self, index: int, since: ChangePosition) -> tuple[str, str]:
        """(the name of an export, the bitmap in it that marks what changed since then). Raises ChangesUnknown."""
        run, disk = self.moment.run, self.moment.disks[index]
        name = _names.export(run, index, "changes")
        with self._asking, self._machine.session() as monitor:
            if any(export["id"] == name for export in ours(monitor, "query-block-exports", "id")):
                monitor.execute("block-export-del", id=name, mode="hard")
            bitmap = _bitmaps.changes_since(monitor, disk, run, since)
            node = _names.node(run, index, "s")
            bitmaps = [{"node": disk.node, "name": bitmap}]
            monitor.execute("block-export-add", type="nbd", id=name, node_name=node, name=name, bitmaps=bitmaps)
        return name, bitmap

    def check_room(self) -> None:
        """Now and then, give up before the guest suffers: without scratch space its writes fail. Raises SourceChanged."""
        now = time.monotonic()
        if now - self._checked_room < _ROOM_INTERVAL:
            return
        self._checked_room = now
        room = self._scratch.room()
        if room < min(_LOW_ROOM, self.moment.size // 4):
            what = f"the scratch folder {self._scratch.folder} is running full, {room >> 20} MiB are left"
            advice = "make room there, or set another `scratch`, and run again"
            raise SourceChanged(path=self.moment.machine, what=what, advice=advice)

    def read_error(self, disk: Disk, offset: int, error: NbdError) -> ReadFailed | FreezeLost:
        """What a failed read means: is it worth another attempt?"""
        if isinstance(error, NbdRefused):
            return FreezeLost(detail=str(error))
        if isinstance(error, NbdUnavailable):
            with self._asking, suppress(SourceUnavailable):
                try:
                    with self._machine.session():
                        pass
                except ServerNotRunning as gone:
                    return FreezeLost(detail=str(gone))
        return ReadFailed(disk=disk.key, offset=offset, detail=str(error))

    def close(self) -> None:
        for disk in self._disks:
            disk.close()
        self._lock.close()

    def release(self) -> None:
        self.close()
        note = self._scratch.note()
        if note is not None and note.run != self.moment.run:
            return  # somebody else's by now: what was ours had been cleared for it
        try:
            with self._machine.session() as monitor:
                clear(monitor, self._machine, self._scratch)
        except ServerNotRunning:  # then all that was in QEMU went with it
            self._scratch.remove()


class FrozenDisk:
    """One disk. `read_into` is thread-safe."""

    def __init__(self, server: FrozenMachine, index: int, disk: Disk) -> None:
        self._server, self._index, self._disk = server, index, disk
        name = _names.export(server.moment.run, index, "disk")
        self._client = server.client(name, connections=_CONNECTIONS)

    @property
    def key(self) -> str:
        return self._disk.key

    @property
    def size(self) -> int:
        return self._disk.size

    @property
    def position(self) -> ChangePosition:
        return _names.position(self._server.moment.run, self._disk.size)

    def extents(self, since: ChangePosition | None) -> Iterator[Extent]:
        if since is None:
            return self._walk(self._client, None)
        name, bitmap = self._server.export_changes(self._index, since)
        return self._walk(self._server.client(name), bitmap)

    def _walk(self, client: NbdClient, bitmap: str | None) -> Iterator[Extent]:
        try:
            yield from client.allocated() if bitmap is None else client.dirty(bitmap)
        except NbdError as error:
            raise self._server.read_error(self._disk, 0, error) from error
        finally:
            if client is not self._client:
                client.close()

    def read_into(self, offset: int, buffer: memoryview) -> int:
        self._server.check_room()
        try:
            return self._client.read_into(offset, buffer)
        except NbdError as error:
            raise self._server.read_error(self._disk, offset, error) from error

    def close(self) -> None:
        self._client.close()
