"""Rates are held, shared in turns, and changeable while somebody waits."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from rehost.pacing import Limiter
from rehost.rates import PATTERN, bytes_per_second
from rehost.spec import schema

BLOCK = 524_288


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> bool:
        self.now += seconds
        return True


@pytest.mark.parametrize("mib_s", [1, 50, 200, 900])
def test_a_rate_is_held_within_five_percent(mib_s: int) -> None:
    clock = Clock()
    limiter = Limiter(mib_s * (1 << 20), clock=clock)
    blocks = 10 * mib_s * 2  # ten seconds' worth
    for _ in range(blocks):
        assert limiter.take(BLOCK, None, clock.pause)
    assert clock.now == pytest.approx(10, rel=0.05)


def test_idle_time_is_not_saved_up() -> None:
    clock = Clock()
    limiter = Limiter(10 * BLOCK, clock=clock)
    clock.now = 1000.0
    for _ in range(100):
        limiter.take(BLOCK, None, clock.pause)
    assert clock.now - 1000 == pytest.approx(10, rel=0.05)


def test_a_changed_rate_holds_for_who_waits_already() -> None:
    clock = Clock()
    limiter = Limiter(1.0, clock=clock)  # a block would take six days
    limiter.take(BLOCK, None, clock.pause)

    def pause(seconds: float) -> bool:
        limiter.set_rate(None)
        return clock.pause(seconds)

    assert limiter.take(BLOCK, None, pause)
    assert clock.now < 1


def test_who_gives_up_leaves_the_queue() -> None:
    clock = Clock()
    limiter = Limiter(BLOCK, clock=clock)
    limiter.take(BLOCK, None, clock.pause)
    assert not limiter.take(BLOCK, "impatient", lambda _: False)
    assert limiter.take(BLOCK, "patient", clock.pause)
    assert clock.now == pytest.approx(1, rel=0.1)


def test_flows_share_a_rate_evenly_whatever_the_number_of_their_threads() -> None:
    limiter = Limiter(400.0)
    served: Counter[str] = Counter()
    lock, stop = threading.Lock(), threading.Event()

    def work(flow: str) -> None:
        while limiter.take(1.0, flow, lambda seconds: not stop.wait(seconds)):
            with lock:
                served[flow] += 1
                if served.total() >= 200:
                    stop.set()
            if stop.is_set():
                return

    flows = ["one"] + ["many"] * 7
    threads = [threading.Thread(target=work, args=(flow,)) for flow in flows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert served["one"] == pytest.approx(served["many"], rel=0.25)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("200 MiB/s", 200 * 2**20),
        ("1.5Gbit/s", 1.5e9 / 8),
        ("20000 B/s", 20_000),
        ("64 KiB/s", 65_536),
        ("1 MB/s", 1e6),
    ],
)
def test_rates_are_read(text: str, rate: float) -> None:
    assert bytes_per_second(text) == rate


@pytest.mark.parametrize("text", ["", "200", "200 MiB", "200 Mib/s", "-1 MB/s", "0 MB/s", "1 B/s", "fast"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"rate|below"):
        bytes_per_second(text)


def test_the_schema_takes_the_same_rates() -> None:
    assert schema()["$defs"]["throttle"]["pattern"] == PATTERN
