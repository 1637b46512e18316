"""Schedules against every clock: grids, time zones, blackouts, jitter and retries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rehost.control import Schedule

MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))
NAMES = st.sampled_from(["web-01", "web-02", "db-01", "mail"])
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"])
CRONS = st.sampled_from(["30 2 * * *", "*/15 * * * *", "0 */6 * * *", "0 1 * * sun", "15 2 1 * *", "0 0 29 2 *"])
BERLIN = ZoneInfo("Europe/Berlin")


@st.composite
def schedules(draw: st.DrawFn) -> dict[str, Any]:
    data: dict[str, Any] = {"time_zone": draw(ZONES)}
    if draw(st.booleans()):
        data["every_seconds"] = draw(st.integers(60, 30 * 86400))
    else:
        data["cron"] = draw(CRONS)
    data["jitter_seconds"] = draw(st.integers(0, 3600))
    if draw(st.booleans()):
        data["seed_at"] = draw(MOMENTS).isoformat()
    if draw(st.booleans()):
        data["blackouts"] = [
            {"days": ["mon", "wed", "sat"], "from": "08:00", "to": "18:00"},
            {"from": "22:00", "to": "04:00"},
            {"opens": "2026-12-24T00:00:00Z", "closes": "2026-12-27T00:00:00+01:00"},
        ]
    return data


@given(data=schedules(), name=NAMES, after=MOMENTS, anchor=MOMENTS)
def test_the_next_moment_lies_ahead_and_never_in_a_blackout(
    data: dict[str, Any], name: str, after: datetime, anchor: datetime
) -> None:
    schedule = Schedule.of(data)
    found = schedule.next(name, after, anchor)
    assert found is not None
    assert found > after
    assert schedule.closed_until(found) is None
    if schedule.seed:
        assert found >= schedule.seed


@given(every=st.integers(60, 30 * 86400), name=NAMES, after=MOMENTS, anchor=MOMENTS)
def test_moments_stand_on_their_grid_whatever_the_clock_did(
    every: int, name: str, after: datetime, anchor: datetime
) -> None:
    found = Schedule.of({"every_seconds": every}).next(name, after, anchor)
    assert found is not None
    assert (found - anchor) % timedelta(seconds=every) == timedelta(0)
    assert after < found <= after + timedelta(seconds=every)


@given(data=schedules(), name=NAMES, after=MOMENTS, anchor=MOMENTS, count=st.integers(1, 6))
def test_what_passed_is_what_would_have_been_next(
    data: dict[str, Any], name: str, after: datetime, anchor: datetime, count: int
) -> None:
    assume("blackouts" not in data)
    schedule = Schedule.of(data)
    moments = [after]
    for _ in range(count):
        following = schedule.next(name, moments[-1], anchor)
        assert following is not None
        moments.append(following)
    assert schedule.passed(name, after, moments[-1], anchor) == count
    assert schedule.passed(name, after, moments[-1] - timedelta(seconds=1), anchor) == count - 1
    assert schedule.passed(name, moments[-1], after, anchor) == 0


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        # 02:30 does not exist on 29 March 2026 in Berlin: Debian's cron runs right after the gap.
        ("30 2 * * *", "2026-03-28T12:00:00+01:00", ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]),
        # It comes twice on 25 October: once is enough.
        ("30 2 * * *", "2026-10-24T12:00:00+02:00", ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]),
        ("30 2 * * *", "2026-10-25T02:10:00+01:00", ["2026-10-26T02:30:00+01:00"]),
        # What runs by the quarter of an hour goes on through both.
        ("30 * * * *", "2026-10-25T02:30:00+02:00", ["2026-10-25T02:30:00+01:00", "2026-10-25T03:30:00+01:00"]),
    ],
)
def test_daylight_saving(cron: str, after: str, expected: list[str]) -> None:
    schedule = Schedule.of({"cron": cron, "time_zone": "Europe/Berlin"})
    moment = datetime.fromisoformat(after)
    for each in expected:
        found = schedule.next("web-01", moment, moment)
        assert found == datetime.fromisoformat(each)
        moment = found


@pytest.mark.parametrize(
    ("moment", "end"),
    [
        ("2026-11-30T08:00:00+01:00", "2026-11-30T18:00:00+01:00"),  # a Monday
        ("2026-11-30T17:59:59+01:00", "2026-11-30T18:00:00+01:00"),
        ("2026-11-30T18:00:00+01:00", None),
        ("2026-11-29T12:00:00+01:00", None),  # a Sunday
        ("2026-12-05T23:30:00+01:00", "2026-12-06T03:00:00+01:00"),  # Saturday night
        ("2026-12-06T02:59:00+01:00", "2026-12-06T03:00:00+01:00"),
        ("2026-12-07T02:00:00+01:00", None),  # Monday morning is no Sunday night
    ],
)
def test_weekly_blackouts_by_the_clock_on_the_wall(moment: str, end: str | None) -> None:
    schedule = Schedule.of(
        {
            "every_seconds": 60,
            "time_zone": "Europe/Berlin",
            "blackouts": [
                {"days": ["mon"], "from": "08:00", "to": "18:00"},
                {"days": ["sat"], "from": "22:00", "to": "03:00"},
            ],
        }
    )
    found = schedule.closed_until(datetime.fromisoformat(moment))
    assert found == (datetime.fromisoformat(end) if end else None)


def test_a_moment_in_a_blackout_is_put_off_and_its_grid_stays() -> None:
    schedule = Schedule.of({"every_seconds": 3600, "blackouts": [{"from": "08:00", "to": "18:30"}]})
    anchor = datetime(2026, 12, 1, tzinfo=UTC)
    assert schedule.next("a", datetime(2026, 12, 1, 7, 30, tzinfo=UTC), anchor) == datetime(
        2026, 12, 1, 18, 30, tzinfo=UTC
    )
    assert schedule.next("a", datetime(2026, 12, 1, 18, 30, tzinfo=UTC), anchor) == datetime(
        2026, 12, 1, 19, tzinfo=UTC
    )


def test_blackouts_without_a_gap_leave_no_moment() -> None:
    always = [{"from": "00:00", "to": "12:00"}, {"from": "12:00", "to": "00:00"}]
    schedule = Schedule.of({"every_seconds": 3600, "blackouts": always})
    now = datetime(2026, 12, 1, tzinfo=UTC)
    assert schedule.first("a", now) is None
    assert schedule.next("a", now, now) is None


def test_a_gap_smaller_than_the_jitter_is_still_used() -> None:
    gap = [{"from": "00:00", "to": "12:00"}, {"from": "12:01", "to": "00:00"}]
    now = datetime(2026, 12, 1, tzinfo=UTC)
    for server in map(str, range(20)):
        schedule = Schedule.of({"every_seconds": 3600, "jitter_seconds": 3600, "blackouts": gap})
        assert schedule.first(server, now) == datetime(2026, 12, 1, 12, tzinfo=UTC)


def test_jitter_spreads_servers_evenly_and_is_the_same_every_day() -> None:
    schedule = Schedule.of({"cron": "0 2 * * *", "jitter_seconds": 3600})
    now = datetime(2026, 12, 1, 12, tzinfo=UTC)
    quarters = [0, 0, 0, 0]
    for server in (f"web-{number:03}" for number in range(1000)):
        found = schedule.next(server, now, now)
        assert found is not None
        quarters[found.minute // 15] += 1
        assert schedule.next(server, found, now) == found + timedelta(days=1)
    assert min(quarters) > 200


def test_a_seed_time_is_the_first_moment_and_the_grid_begins_there() -> None:
    seed = datetime(2026, 12, 24, 20, tzinfo=BERLIN)
    schedule = Schedule.of({"every_seconds": 43200, "seed_at": seed.isoformat()})
    now = datetime(2026, 12, 1, tzinfo=UTC)
    assert schedule.first("a", now) == seed
    assert schedule.next("a", now, now) == seed
    assert schedule.next("a", seed, now) == seed + timedelta(hours=12)
    late = seed + timedelta(days=3, minutes=5)
    assert schedule.first("a", late) == late


@given(failures=st.integers(1, 10_000), now=MOMENTS, name=NAMES)
def test_a_retry_waits_longer_and_longer_within_its_bounds(failures: int, now: datetime, name: str) -> None:
    schedule = Schedule.of({"run_once": True, "retry": {"attempts": 3, "first_seconds": 120, "longest_seconds": 900}})
    again = schedule.after_failure(name, failures, now, now)
    following = schedule.after_failure(name, failures + 1, now, now)
    assert again is not None
    assert following is not None
    assert timedelta(seconds=120) <= again - now <= timedelta(seconds=900)
    assert following >= again


def test_a_retry_gives_way_to_the_next_moment() -> None:
    schedule = Schedule.of({"every_seconds": 300, "retry": {"first_seconds": 3600}})
    now = datetime(2026, 12, 1, tzinfo=UTC)
    assert schedule.after_failure("a", 1, now, now) == now + timedelta(minutes=5)


def test_continuous_runs_go_back_to_back_or_as_the_target_lag_allows() -> None:
    now = datetime(2026, 12, 1, tzinfo=UTC)
    minute = timedelta(minutes=1)
    assert Schedule.of({"continuous": True}).after_completion("a", now - minute, minute, now) == now
    aimed = Schedule.of({"continuous": True, "target_lag_seconds": 600})
    assert aimed.after_completion("a", now - minute, minute, now) == now + 7.5 * minute
    assert aimed.after_completion("a", now - 20 * minute, 20 * minute, now) == now


@given(data=schedules(), name=NAMES, now=MOMENTS)
def test_what_is_not_periodic_has_no_next_moment(data: dict[str, Any], name: str, now: datetime) -> None:
    for kind in ("run_once", "continuous"):
        assert Schedule.of({kind: True}).next(name, now, now) is None
