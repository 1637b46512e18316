"""How many blocks to have in flight: as many as keep the slowest part busy, found by measuring.

Little's law: in flight = rate x time. What a rate needs is that rate times the time a block takes when nothing queues;
more only waits somewhere. So the window is twice the rate that was reached times the shortest time a block took (twice,
so that it grows while the rate does), and a few for the processors. BBR finds a connection's window in this way (Cardwell
et al., "BBR: Congestion-Based Congestion Control", ACM Queue 2016); loss-based control would wait for throttling that
most disks never cause. Where the service throttles, the window halves at once and grows back.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from rehost.pacing import Pause
from rehost.transfer._protocol import StopSignal
from rehost.transfer._workers import Workers

Item = TypeVar("Item")
Buffer = TypeVar("Buffer")

#: Blocks in flight at most: 1,000 puts a second (the quota of a region) at 100 ms each, and a quarter more. 64 MiB.
MOST_IN_FLIGHT = 128
GAIN = 2.0
FIRST = 8
_SHORTEST_INTERVAL = 0.05  # seconds
_INTERVALS = 3  # the best of so many counts, so that one slow moment does not close the window
_MEMORY_SECONDS = 10.0  # how long the shortest time of a block is believed
_HALVE_SECONDS = 0.5  # refusals this close together are one event
_REGROWTH = 1.25  # an interval, after a halving


class Window:
    """Kept by one copy. Not thread-safe: `done` is called under the copy's lock; `size` may be read at any time."""

    def __init__(
        self, most: int, *, clock: Callable[[], float] = time.monotonic, processors: int | None = None
    ) -> None:
        self.most = max(1, most)
        self.size = min(FIRST, self.most)
        self._clock = clock
        self._spare = processors or len(os.sched_getaffinity(0))
        self._cap = float(self.most)
        self._kinds: dict[Hashable, _Kind] = {}
        self._since = clock()
        self._demands: deque[float] = deque(maxlen=_INTERVALS)
        self._halved_at = float("-inf")

    def done(self, kind: Hashable, seconds: float, *, throttled: bool = False) -> bool:
        """A block took so long; whether `size` has changed. Kinds (sent, unchanged, ...) differ in what they take."""
        now = self._clock()
        one = self._kinds.get(kind)
        if one is None:
            one = self._kinds[kind] = _Kind(seconds, now)
        one.done(seconds, now)
        before = self.size
        if throttled and now - self._halved_at > _HALVE_SECONDS:
            self._halved_at = now
            self._cap = max(1.0, self.size / 2)
            self.size = min(self.size, int(self._cap))
        elif now - self._since >= max(_SHORTEST_INTERVAL, 1.25 * max(each.shortest for each in self._kinds.values())):
            self._adapt(now)
        return self.size != before

    def _adapt(self, now: float) -> None:
        elapsed = now - self._since
        self._demands.append(sum(each.take() / elapsed * each.shortest for each in self._kinds.values()))
        self._since = now
        self._cap = min(float(self.most), self._cap * _REGROWTH)
        wanted = math.ceil(GAIN * max(self._demands)) + self._spare
        self.size = max(1, min(wanted, int(self._cap)))


class _Kind:
    """The shortest time of lately, and how many there were since the last look."""

    def __init__(self, seconds: float, now: float) -> None:
        self._present = self._previous = seconds
        self._turned = now
        self._count = 0

    @property
    def shortest(self) -> float:
        return min(self._present, self._previous)

    def done(self, seconds: float, now: float) -> None:
        if now - self._turned > _MEMORY_SECONDS / 2:
            self._previous, self._present, self._turned = self._present, seconds, now
        elif seconds < self._present:
            self._present = seconds
        self._count += 1

    def take(self) -> int:
        count, self._count = self._count, 0
        return count


def run_windowed(
    items: Iterable[Item],
    task: Callable[[Item, Buffer, Pause], Hashable],
    *,
    buffer: Callable[[], Buffer],
    in_flight: int,
    name: str,
    stop: StopSignal | None,
) -> bool:
    """Run `task(item, buffer, pause)` for every item, as many at once as a window allows; False once `stop` is set.

    `buffer` makes a thread's buffer. What a task returns is the kind of its work. Raises the first failure.
    """
    window = Window(in_flight)

    def timed(item: Item, room: Buffer) -> None:
        began = time.monotonic()
        kind = task(item, room, workers.pause)
        took = time.monotonic() - began
        with workers.changed:
            if window.done(kind, took):
                workers.allow(window.size)

    workers = Workers(items, timed, buffer=buffer, count=window.size, name=name)
    with workers:
        return workers.wait_all(stop)
