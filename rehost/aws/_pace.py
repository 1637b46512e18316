"""How fast a service that throttles is asked: found out, held a little below, and tried again now and then."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable

from rehost.pacing import Limiter, Pause

#: Share of the rate that the service has just shown to allow. AIMD halves because a sender on a network sees only losses; here
#: the rate that gets through is known, and a few percent below it is below the limit.
BACK_OFF = 0.95
_SETTLE_SECONDS = 0.3  # refusals this close together are one event
_MEASURED_SECONDS = 1.0
_EVIDENCE = 10  # requests
_LEAST = 0.5
_PLATEAU_SECONDS = 2.0  # until the rate is back where it was refused


class Pace:
    """Without a limit until the service refuses for the first time. Thread-safe; shared by all that uses the endpoint.

    After a refusal the rate falls to `BACK_OFF` of what was accepted a second lately (no further than to half), is back there after two seconds and
    then grows, slowly at first (as CUBIC does, RFC 9438), so that a limit that was raised, or another client that has
    left, is noticed.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._limiter = Limiter(burst_seconds=0.002, clock=clock)  # the service's own burst may be small
        self._lock = threading.Lock()
        self._accepted: deque[float] = deque()  # moments
        self._peak: float | None = None
        self._refused_at = float("-inf")
        self._started: float | None = None

    @property
    def rate(self) -> float | None:
        """Requests a second, None while nothing was ever refused."""
        return self._limiter.rate

    def wait(self, flow: Hashable, pause: Pause) -> bool:
        """Until the next request may go; False if `pause` ended it."""
        return self._limiter.take(1.0, flow, pause)

    def accepted(self) -> None:
        now = self._clock()
        with self._lock:
            if self._started is None:
                self._started = now
            self._accepted.append(now)
            while self._accepted[0] < now - _MEASURED_SECONDS:
                self._accepted.popleft()
            if self._peak is not None:
                self._limiter.set_rate(self._peak * self._share(now - self._refused_at))

    def refused(self) -> None:
        now = self._clock()
        with self._lock:
            if now - self._refused_at < _SETTLE_SECONDS:
                return
            # Right after a refusal what comes through is the limit itself; before the first it may have been a burst.
            lately = min(_MEASURED_SECONDS, now - self._refused_at)
            self._refused_at = now
            while self._accepted and self._accepted[0] < now - lately:
                self._accepted.popleft()
            if len(self._accepted) < _EVIDENCE:
                return  # too little was accepted to tell a rate from; each request's own backoff does
            since = now - self._started if self._started is not None else 0.0
            measured = len(self._accepted) / min(lately, max(since, 0.001))
            known = self._limiter.rate
            # Never below a part of it at once: a client that is slow itself shows less than the limit.
            self._peak = max(1.0, measured if known is None else min(max(measured, _LEAST * known), known))
            self._limiter.set_rate(self._peak * BACK_OFF)

    @staticmethod
    def _share(seconds: float) -> float:
        """Of the peak, so many seconds after the last refusal."""
        if seconds < _PLATEAU_SECONDS:
            return BACK_OFF + (1 - BACK_OFF) * seconds / _PLATEAU_SECONDS
        beyond = seconds - _PLATEAU_SECONDS
        return 1 + 0.02 * beyond + 0.004 * beyond**2
