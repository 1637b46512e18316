"""A point in time of a machine: its snapshots or its restore point, and the disks as those hold them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import structlog

from rehost.blocks import Extent
from rehost.sources import _tokens
from rehost.sources._errors import ChangesUnknown, FreezeLost, ReadFailed, SourceChanged
from rehost.sources._protocol import ChangePosition, Consistency
from rehost.sources.azure import _access, _pages, _points, _positions
from rehost.sources.azure._access import Access
from rehost.sources.azure._blob import AccessEnded, BlobRefused, Blobs
from rehost.sources.azure._client import Client
from rehost.sources.azure._errors import ResourceGone
from rehost.sources.azure._inventory import COMPUTE, DISKS
from rehost.sources.azure._names import KEPT, STATE, digest, last
from rehost.sources.azure._points import KEPT_TAG, Place
from rehost.sources.azure._positions import Position
from rehost.sources.azure._records import Json

log = structlog.get_logger("rehost.sources.azure")

_TOKEN_VERSION = 1
_ATTEMPTS = 3  # with new access each


@dataclass(frozen=True)
class DiskState:
    key: str
    size: int  # bytes
    resource: str  # id of the snapshot or the disk restore point
    stamp: str
    family: str
    disk: str

    @property
    def position(self) -> Position:
        return Position(self.resource, self.stamp, self.family, self.disk, self.size)


@dataclass(frozen=True)
class FreezeState:
    """What the token carries: enough for another process to go on reading, and to remove what was made. No access."""

    machine: str  # id
    name: str
    group: str  # path of the resource group that has the points in time
    location: str
    run: str
    consistency: str
    restore_point: str  # id; "" where each disk has a snapshot of its own
    disks: Sequence[DiskState]

    @property
    def place(self) -> Place:
        return Place(self.machine, self.name, self.group, self.location)

    def token(self) -> str:
        return _tokens.written(self, _TOKEN_VERSION)

    @classmethod
    def parse(cls, token: str) -> FreezeState:
        """Raises FreezeLost where it is not a token of this source."""
        state = _tokens.parsed(token, cls, DiskState, version=_TOKEN_VERSION, source="an Azure source")
        if not state.disks or not str(state.machine).startswith("/subscriptions/"):
            raise FreezeLost(detail="its token is not one of an Azure source")
        return state

    def gone(self, client: Client) -> str:
        """What of it is no longer there, or no longer open; "" where all is."""
        if self.restore_point:
            found = _there(client, self.restore_point, COMPUTE)
            if found is None:
                return f"restore point {last(self.restore_point)} was removed"
            tags = _points.tags_of(_points.collection(client, self.place) or {})
            kept = tags.get(f"{KEPT_TAG}{digest(last(self.restore_point))}") == KEPT
            return f"restore point {last(self.restore_point)} was released" if kept else ""
        for disk in self.disks:
            found = _there(client, disk.resource, DISKS)
            told = (found or {}).get("properties") or {}
            if found is None or str(told.get("uniqueId") or told.get("timeCreated") or "") != disk.stamp:
                return f"snapshot {last(disk.resource)} was removed"
            if _points.tags_of(found).get(STATE) == KEPT:
                return f"snapshot {last(disk.resource)} was released"
        return ""

    def leave(self, client: Client) -> None:
        """Mark it as read to its end. What it was stays, for the next run's difference."""
        _points.keep(client, self.place, self.run)


def _there(client: Client, resource: str, version: str) -> Json | None:
    try:
        return client.get(resource, version, f"asking for {last(resource)}")
    except ResourceGone:
        return None


class FrozenManagedDisk:
    def __init__(self, client: Client, blobs: Blobs, disk: DiskState, access: Access) -> None:
        self._client = client
        self._blobs = blobs
        self._disk = disk
        self._access = access

    @property
    def key(self) -> str:
        return self._disk.key

    @property
    def size(self) -> int:
        return self._disk.size

    @property
    def position(self) -> ChangePosition:
        return str(self._disk.position)

    def extents(self, since: ChangePosition | None) -> Iterator[Extent]:
        if since is None:
            return iter(self._listed(None))
        before = _positions.check_since(self.key, since, self._disk.position)
        if before == self._disk.position:
            return iter(())
        self._check_base(before)
        base = Access(self._client, before.resource)
        try:
            return iter(self._listed(base))
        except (BlobRefused, FreezeLost) as error:
            raise ChangesUnknown(disk=self.key, reason=f"Azure does not tell the difference: {error}") from error
        finally:
            base.revoke()

    def _check_base(self, before: Position) -> None:
        found = _there(self._client, before.resource, DISKS)
        if found is None:
            raise ChangesUnknown(
                disk=self.key, reason=f"{last(before.resource)}, which it would be told from, was removed"
            )
        told = found.get("properties") or {}
        if before.stamp not in (str(told.get("uniqueId") or ""), str(told.get("timeCreated") or "")):
            raise ChangesUnknown(
                disk=self.key, reason=f"{last(before.resource)} is another one than the earlier run made"
            )

    def _listed(self, base: Access | None) -> list[Extent]:
        """As a list: what Azure does not know has to show before the first extent is used."""
        try:
            return list(_pages.merged(self._ranges(base), self.size))
        except ValueError as error:
            raise ReadFailed(disk=self.key, offset=0, detail=f"the list of page ranges: {error}") from None

    def _ranges(self, base: Access | None) -> Iterator[Extent]:
        marker = ""
        while True:
            ranges, following = _pages.parse(self._page(marker, base))
            yield from ranges
            if not following:
                return
            if following == marker:
                raise ValueError("its marker does not advance")
            marker = following

    def _page(self, marker: str, base: Access | None) -> bytes:
        if base is None:
            return self._access.use(lambda url: self._blobs.ranges(url, self.key, marker), self.key)
        for _ in range(_ATTEMPTS):
            url, previous = self._access.current(self.key), base.current(self.key)
            try:
                return self._blobs.ranges(url, self.key, marker, previous)
            except AccessEnded as ended:  # it does not tell which of the two
                log.info("read access has ended; asking for another", disk=self.key, code=ended.code)
                self._access.forget(url)
                base.forget(previous)
        raise ReadFailed(disk=self.key, offset=0, detail="read access is refused as soon as it is given")

    def read_into(self, offset: int, buffer: memoryview) -> int:
        wanted = max(0, min(len(buffer), self.size - offset))
        if not wanted:
            return 0
        return _access.reading(self._blobs, self._access, self.key, offset, buffer[:wanted])


class FrozenMachine:
    """Made by `AzureSource.freeze` and `reopen`."""

    def __init__(self, client: Client, blobs: Blobs, state: FreezeState, accesses: Sequence[Access]) -> None:
        self._client = client
        self._state = state
        self._accesses = accesses
        self.disks = [
            FrozenManagedDisk(client, blobs, disk, access) for disk, access in zip(state.disks, accesses, strict=True)
        ]

    @property
    def token(self) -> str:
        return self._state.token()

    @property
    def consistency(self) -> Consistency:
        return Consistency(self._state.consistency)

    def check(self) -> None:
        """A snapshot does not change; it can only be gone."""
        what = self._state.gone(self._client)
        if what:
            advice = "somebody removed it; keep such jobs off this machine's snapshots and run again"
            raise SourceChanged(path=self._state.name, what=what, advice=advice)

    def close(self) -> None:
        """Also gives read access back."""
        for access in self._accesses:
            access.revoke()

    def release(self) -> None:
        self.close()
        for disk in self._state.disks:  # also what a process that is gone had asked for
            _access.end(self._client, disk.resource)
        self._state.leave(self._client)
