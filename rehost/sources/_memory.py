"""Servers in memory: for tests, and the shortest complete example of a source.

Unlike real ones it can be written to, grown and made to forget, and its reads can be made short or to fail.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence

from rehost.blocks import Extent
from rehost.sources._errors import (
    ChangesUnknown,
    FreezeLost,
    LocatorInvalid,
    QuiesceImpossible,
    ReadFailed,
    ServerNotFound,
)
from rehost.sources._power import any_changed
from rehost.sources._protocol import (
    ChangePosition,
    Consistency,
    DiscoveredDisk,
    DiscoveredServer,
    Locator,
    Power,
    Quiesce,
)

_GRAIN = 64 * 1024  # bytes; what is told apart as allocated or not


class MemoryDisk:
    """A disk that goes on living: its bytes, and the record of what was written since when."""

    def __init__(self, content: bytes) -> None:
        self.content = bytearray(content)
        self.epoch = 0  # counts how often the record was lost
        self.generation = 0  # counts the points in time taken
        self.changes: list[tuple[int, Extent]] = []  # (generation that the write came after, where)

    @property
    def position(self) -> ChangePosition:
        return f"{self.epoch}:{self.generation}"


class MemorySource:
    """Thread-safe. Disk n of a server has the key `disk<n>`; disk 0 is the root disk."""

    def __init__(self, servers: Mapping[str, Sequence[bytes]], *, max_read: int | None = None) -> None:
        """`servers`: name -> the bytes of each disk. `max_read`: no read returns more bytes than that."""
        self._servers = {name: [MemoryDisk(content) for content in disks] for name, disks in servers.items()}
        self._frozen: dict[str, FrozenMemory] = {}
        self._lock = threading.Lock()
        self.max_read = max_read
        self.failing_reads = 0  # so many of the next reads fail
        self.listens = True  # whether guests shut down when they are asked to
        self._power = dict.fromkeys(servers, Power.ON)

    def content(self, server: str, disk: int) -> bytes:
        """What the disk holds now."""
        with self._lock:
            return bytes(self._servers[server][disk].content)

    @property
    def frozen(self) -> list[str]:
        """The tokens of the points in time that have not been released."""
        with self._lock:
            return sorted(self._frozen)

    def write(self, server: str, disk: int, offset: int, data: bytes) -> None:
        with self._lock:
            target = self._servers[server][disk]
            target.content[offset : offset + len(data)] = data
            target.changes.append((target.generation, Extent(offset, len(data))))

    def resize(self, server: str, disk: int, size: int) -> None:
        """Grow with zeros, or cut off. The record of changes does not outlast it."""
        with self._lock:
            target = self._servers[server][disk]
            del target.content[size:]
            target.content.extend(bytes(size - len(target.content)))
            target.epoch += 1

    def forget_changes(self, server: str, disk: int) -> None:
        with self._lock:
            self._servers[server][disk].epoch += 1

    def discover(self) -> Iterator[DiscoveredServer]:
        for name, disks in sorted(self._servers.items()):
            found = [
                DiscoveredDisk(f"disk{n}", len(disk.content), "raw", sum(e.length for e in _allocated(disk.content)))
                for n, disk in enumerate(disks)
            ]
            yield DiscoveredServer(name, {"name": name}, found)

    def inspect(self, server: Locator) -> DiscoveredServer:
        name = self._locate(server)
        return next(found for found in self.discover() if found.name == name)

    def freeze(self, server: Locator, *, quiesce: Quiesce, run: str) -> FrozenMemory:
        if quiesce is Quiesce.REQUIRE:
            raise QuiesceImpossible(detail="a server in memory has no guest")
        name = self._locate(server)
        token = f"{run}/{name}"
        with self._lock:
            if token not in self._frozen:
                disks = [FrozenMemoryDisk(self, n, disk) for n, disk in enumerate(self._servers[name])]
                off = self._power[name] is Power.OFF
                consistency = Consistency.OFFLINE if off else Consistency.CRASH
                self._frozen[token] = FrozenMemory(self, token, disks, consistency)
            return self._frozen[token]

    def power(self, server: Locator) -> Power:
        name = self._locate(server)
        with self._lock:
            return self._power[name]

    def shut_down(self, server: Locator) -> bool:
        name = self._locate(server)
        with self._lock:
            asked = self._power[name] is Power.ON
            if asked and self.listens:
                self._power[name] = Power.OFF
            return asked

    def power_off(self, server: Locator) -> None:
        self._set(server, Power.OFF)

    def pause(self, server: Locator) -> None:
        if self.power(server) is Power.ON:
            self._set(server, Power.PAUSED)

    def power_on(self, server: Locator, *, to: Power = Power.ON) -> None:
        if to is Power.ON:
            self._set(server, Power.ON)

    def changed(self, server: Locator, since: Mapping[str, ChangePosition]) -> bool | None:
        name = self._locate(server)
        with self._lock:
            answers = [_changed(disk, since.get(f"disk{n}", "")) for n, disk in enumerate(self._servers[name])]
        return any_changed(answers)

    def remains(self, server: Locator) -> Sequence[str]:
        name = self._locate(server)
        return [f"point in time {token}" for token in self.frozen if token.endswith(f"/{name}")]

    def forget(self, server: Locator, positions: Mapping[str, ChangePosition]) -> None:
        """The record of changes is one for all: nothing is kept for a position."""

    def _set(self, server: Locator, power: Power) -> None:
        name = self._locate(server)
        with self._lock:
            self._power[name] = power

    def _locate(self, server: Locator) -> str:
        if set(server) != {"name"}:
            raise LocatorInvalid(locator=dict(server), reason="give its `name` and nothing else")
        name = server["name"]
        if name not in self._servers:
            raise ServerNotFound(name=name, place="memory", hint=f"its servers are: {', '.join(sorted(self._servers))}")
        return str(name)

    def reopen(self, token: str) -> FrozenMemory:
        with self._lock:
            if token not in self._frozen:
                raise FreezeLost(detail=f"{token!r} was released, or is not a token of this source")
            return self._frozen[token]

    def close(self) -> None:
        """Nothing is held."""

    def drop(self, token: str) -> None:
        with self._lock:
            self._frozen.pop(token, None)

    def next_read_fails(self) -> bool:
        with self._lock:
            fails = self.failing_reads > 0
            self.failing_reads -= fails
            return fails


class FrozenMemoryDisk:
    def __init__(self, source: MemorySource, number: int, disk: MemoryDisk) -> None:
        disk.generation += 1
        self._source = source
        self._content = bytes(disk.content)
        self._changes = tuple(disk.changes)
        self.key = f"disk{number}"
        self.size = len(self._content)
        self.position: ChangePosition = disk.position

    def extents(self, since: ChangePosition | None) -> Iterator[Extent]:
        if since is None:
            return _allocated(self._content)
        epoch, _, generation = since.partition(":")
        if not (epoch.isdecimal() and generation.isdecimal()):
            raise ChangesUnknown(disk=self.key, reason="the position that was stored is not one of a disk in memory")
        if epoch != self.position.partition(":")[0]:
            raise ChangesUnknown(disk=self.key, reason="the record of its changes was lost")
        changed = (extent for after, extent in self._changes if after >= int(generation))
        return iter(sorted(changed, key=lambda extent: extent.offset))

    def read_into(self, offset: int, buffer: memoryview) -> int:
        if self._source.next_read_fails():
            raise ReadFailed(disk=self.key, offset=offset, detail="as the test asked for")
        length = min(len(buffer), self._source.max_read or len(buffer))
        data = self._content[offset : offset + length]
        buffer[: len(data)] = data
        return len(data)


class FrozenMemory:
    def __init__(
        self, source: MemorySource, token: str, disks: Sequence[FrozenMemoryDisk], consistency: Consistency
    ) -> None:
        self._source = source
        self.token = token
        self.disks = disks
        self.consistency = consistency

    def check(self) -> None:
        """A copy cannot change."""

    def close(self) -> None:
        """Nothing is held."""

    def release(self) -> None:
        self._source.drop(self.token)


def _changed(disk: MemoryDisk, since: ChangePosition) -> bool | None:
    epoch, _, generation = since.partition(":")
    if epoch != str(disk.epoch) or not generation.isdecimal():
        return None
    return any(after >= int(generation) for after, _ in disk.changes)


def _allocated(content: bytes | bytearray) -> Iterator[Extent]:
    """The stretches of grains that are not all zeros."""
    grains = range(0, len(content), _GRAIN)
    for zero, stretch in itertools.groupby(grains, lambda at: not content[at : at + _GRAIN].strip(b"\0")):
        if not zero:
            starts = list(stretch)
            yield Extent(starts[0], min(len(content), starts[-1] + _GRAIN) - starts[0])
