"""Rates that threads share: a bandwidth limit, or the requests a second that a service allows.

What waits is served in turns: each flow (a disk, a server) gets an equal share, however many threads it asks with.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Hashable
from itertools import count

#: Sleeps for some seconds; False where what waits is no longer wanted.
Pause = Callable[[float], bool]

BURST_SECONDS = 0.05  # what a flow that wakes up late may catch up with
_LONGEST_NAP = 0.25  # seconds after which a changed rate is noticed at the latest


def sleep(seconds: float) -> bool:
    """The pause that nothing interrupts."""
    time.sleep(seconds)
    return True


class Limiter:
    """Hands out `rate` units a second (None: without limit). Thread-safe; the rate may change at any time."""

    def __init__(
        self,
        rate: float | None = None,
        *,
        burst_seconds: float = BURST_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._rate = rate
        self._burst_seconds = burst_seconds
        self._tokens = 0.0
        self._at = clock()
        # Start-time fair queueing (Goyal, Vin, Cheng 1996): each flow's requests begin, in virtual time, where its last
        # one ended, and the earliest beginning is served first.
        self._virtual = 0.0
        self._ends: dict[Hashable, float] = {}
        self._waiting: list[tuple[float, int, float]] = []  # a heap of beginning, ticket, amount
        self._tickets = count()

    @property
    def rate(self) -> float | None:
        return self._rate

    def set_rate(self, rate: float | None) -> None:
        with self._lock:
            self._refill()
            self._rate = rate

    def take(self, amount: float, flow: Hashable = None, pause: Pause = sleep) -> bool:
        """Return True once `amount` may be used; False if `pause` said so before that."""
        entry: tuple[float, int, float] | None = None
        while True:
            with self._lock:
                if self._rate is None:
                    self._leave(entry)
                    return True
                self._refill()
                if entry is None:
                    entry = self._enter(amount, flow)
                if self._waiting[0] is entry and self._tokens >= 0:
                    # A request may overdraw, and is paid for by the next ones: it may be larger than any burst.
                    heapq.heappop(self._waiting)
                    self._tokens -= amount
                    self._virtual = max(self._virtual, entry[0])
                    return True
                ahead = sum(each[2] for each in self._waiting if each < entry)
                nap = (ahead - self._tokens) / self._rate
            if not pause(min(max(nap, 0.0002), _LONGEST_NAP)):
                with self._lock:
                    self._leave(entry)
                return False

    def _enter(self, amount: float, flow: Hashable) -> tuple[float, int, float]:
        begin = max(self._virtual, self._ends.get(flow, 0.0))
        self._ends[flow] = begin + amount
        if len(self._ends) > 1000:  # flows that ended long ago
            self._ends = {each: end for each, end in self._ends.items() if end > self._virtual}
        entry = (begin, next(self._tickets), amount)
        heapq.heappush(self._waiting, entry)
        return entry

    def _leave(self, entry: tuple[float, int, float] | None) -> None:
        if entry is not None:
            self._waiting.remove(entry)
            heapq.heapify(self._waiting)

    def _refill(self) -> None:
        now = self._clock()
        if self._rate is not None:
            self._tokens = min(self._tokens + (now - self._at) * self._rate, self._rate * self._burst_seconds)
        self._at = now
