"""Windows in which no run starts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

_ALL_DAYS = frozenset(range(7))


@dataclass(frozen=True)
class Blackout:
    """Either once, from `opens` to `closes`, or each week on `days` (Monday is 0) from `start` to `end_at`, in minutes of
    the day by `zone`'s clock. An end at or before the start is the next day's.
    """

    opens: datetime | None = None
    closes: datetime | None = None
    days: frozenset[int] = _ALL_DAYS
    start: int = 0
    end_at: int = 0
    zone: ZoneInfo | None = None

    @classmethod
    def of(cls, data: Mapping[str, Any], zone: ZoneInfo) -> Blackout:
        """From `{opens, closes}` (RFC 3339) or `{days, from, to}` (`mon`..`sun`, `HH:MM`)."""
        if "opens" in data:
            return cls(datetime.fromisoformat(data["opens"]), datetime.fromisoformat(data["closes"]))
        days = frozenset(DAYS.index(day) for day in data.get("days") or DAYS)
        return cls(days=days, start=_minutes(data["from"]), end_at=_minutes(data["to"]), zone=zone)

    def end(self, moment: datetime) -> datetime | None:
        """When the window that `moment` lies in ends, in UTC; None outside. The start belongs to it, the end does not."""
        if self.opens is not None and self.closes is not None:
            return self.closes.astimezone(UTC) if self.opens <= moment < self.closes else None
        today = moment.astimezone(self.zone).date()
        for day in (today, today - timedelta(days=1)):  # one that began yesterday may still be open
            if day.weekday() not in self.days:
                continue
            last = day if self.end_at > self.start else day + timedelta(days=1)
            begin, end = self._at(day, self.start), self._at(last, self.end_at)
            if begin <= moment < end:
                return end
        return None

    def _at(self, day: date, minutes: int) -> datetime:
        """By the clock on the wall: an hour that a change of the clocks skips is taken as if it were there."""
        midnight = datetime.combine(day, time(), self.zone)
        return (midnight + timedelta(minutes=minutes)).astimezone(UTC)


DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)
