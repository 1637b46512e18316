"""What the charts show, as numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehost.control import EndedRun, PhaseChange, RunState
from rehost.report import _charts
from rehost.report._series import MOST_BUCKETS, Buckets, Copying, lags, levels, outcomes, progress, throughput

START = datetime(2026, 12, 5, 22, 0, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def run(
    ended: float,
    *,
    taken: float | None = None,
    state: RunState = RunState.COMPLETED,
    server: str = "web-01",
    missed: int = 0,
) -> EndedRun:
    frozen = None if taken is None else at(taken)
    return EndedRun(server, "exports", state, frozen, frozen, at(ended), 0, missed, None)


def change(entry: int, phase: str, entered: float, reached: float | None) -> PhaseChange:
    return PhaseChange(entry, None, phase, at(entered), None if reached is None else at(reached), None, None)


@given(st.floats(1, 400 * 86400), st.integers(0, 10**9))
def test_buckets_cover_the_time_with_round_moments(seconds: float, offset: int) -> None:
    since = datetime.fromtimestamp(offset, UTC)
    until = since + timedelta(seconds=seconds)
    buckets = Buckets.over(since, until)
    assert buckets.start <= since
    assert buckets.end >= until
    assert 1 <= buckets.count <= MOST_BUCKETS + 2
    assert buckets.start.timestamp() % buckets.step == 0


def test_servers_climb_and_fall_back_with_their_application() -> None:
    phases = {
        "shop": [
            change(1, "replicate", 0, 1),
            change(2, "test", 20, 25),
            change(3, "cutover", 30, 40),
            change(4, "replicate", 50, None),
        ]
    }
    found = progress({"shop": ["a", "b"]}, phases, {"a": at(10), "b": at(15)}, at(0), at(60))
    shown = {moment: tuple(counts) for moment, counts in zip(found.moments, found.counts, strict=True)}
    assert shown[at(0)] == (2, 0, 0, 0, 0)
    assert shown[at(10)] == (1, 1, 0, 0, 0)
    assert shown[at(15)] == (0, 2, 0, 0, 0)
    assert shown[at(25)] == (0, 0, 2, 0, 0), "an application that has entered test is not tested yet"
    assert shown[at(40)] == (0, 0, 0, 2, 0)
    assert shown[at(50)] == (0, 2, 0, 0, 0), "going back is going back"
    assert all(sum(counts) == 2 for counts in found.counts)


def test_a_phase_that_was_not_reached_lifts_nothing() -> None:
    assert [level for _, level in levels([change(1, "replicate", 0, 0), change(2, "test", 1, None)])] == [0, 0, 0]
    assert levels([change(2, "complete", 9, 10), change(1, "cutover", 1, 2)])[-1] == (at(10), 4)


def test_what_lies_before_the_chart_is_in_its_first_row() -> None:
    found = progress({"shop": ["a"]}, {"shop": [change(1, "test", -90, -80)]}, {"a": at(-95)}, at(0), at(10))
    assert found.moments == [at(0)]
    assert found.counts == [[0, 0, 1, 0, 0]]


def test_lag_grows_between_images_and_ends_with_a_cutover() -> None:
    buckets = Buckets(START, 600, 6)
    ended = [run(10, taken=5), run(30, taken=28), run(12, state=RunState.FAILED), run(20, taken=0, server="db-01")]
    found = lags(ended, {"db-01": at(35)}, buckets, at(60))
    assert found.worst == [300.0, 1200.0, 1800.0, 720.0, 1320.0, 1920.0]
    assert found.median == [300.0, 900.0, 120.0, 720.0, 1320.0, 1920.0]
    assert lags([], {}, buckets, at(60)).worst == [None] * 6


def test_throughput_keeps_every_byte_and_knows_a_young_bucket() -> None:
    buckets = Buckets(START, 600, 3)
    rates = throughput([Copying(at(5), at(15), 600_000)], buckets, at(25))
    assert rates == [500.0, 500.0, 0.0]
    rates = throughput([Copying(at(20), at(25), 300_000)], buckets, at(25))
    assert rates == [0.0, 0.0, 1000.0], "it is half over"


@given(
    st.lists(st.tuples(st.floats(-50, 100), st.floats(0.1, 80), st.integers(0, 1 << 40)), max_size=20),
)
def test_no_more_is_shown_than_was_sent(copies: list[tuple[float, float, int]]) -> None:
    buckets = Buckets(START, 60, 60)
    made = [Copying(at(begin), at(begin + length), size) for begin, length, size in copies]
    rates = throughput(made, buckets, at(60))
    shown = sum(rate * buckets.step for rate in rates)
    assert shown <= sum(size for _, _, size in copies) * 1.000001 + 1
    inside = [size for begin, length, size in copies if begin >= 0 and begin + length <= 60]
    assert shown >= sum(inside) * 0.999999 - 1


def test_missed_moments_count_each() -> None:
    found = outcomes(
        [run(1, taken=0), run(2, state=RunState.FAILED), run(3, state=RunState.MISSED, missed=7), run(99, taken=1)],
        Buckets(START, 600, 2),
    )
    assert (found.completed, found.failed, found.missed) == ([1, 0], [1, 0], [7, 0])


@pytest.mark.parametrize("base", [10, 1024])
@given(most=st.floats(0, 1e15))
def test_an_axis_ends_at_or_above_what_it_shows(base: int, most: float) -> None:
    scale = _charts.linear(most, base=base)
    assert scale.ticks[-1] >= most
    assert scale.ticks[-1] <= max(2.0, most * 10 * (base / 1000 if base > 10 else 1) * 2)
    assert scale.height(0) == 0
    assert 0 <= scale.height(most) <= 1


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=30))
def test_an_axis_of_time_keeps_the_order(values: list[float]) -> None:
    scale = _charts.of_time(max(values))
    heights = [scale.height(each) for each in sorted(values)]
    assert heights == sorted(heights)
    assert all(0 <= each <= 1 for each in heights)
