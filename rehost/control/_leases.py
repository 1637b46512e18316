"""Who still holds a run. A lease is judged by whether it moves, not by what time it says: no two clocks are compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Protocol, TypeVar


class Leased(Protocol):
    """What is held by a lease: a run, a power request."""

    @property
    def id(self) -> str: ...

    @property
    def connector_id(self) -> str | None: ...

    @property
    def lease_until(self) -> datetime | None: ...


_Held = TypeVar("_Held", bound=Leased)

#: What `lease_until` says of a run whose connector gave it up, or is known to be dead.
LET_GO = datetime(1970, 1, 1, tzinfo=UTC)


class LeaseWatch:
    """One connector's view of the leases of others.

    A run, or a power request, is an orphan when it was let go of, or when its lease has stood still for `seconds` of this process's own,
    monotonic time. So a clock that is wrong or is set, a database that was away, and a machine that slept make no orphans.
    """

    def __init__(self, seconds: float, elapsed: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self._elapsed = seconds, elapsed
        self._seen: dict[str, tuple[datetime | None, str | None, float]] = {}

    def orphans(self, active: Iterable[_Held]) -> list[_Held]:
        """Those of `active`, all that are ACTIVE of the sources served, that nobody holds."""
        now = self._elapsed()
        seen, found = {}, []
        for run in active:
            state = (run.lease_until, run.connector_id)
            before = self._seen.get(run.id)
            since = before[2] if before is not None and before[:2] == state else now
            seen[run.id] = (*state, since)
            if run.lease_until == LET_GO or now - since >= self.seconds:
                found.append(run)
        self._seen = seen
        return found
