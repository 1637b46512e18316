"""When a job runs. Pure: the clock comes in as a value, and the same values give the same moments in every process."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import dropwhile, islice, takewhile
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim

from rehost.control._blackout import Blackout

#: More missed moments than this are not counted: a cron line of every minute and a connector away for a month.
MOST_COUNTED = 1000
#: So many windows, one after the other, may put a moment off before it is given up.
_MOST_PUT_OFF = 1000


@dataclass(frozen=True)
class Retry:
    """After a failure: doubling pauses from `first` to `longest`; after `attempts` in a row the job waits for a person."""

    attempts: int = 5
    first: timedelta = timedelta(minutes=1)
    longest: timedelta = timedelta(hours=1)

    def pause(self, failures: int, spread: float) -> timedelta:
        """The pause after the `failures`-th failure in a row; `spread`, in [0, 1), adds up to an eighth, so that jobs
        which failed together do not come back together."""
        pause = min(self.longest, self.first * (1 << min(max(failures - 1, 0), 20)))
        return min(self.longest, pause + pause / 8 * spread)


@dataclass(frozen=True)
class Schedule:
    """One of `every`, `cron`, `continuous` and `run_once` says when; `zone` holds for `cron` and for weekly blackouts."""

    every: timedelta | None = None
    cron: str | None = None
    continuous: bool = False
    run_once: bool = False
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    seed: datetime | None = None
    jitter: timedelta = timedelta()
    start_within: timedelta | None = None  # a run that has not started so long after its moment is MISSED
    target_lag: timedelta | None = None
    blackouts: tuple[Blackout, ...] = ()
    retry: Retry = Retry()

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Schedule:
        """From a job's `schedule`: seconds, RFC 3339 moments, names of time zones."""
        zone = ZoneInfo(data.get("time_zone") or "UTC")
        retry = data.get("retry") or {}
        return cls(
            every=_seconds(data.get("every_seconds")),
            cron=data.get("cron"),
            continuous=bool(data.get("continuous")),
            run_once=bool(data.get("run_once")),
            zone=zone,
            seed=datetime.fromisoformat(data["seed_at"]) if data.get("seed_at") else None,
            jitter=_seconds(data.get("jitter_seconds")) or timedelta(),
            start_within=_seconds(data.get("start_within_seconds")),
            target_lag=_seconds(data.get("target_lag_seconds")),
            blackouts=tuple(Blackout.of(each, zone) for each in data.get("blackouts") or ()),
            retry=Retry(
                attempts=int(retry.get("attempts", Retry.attempts)),
                first=_seconds(retry.get("first_seconds")) or Retry.first,
                longest=_seconds(retry.get("longest_seconds")) or Retry.longest,
            ),
        )

    @property
    def is_periodic(self) -> bool:
        return self.every is not None or self.cron is not None

    def offset(self, server: str) -> timedelta:
        """The server's own share of the jitter: the same in every process and on every day."""
        return self.jitter * spread(server)

    def first(self, server: str, now: datetime) -> datetime | None:
        """When a new job runs: at its seed time, else at once. None where blackouts never end."""
        begin = max(self.seed, now) if self.seed else now
        return self.put_off(server, begin + self.offset(server))

    def next(self, server: str, after: datetime, anchor: datetime) -> datetime | None:
        """The first moment later than `after`; None for what is not periodic. `anchor` is a moment of an `every` grid.

        However long ago the last moment was: what was missed in between is not made up for.
        """
        moment = self._grid(server, after, anchor)
        return None if moment is None else self.put_off(server, moment)

    def passed(self, server: str, after: datetime, until: datetime, anchor: datetime) -> int:
        """How many moments lie in (after, until]; counted up to MOST_COUNTED."""
        if until <= after or not self.is_periodic:
            return 0
        offset = self.offset(server)
        if self.every is not None:
            start = self._anchor(server, anchor)
            if self.seed and after < start:
                after = start - timedelta(microseconds=1)
            return min(max(0, (until - start) // self.every - (after - start) // self.every), MOST_COUNTED)
        moments = (moment + offset for moment in self._cron(self._begin(after - offset)))
        return sum(1 for _ in takewhile(lambda moment: moment <= until, islice(moments, MOST_COUNTED)))

    def after_completion(self, server: str, taken: datetime, took: timedelta, now: datetime) -> datetime | None:
        """When a continuous job runs again: soon enough to end within its target lag of the last point in time.

        `took` is how long the last run took; half of it again is left as a margin.
        """
        begin = now if self.target_lag is None else max(now, taken + self.target_lag - took * 1.5)
        return self.put_off(server, begin)

    def after_failure(self, server: str, failures: int, now: datetime, anchor: datetime) -> datetime | None:
        """When to try again: after the policy's pause, or at the next moment if that comes first."""
        again = now + self.retry.pause(failures, spread(f"{server}/{failures}"))
        planned = self._grid(server, now, anchor)
        return self.put_off(server, again if planned is None else min(again, planned))

    def closed_until(self, moment: datetime) -> datetime | None:
        """The end of the blackout that `moment` lies in; None where runs may start."""
        ends = [end for each in self.blackouts if (end := each.end(moment)) is not None]
        return max(ends, default=None)

    def put_off(self, server: str, moment: datetime) -> datetime | None:
        """`moment`, or where it lies in a blackout, its end and the server's own jitter."""
        for offset in (self.offset(server), timedelta()):
            found = moment
            for _ in range(_MOST_PUT_OFF):
                end = self.closed_until(found)
                if end is None:
                    return found
                found = end + offset
            # The jitter leaps over each gap between two windows: without it there may be one.
        return None

    def _grid(self, server: str, after: datetime, anchor: datetime) -> datetime | None:
        if self.every is not None:
            start = self._anchor(server, anchor)
            if self.seed and after < start:
                return start
            # Floor division: right for an anchor that lies ahead, too, as after a clock that was set back.
            return start + ((after - start) // self.every + 1) * self.every
        if self.cron is not None:
            offset = self.offset(server)
            found = next(self._cron(self._begin(after - offset)), None)
            return None if found is None else found + offset
        return None

    def _cron(self, after: datetime) -> Iterator[datetime]:
        """Its moments after `after`, in UTC and without jitter; none where no such day comes within fifty years.

        Daylight saving as Debian's cron has it: a time that is skipped runs right after the gap, one that comes twice
        runs once.
        """
        moments = (each.astimezone(UTC) for each in CronSim(str(self.cron), after.astimezone(self.zone)))
        # In the second of two like hours cronsim begins with the first.
        return dropwhile(lambda moment: moment <= after, moments)

    def _begin(self, after: datetime) -> datetime:
        return after if self.seed is None else max(after, self.seed - timedelta(seconds=1))

    def _anchor(self, server: str, anchor: datetime) -> datetime:
        return self.seed + self.offset(server) if self.seed else anchor


def spread(text: str) -> float:
    """A number in [0, 1) that depends on the text alone, evenly spread over texts."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) / (1 << 48)


def _seconds(value: Any) -> timedelta | None:
    return None if value is None else timedelta(seconds=float(value))
