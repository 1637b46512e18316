"""Limits of sources and servers: taken from the spec, shared, and changed while something waits. And the metrics."""

from __future__ import annotations

import threading
import time
import urllib.request
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from rehost.blocks import BLOCK_SIZE
from rehost.connector import _throttles
from rehost.connector._metrics import Metrics
from rehost.connector._throttles import Throttles
from rehost.control import Job, JobSpec, JobState
from rehost.pacing import Limiter
from rehost.transfer import Progress


def job(server: str = "web-01", *, server_limit: str | None = None, source_limit: str | None = None) -> Job:
    source = {"type": "images", "path": "exports", **({"throttle": source_limit} if source_limit else {})}
    spec = JobSpec(
        stack="test",
        server=server,
        source_name="exports",
        source=source,
        locator={"name": server},
        schedule={},
        image={},
        aws={},
        throttle=server_limit,
    )
    return Job(f"job-{server}", spec, JobState.ACTIVE, None, 0, None, datetime(2026, 12, 5, tzinfo=UTC))


class Clock:
    """Sleeping moves it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("rehost.connector._throttles.Limiter", lambda: Limiter(clock=lambda: self.now))

    def pause(self, seconds: float) -> bool:
        self.now += seconds
        return True


@pytest.mark.parametrize(
    ("limits", "seconds"),
    [
        ({}, 0),
        ({"server_limit": "10 MiB/s"}, 10),
        ({"source_limit": "5 MiB/s"}, 20),
        ({"server_limit": "10 MiB/s", "source_limit": "20 MiB/s"}, 10),
    ],
)
def test_the_lower_limit_is_held_within_five_percent(
    monkeypatch: pytest.MonkeyPatch, limits: dict[str, str], seconds: float
) -> None:
    clock, throttles, one = Clock(monkeypatch), Throttles(), job(**limits)
    throttles.set_from(one)
    for _ in range(200):
        assert throttles.wait(one, "sda", BLOCK_SIZE, clock.pause)
    assert clock.now == pytest.approx(seconds, rel=0.05)


def test_servers_share_the_limit_of_their_source(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, throttles = Clock(monkeypatch), Throttles()
    both = [job(name, source_limit="10 MiB/s") for name in ("web-01", "web-02")]
    for each in both:
        throttles.set_from(each)
    for _ in range(100):
        for each in both:
            assert throttles.wait(each, "sda", BLOCK_SIZE, clock.pause)
    assert clock.now == pytest.approx(10, rel=0.05)


def test_a_changed_spec_holds_for_a_copy_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_throttles, "POLL_SECONDS", 0.01)
    throttles, slow = Throttles(), job(server_limit="16 KiB/s")  # a block takes half a minute
    fast = replace(slow, spec=replace(slow.spec, throttle=None))
    declared = [slow]
    waiting = threading.Event()

    def pause(seconds: float) -> bool:
        waiting.set()
        time.sleep(min(seconds, 0.01))
        return True

    with throttles.following(slow, lambda _: declared[0]):
        assert throttles.wait(slow, "sda", BLOCK_SIZE, pause)
        sender = threading.Thread(target=throttles.wait, args=(slow, "sda", BLOCK_SIZE, pause))
        sender.start()
        assert waiting.wait(10)
        assert sender.is_alive()
        declared[0] = fast
        sender.join(10)
        assert not sender.is_alive()


def progress(done: int) -> Progress:
    return Progress(
        disk="sda",
        watermark=done,
        blocks_done=done,
        blocks_total=10,
        allocated_bytes=10 * BLOCK_SIZE,
        read_bytes=done * BLOCK_SIZE,
        sent_blocks=done,
        zero_blocks=0,
        unchanged_blocks=0,
        resumed_blocks=0,
        refusals=done // 2,
        in_flight=4,
    )


def test_metrics_are_served_and_count_each_block_once() -> None:
    metrics = Metrics()
    metrics.watch_runs(lambda: 2)
    with metrics.served("127.0.0.1", 0) as port:

        def scraped() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                return str(answer.read().decode())

        labels = '{disk="sda",server="web-01",stack="test"}'
        with metrics.copy("test", "web-01", "sda") as tell:
            tell(progress(3))
            tell(progress(8))
            text = scraped()
            assert f"rehost_copy_blocks_done{labels} 8.0" in text
        with metrics.copy("test", "web-01", "sda") as tell:
            tell(progress(1))
        text = scraped()
    sent = next(line for line in text.splitlines() if line.startswith(f"rehost_sent_bytes_total{labels}"))
    assert float(sent.split()[-1]) == 9 * BLOCK_SIZE
    assert f"rehost_throttled_answers_total{labels} 4.0" in text
    assert "rehost_active_runs 2.0" in text
    assert "rehost_copy_blocks_done{" not in text
