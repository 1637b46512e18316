"""Schedules and blackouts, as far as the schema cannot check them: cron lines, time zones, and what goes with what."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from zoneinfo import available_timezones

from cronsim import CronSim, CronSimError

from rehost.spec._findings import Finding, nearest, short
from rehost.spec._merge import Merged
from rehost.spec._waves import moment_of
from rehost.spec._yaml import Path

_LENGTH = re.compile(r"([0-9]{1,9})([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = 24 * 60  # minutes
_FIELDS = "minute, hour, day of the month, month, day of the week"
_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)
#: Keys that have a meaning with some kinds of schedule alone.
_GOES_WITH = {"startWithin": ("every", "cron"), "targetLag": ("continuous",)}


def seconds_of(text: str | None) -> int | None:
    """A length of time as the schema lets it through: `90s`, `30m`, `12h`, `7d`. None for what it would not."""
    found = _LENGTH.fullmatch(text or "")
    return int(found[1]) * _SECONDS[found[2]] if found else None


def findings(spec: Merged) -> Iterator[Finding]:
    for name in spec.names("schedules"):
        entry = ("schedules", name)
        yield from _zone(spec, entry)
        yield from _cron(spec, entry)
        yield from _moment(spec, (*entry, "seedTime"))
        yield from _lengths(spec, entry)
        yield from _blackouts(spec, entry)


def _zone(spec: Merged, entry: Path) -> Iterator[Finding]:
    zone = spec.text(*entry, "timeZone")
    if zone is not None and zone not in _zones():
        where = spec.place(*entry, "timeZone")
        yield Finding.at(
            where, "time-zone", f"{short(zone)} is no time zone", nearest(zone, _zones()) or "for example Europe/Berlin"
        )


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _cron(spec: Merged, entry: Path) -> Iterator[Finding]:
    line = spec.text(*entry, "cron")
    if line is None:
        return
    try:
        next(CronSim(line, _SOME_DAY))
    except CronSimError as error:
        what = str(error).removeprefix("Bad ")
        yield Finding.at(
            spec.place(*entry, "cron"), "cron", f"{short(line)} is no cron line: its {what} is wrong", _FIELDS
        )
    except StopIteration:
        yield Finding.at(spec.place(*entry, "cron"), "cron", f"{short(line)} names a day that never comes")


def _moment(spec: Merged, path: Path) -> Iterator[Finding]:
    text = spec.text(*path)
    if text is not None and moment_of(text) is None:
        yield Finding.at(spec.place(*path), "wrong-value", f"{text} is not in the calendar or not on the clock")


def _lengths(spec: Merged, entry: Path) -> Iterator[Finding]:
    given = [kind for kind in ("every", "cron", "continuous", "runOnce") if spec.get(*entry, kind) is not None]
    for key, kinds in _GOES_WITH.items():
        if spec.text(*entry, key) is not None and given and not set(given) & set(kinds):
            message = f"{key} has no effect on {given[0]}"
            yield Finding.at(spec.place(*entry, key), "no-effect", message, f"it goes with {' and '.join(kinds)}")
    every, jitter = (seconds_of(spec.text(*entry, key)) for key in ("every", "jitter"))
    if every and jitter and jitter >= every:
        message = "the jitter is as long as the time between two runs, or longer"
        yield Finding.at(spec.place(*entry, "jitter"), "jitter", message)
    first, longest = (seconds_of(spec.text(*entry, "retry", key)) for key in ("first", "longest"))
    if first and longest and longest < first:
        where = spec.place(*entry, "retry", "longest")
        yield Finding.at(where, "retry", "the longest pause is shorter than the first")


def _blackouts(spec: Merged, entry: Path) -> Iterator[Finding]:
    closed = bytearray(7 * _DAY)
    for name in spec.names(*entry, "blackouts"):
        path = (*entry, "blackouts", name)
        for kind, end, others in (("from", "to", ("closes",)), ("opens", "closes", ("days", "to"))):
            if spec.get(*path, kind) is None:
                continue
            if spec.get(*path, end) is None and not spec.is_wrong(*path, end):
                yield Finding.at(spec.place(*path, kind), "missing-key", f"{kind} needs {end}")
            for other in others:
                if spec.get(*path, other) is not None:
                    yield Finding.at(spec.place(*path, other), "no-effect", f"{other} has no effect on {kind}")
        for key in ("opens", "closes"):
            yield from _moment(spec, (*path, key))
        opens, closes = (moment_of(spec.text(*path, key) or "") for key in ("opens", "closes"))
        if opens and closes and closes <= opens:
            yield Finding.at(spec.place(*path, "closes"), "window", f"blackout {short(name)} closes before it opens")
        _mark(closed, spec, path)
    if all(closed):
        where = spec.place(*entry, "blackouts")
        yield Finding.at(where, "always-closed", "the blackouts leave no minute of the week", "no run could ever start")


def _mark(closed: bytearray, spec: Merged, path: Path) -> None:
    """Set the minutes of the week that a weekly blackout takes."""
    begin, end = (_minutes(spec.text(*path, key)) for key in ("from", "to"))
    if begin is None or end is None:
        return
    days = [day for _path, day in spec.texts(*path, "days")] or _DAYS
    for day in days:
        if day in _DAYS:
            start = _DAYS.index(day) * _DAY + begin
            last = start + ((end - begin) % _DAY or _DAY)
            for first, behind in ((start, min(last, len(closed))), (0, last - len(closed))):  # Sunday night goes on
                if behind > first:
                    closed[first:behind] = b"\1" * (behind - first)


def _minutes(text: str | None) -> int | None:
    if text is None:
        return None
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)
