"""When a job runs next. Pure: the clock comes in as a value."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

FIRST_RETRY = timedelta(minutes=1)
LONGEST_RETRY = timedelta(hours=1)


def next_run(schedule: Mapping[str, Any], planned: datetime, now: datetime) -> datetime | None:
    """The next moment after `now` on the grid that `planned` stands on; None for a schedule that runs once.

    A connector that was away for a day finds one moment ahead of it, not the many behind.
    """
    if schedule.get("run_once"):
        return None
    if schedule.get("continuous"):
        return now
    step = timedelta(seconds=int(schedule["every_seconds"]))
    if planned > now:
        return planned
    steps = int((now - planned) / step) + 1
    ahead: datetime = planned + steps * step
    return ahead


def retry_at(failures: int, now: datetime) -> datetime:
    """When to try again after so many failures in a row: doubling from a minute, at most an hour."""
    return now + min(LONGEST_RETRY, FIRST_RETRY * (1 << min(max(failures - 1, 0), 10)))
