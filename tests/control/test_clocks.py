"""Whose clock holds: with PostgreSQL the server's, whatever the machines beside it take the time to be."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rehost.control import ControlPlane, LeaseWatch, RunState, is_healthy
from rehost.control._clock import ASK_AGAIN, ServerClock
from tests import postgres

from .conftest import spec

NOON = datetime(2026, 12, 5, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Server:
    """A database server's clock, and the time that passes on this machine."""

    def __init__(self) -> None:
        self.now, self.passed, self.asked, self.is_away = NOON, 0.0, 0, False

    def ask(self) -> datetime:
        self.asked += 1
        if self.is_away:
            raise ConnectionError
        return self.now

    def wait(self, seconds: float) -> None:
        self.passed += seconds
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def clock(server: Server) -> ServerClock:
    return ServerClock(server.ask, lambda: server.passed)


def test_the_server_is_asked_once_and_its_answer_carried_on(server: Server, clock: ServerClock) -> None:
    assert clock() == NOON
    server.wait(ASK_AGAIN / 2)
    assert clock() == NOON + timedelta(seconds=ASK_AGAIN / 2)
    assert server.asked == 1
    server.wait(ASK_AGAIN)
    assert clock() == server.now
    assert server.asked == 2


def test_a_server_whose_clock_was_set_is_followed(server: Server, clock: ServerClock) -> None:
    clock()
    server.now -= HOUR
    server.wait(ASK_AGAIN + 1)
    assert clock() == server.now


def test_a_server_that_is_away_stops_no_clock_that_was_ever_set(server: Server, clock: ServerClock) -> None:
    server.is_away = True
    with pytest.raises(ConnectionError):
        clock()
    server.is_away = False
    clock()
    server.is_away = True
    server.wait(10 * ASK_AGAIN)
    assert clock() == server.now


def test_the_time_that_asking_takes_counts_half(server: Server) -> None:
    def slow() -> datetime:
        server.wait(2.0)
        return server.now - timedelta(seconds=1)  # it looked at its clock in the middle

    assert ServerClock(slow, lambda: server.passed)() == server.now


@contextmanager
def local_clock(monkeypatch: pytest.MonkeyPatch, skew: timedelta) -> Iterator[None]:
    """What the control plane would take for the time on a machine whose clock is wrong."""
    import datetime as module

    class Skewed(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return module.datetime.now(tz) + skew

    with monkeypatch.context() as patch:
        for name, each in list(sys.modules.items()):
            if name.startswith("rehost.control") and getattr(each, "datetime", None) is module.datetime:
                patch.setattr(each, "datetime", Skewed)
        yield


@pytest.mark.postgresql
def test_two_connectors_an_hour_apart_plan_and_judge_alike(postgresql: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_on: dict[str, Any] = {"version": "1", "host": "h", "pid": 1, "sources": None, "log_path": "", "max_runs": 2}
    with postgres.database(postgresql) as url:
        with local_clock(monkeypatch, HOUR):
            ahead = ControlPlane.open(url)
            job = ahead.jobs.put(spec(schedule={"every_seconds": 1800, "keep_images": 3}))
            ahead.connectors.register("ahead", **sign_on)
        right = ControlPlane.open(url)
        try:
            right.connectors.register("right", **sign_on)
            real = datetime.now(UTC)
            assert right.runs.schedule_due(None) == 1
            with local_clock(monkeypatch, HOUR):
                assert abs(ahead.now() - real) < timedelta(minutes=1)
                assert all(is_healthy(each, ahead.now()) for each in ahead.connectors.list())
                run = ahead.runs.claim("ahead", None, lease_seconds=30)
                assert run is not None
                assert abs(run.scheduled_at - real) < timedelta(minutes=1)
            watch = LeaseWatch(30, lambda: 0.0)
            assert [right.runs.orphans(None, watch) for _ in range(2)] == [[], []]
            with local_clock(monkeypatch, HOUR):
                ahead.runs.fail(run.id, "over")
                # The next moment is half an hour away for both, though one's own clock is past it.
                assert ahead.runs.schedule_due(None) == 0
            assert right.runs.schedule_due(None) == 0
            assert right.runs.get(run.id).state is RunState.FAILED
            planned = right.jobs.get(job.id).next_run_at
            assert planned is not None
            assert right.now() < planned <= right.now() + timedelta(minutes=30)
            # The counter-proof: by that clock itself it would be due.
            wrong = ControlPlane.open(url, clock=lambda: datetime.now(UTC) + HOUR)
            assert wrong.runs.schedule_due(None) == 1
            wrong.close()
        finally:
            ahead.close()
            right.close()
