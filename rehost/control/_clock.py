"""What time it is. All who share a PostgreSQL database go by its clock; of those who share a SQLite file there is one machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]

#: Seconds after which the server is asked again: 50 parts in a million of drift, which is a lot, are 1.5 ms by then.
ASK_AGAIN = 30.0


def utc_now() -> datetime:
    return datetime.now(UTC)


def _since_boot() -> float:
    """Seconds that also pass while the machine sleeps, and that nobody can set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class ServerClock:
    """The database server's clock, asked now and then and carried on in between. Thread-safe.

    A connector whose own clock is wrong, or is set while it runs, plans and judges like all the others.
    """

    def __init__(self, ask: Callable[[], datetime], elapsed: Callable[[], float] = _since_boot) -> None:
        self._ask, self._elapsed = ask, elapsed
        self._answer: tuple[datetime, float] | None = None
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        """Raises what asking raises, if it was never answered; else the earlier answer goes on."""
        with self._lock:
            if self._answer is None or self._elapsed() - self._answer[1] > ASK_AGAIN:
                begun = self._elapsed()
                try:
                    answer = self._ask()
                except Exception:
                    if self._answer is None:
                        raise
                else:
                    self._answer = (answer, (begun + self._elapsed()) / 2)
            at, when = self._answer
            return at + timedelta(seconds=self._elapsed() - when)
