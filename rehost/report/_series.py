"""What the charts show, as numbers over time. Pure: moments and records in, plain lists out."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil

from rehost.control import EndedRun, PhaseChange, RunState

#: Lengths of a bucket, in seconds: the first with which a chart has at most MOST_BUCKETS.
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
MOST_BUCKETS = 84
#: How far a server is, worst first. Each includes those before it.
LEVELS = ("no image yet", "image ready", "tested", "cut over", "complete")
_LEVEL_OF = {"replicate": 0, "test": 2, "cutover": 3, "complete": 4}


@dataclass(frozen=True)
class Buckets:
    """Equal spans of time, the first from `start` on. `step` is in seconds."""

    start: datetime
    step: int
    count: int

    @classmethod
    def over(cls, since: datetime, until: datetime) -> Buckets:
        """Whole steps that cover the time from `since` to `until`, on round moments of UTC."""
        seconds = max(1.0, (until - since).total_seconds())
        step = next((each for each in _STEPS if seconds / each <= MOST_BUCKETS), None)
        if step is None:
            step = 86400 * ceil(seconds / 86400 / MOST_BUCKETS)
        first = int(since.timestamp()) // step * step
        last = ceil(until.timestamp() / step) * step
        return cls(datetime.fromtimestamp(first, UTC), step, max(1, (last - first) // step))

    @property
    def end(self) -> datetime:
        return self.edge(self.count)

    def edge(self, index: int) -> datetime:
        return self.start + timedelta(seconds=index * self.step)

    def index(self, at: datetime) -> int | None:
        """The bucket that `at` lies in; None outside of all."""
        found = int((at - self.start).total_seconds() // self.step)
        return found if 0 <= found < self.count else None


@dataclass(frozen=True)
class Progress:
    """How many servers were at each level, from each moment to the next one. `counts` is a row a moment, in the order of LEVELS."""

    moments: Sequence[datetime]
    counts: Sequence[Sequence[int]]


def progress(
    applications: Mapping[str, Sequence[str]],
    phases: Mapping[str, Sequence[PhaseChange]],
    first_images: Mapping[str, datetime],
    since: datetime,
    until: datetime,
) -> Progress:
    """Of the servers of these applications. An application that enters an earlier phase again falls back at once."""
    changes: dict[str, list[tuple[datetime, int]]] = {}  # by server
    for name, servers in applications.items():
        steps = levels(phases.get(name, ()))
        for server in servers:
            image = first_images.get(server)
            moments = {at for at, _ in steps} | ({image} if image else set())
            changes[server] = [
                (at, max(_at(steps, at), int(image is not None and image <= at))) for at in sorted(moments)
            ]
    counts = [0] * len(LEVELS)
    counts[0] = len(changes)
    moves: list[tuple[datetime, int, int]] = []
    for steps in changes.values():
        before = 0
        for at, level in steps:
            moves.append((max(at, since), before, level))
            before = level
    rows: dict[datetime, list[int]] = {since: list(counts)}
    for at, before, level in sorted(moves):
        if at > until:
            break
        counts[before] -= 1
        counts[level] += 1
        rows[at] = list(counts)
    return Progress(list(rows), list(rows.values()))


def levels(changes: Iterable[PhaseChange]) -> list[tuple[datetime, int]]:
    """How far an application was from when on, as an index of LEVELS: its phases alone, without its images."""
    found: list[tuple[datetime, int]] = []
    level = 0
    for change in sorted(changes, key=lambda each: each.entry):
        level = min(level, _LEVEL_OF.get(change.phase, 0))
        found.append((change.entered_at, level))
        if change.reached_at is not None:
            level = _LEVEL_OF.get(change.phase, 0)
            found.append((change.reached_at, level))
    return found


def _at(steps: Sequence[tuple[datetime, int]], at: datetime) -> int:
    return next((level for moment, level in reversed(steps) if moment <= at), 0)


@dataclass(frozen=True)
class Lags:
    """Seconds at the end of each bucket; None where no server had an image known of."""

    median: Sequence[float | None]
    most: Sequence[float | None]  # nine in ten have less
    worst: Sequence[float | None]


def lags(ended: Iterable[EndedRun], left: Mapping[str, datetime], buckets: Buckets, now: datetime) -> Lags:
    """How old the newest good image was. A server counts from its first completed run known of, to the moment in `left`,
    when it was cut over: nothing is replicated after that."""
    done: dict[str, tuple[list[datetime], list[datetime]]] = {}
    for run in ended:
        if run.state is RunState.COMPLETED:
            moments, taken = done.setdefault(run.server, ([], []))
            moments.append(run.ended_at)
            taken.append(run.frozen_at or run.ended_at)
    columns: list[tuple[float | None, float | None, float | None]] = []
    for index in range(buckets.count):
        at = min(buckets.edge(index + 1), now)
        known = []
        for server, (moments, taken) in done.items():
            place = bisect_right(moments, at)
            if place and (server not in left or at < left[server]):
                known.append(max(0.0, (at - taken[place - 1]).total_seconds()))
        known.sort()
        columns.append((_share(known, 0.5), _share(known, 0.9), known[-1] if known else None))
    return Lags(*(list(column) for column in zip(*columns, strict=True)))


def _share(known: Sequence[float], share: float) -> float | None:
    return known[ceil(share * len(known)) - 1] if known else None


@dataclass(frozen=True)
class Copying:
    """What was under way: from when, to when, and bytes sent."""

    began: datetime
    ended: datetime
    sent_bytes: int


def throughput(copies: Iterable[Copying], buckets: Buckets, now: datetime) -> list[float]:
    """Bytes a second in each bucket. What a run sent is spread evenly over its time; the last bucket is as long as it is old."""
    sent = [0.0] * buckets.count
    for copy in copies:
        length = max(1.0, (copy.ended - copy.began).total_seconds())
        begin = (copy.ended - buckets.start).total_seconds() - length
        end = begin + length
        first, last = max(0, int(begin // buckets.step)), min(buckets.count - 1, int(end // buckets.step))
        for index in range(first, last + 1):
            inside = min(end, (index + 1) * buckets.step) - max(begin, index * buckets.step)
            if inside > 0:
                sent[index] += copy.sent_bytes * inside / length
    spans = [
        max(1.0, (min(buckets.edge(index + 1), now) - buckets.edge(index)).total_seconds())
        for index in range(buckets.count)
    ]
    return [amount / span for amount, span in zip(sent, spans, strict=True)]


@dataclass(frozen=True)
class Outcomes:
    """Runs that ended in each bucket."""

    completed: Sequence[int]
    failed: Sequence[int]
    missed: Sequence[int]


def outcomes(ended: Iterable[EndedRun], buckets: Buckets) -> Outcomes:
    """A MISSED run counts as often as moments were missed."""
    found = Outcomes([0] * buckets.count, [0] * buckets.count, [0] * buckets.count)
    rows = {RunState.COMPLETED: found.completed, RunState.FAILED: found.failed, RunState.MISSED: found.missed}
    for run in ended:
        index, row = buckets.index(run.ended_at), rows.get(run.state)
        if index is not None and isinstance(row, list):
            row[index] += max(1, run.missed) if run.state is RunState.MISSED else 1
    return found
