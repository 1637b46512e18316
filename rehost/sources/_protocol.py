"""What rehost asks of a place where servers live.

One module a platform implements it; `tests/sources/contract.py` holds each to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from rehost.blocks import Extent

#: How a spec names a server of a source: `{name: web-01}`, `{path: exports/web-01.raw}`. The source checks the keys.
Locator = Mapping[str, Any]

#: Opaque to all but the source that made it; stored with a run and handed back as `since` by the next one.
ChangePosition = str


class Quiesce(StrEnum):
    """What is asked of the guest before its point in time is taken."""

    NONE = "none"  # crash-consistent is enough
    TRY = "try"  # freeze the guest's file systems where it can be done, go on where it cannot
    REQUIRE = "require"  # fail the run where it cannot be done


class Consistency(StrEnum):
    """What kind of point in time a freeze turned out to be; the run records it."""

    OFFLINE = "offline"  # nothing was running
    CRASH = "crash"  # as after a power cut
    FILESYSTEM = "filesystem"  # the guest's file systems were frozen


class Power(StrEnum):
    """Whether a server runs."""

    ON = "on"
    OFF = "off"  # nothing of it runs, and what it had in memory is gone
    PAUSED = "paused"  # it stands still, with its memory: it can go on where it stopped
    UNKNOWN = "unknown"


class Severity(StrEnum):
    """How much a concern weighs."""

    ERROR = "error"  # no run can succeed: `inspect` refuses the server
    WARNING = "warning"  # runs succeed, at a price or a risk
    INFO = "info"


@dataclass(frozen=True)
class Concern:
    """Something about a server that is better known before a byte moves."""

    id: str  # stable, e.g. `qemu-volatile-bitmap`; the pages below docs/sources explain each
    severity: Severity
    message: str  # what it means
    remedy: str  # what to do


@dataclass(frozen=True)
class DiscoveredDisk:
    key: str
    size: int  # bytes
    format: str  # raw, qcow2, ...
    allocated: int | None = None  # bytes that are not holes, where the source knows


@dataclass(frozen=True)
class DiscoveredServer:
    name: str
    locator: Mapping[str, Any]
    disks: Sequence[DiscoveredDisk]
    facts: Mapping[str, Any] = field(default_factory=dict)  # guest OS, firmware, cpus, memory ... where known
    concerns: Sequence[Concern] = ()


class FrozenDisk(Protocol):
    """One disk as it was at the point in time of its FrozenServer."""

    @property
    def key(self) -> str:
        """The disk's name within its server: the same in every run, unique, and without a slash."""

    @property
    def size(self) -> int:
        """Bytes; a multiple of 512."""

    @property
    def position(self) -> ChangePosition:
        """Where this point in time stands in the disk's history of changes."""

    def extents(self, since: ChangePosition | None) -> Iterator[Extent]:
        """Ascending extents that are allocated (`since=None`) or may differ from what they were at `since`.

        What is outside them reads as zeros (`None`) or is unchanged. Raises `ChangesUnknown` where the source cannot
        say.
        """

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Fill `buffer` from `offset`; returns the bytes read, which may be fewer (then ask again), 0 only at the end.

        Thread-safe. `offset` and the buffer's length are multiples of 512. Raises `ReadFailed`; a retry is safe.
        """


class FrozenServer(Protocol):
    """One consistent point in time of a server. It outlives the process: `token` finds it again after a crash."""

    @property
    def token(self) -> str:
        """Opaque; `Source.reopen(token)` gives this same point in time back, in another process too."""

    @property
    def disks(self) -> Sequence[FrozenDisk]:
        """The root disk first; at least one."""

    @property
    def consistency(self) -> Consistency: ...

    def check(self) -> None:
        """Raise `SourceChanged` if the bytes read so far may not all be of this point in time. Cheap; called before an
        image is made of them and whenever a disk is finished."""

    def close(self) -> None:
        """Let go of file handles and connections. The point in time stays."""

    def release(self) -> None:
        """Give the point in time up and remove what was made for it on the source. Idempotent. Closes."""


class Source(Protocol):
    def discover(self) -> Iterator[DiscoveredServer]:
        """Every server of the source. Raises `SourceError`."""

    def inspect(self, server: Locator) -> DiscoveredServer:
        """One server, checked as far as it can be without touching it: what a freeze would refuse is refused here.

        Cheap; called when a spec is previewed. Raises `SourceError`.
        """

    def freeze(self, server: Locator, *, quiesce: Quiesce, run: str) -> FrozenServer:
        """Take a point in time of all disks of `server`.

        `run` names what is made on the source, so that a repeated call after a crash finds it again instead of making a
        second. Raises `SourceError`.
        """

    def reopen(self, token: str) -> FrozenServer:
        """The point in time of an earlier `freeze`. Raises `FreezeLost` where it is gone or no longer that moment.

        With `FreezeLost` nothing is left to release: what had been made for it is removed.
        """

    # Power. Each may be repeated; a source without power over its servers answers UNKNOWN and raises `PowerImpossible`.

    def power(self, server: Locator) -> Power:
        """Whether it runs now. Raises `SourceError`."""

    def shut_down(self, server: Locator) -> bool:
        """Ask the guest to shut itself down; returns at once, and `power` shows when it has.

        False where there is nobody to ask: no tools, no agent, a server that stands still. Raises `SourceError`.
        """

    def power_off(self, server: Locator) -> None:
        """Cut its power; OFF when it returns, and its disks can be frozen still. Raises `SourceError`."""

    def pause(self, server: Locator) -> None:
        """Make it stand still, with its file systems frozen before where that can be done; PAUSED when it returns.

        One that is off stays off. Raises `SourceError`.
        """

    def power_on(self, server: Locator, *, to: Power = Power.ON) -> None:
        """Make it run, from OFF or PAUSED. Raises `SourceError`.

        `to` is what it was before `power_off` or `pause`: with OFF or PAUSED it is left as it is, and only what those two
        did to keep it readable is undone.
        """

    def changed(self, server: Locator, since: Mapping[str, ChangePosition]) -> bool | None:
        """Whether a disk was written to after its position in `since` (key -> position); None where it cannot be told.

        Takes no point in time, and leaves the record of changes as it is. Raises `SourceError`.
        """

    def close(self) -> None: ...


@runtime_checkable
class Tidy(Protocol):
    """What a source may have beside `Source`: `rehost doctor` asks it what is left of rehost at a server."""

    def remains(self, server: Locator) -> Sequence[str]:
        """What carries rehost's marks at the server now, one line each, points in time and what changes are told from.

        Found by asking the place, not from memory. Raises `SourceError`.
        """

    def forget(self, server: Locator, positions: Mapping[str, ChangePosition]) -> None:
        """Remove what is kept to tell changes since these positions (key -> position): nobody will ask for them.

        What others' positions need stays. Idempotent. Raises `SourceError`.
        """
