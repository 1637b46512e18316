"""How many blocks are in flight, in a model of a network: a rate that cannot be exceeded and a time that every block takes."""

from __future__ import annotations

import heapq

import pytest

from rehost.transfer._window import Window


class Network:
    """Blocks take `latency` seconds and are acknowledged at most `capacity` a second, in order."""

    def __init__(self, window: Window, latency: float, capacity: float) -> None:
        self.window, self.latency, self.capacity = window, latency, capacity
        self.now = 0.0
        self.done = 0

    def run(self, seconds: float) -> None:
        flying: list[tuple[float, float]] = []
        free = self.now
        until = self.now + seconds
        while self.now < until:
            while len(flying) < self.window.size:
                free = max(self.now, free) + 1 / self.capacity
                heapq.heappush(flying, (free + self.latency, self.now))
            self.now, began = heapq.heappop(flying)
            self.done += 1
            self.window.done("sent", self.now - began)


def network(latency: float, capacity: float, most: int = 128) -> Network:
    made: list[Network] = []
    window = Window(most, clock=lambda: made[0].now if made else 0.0, processors=2)
    made.append(Network(window, latency, capacity))
    return made[0]


@pytest.mark.parametrize(("latency", "capacity"), [(0.0005, 2000), (0.02, 1000), (0.08, 1000), (0.2, 100)])
def test_it_grows_until_the_throughput_is_there(latency: float, capacity: float) -> None:
    net = network(latency, capacity)
    net.run(3)
    net.done = 0
    net.run(5)
    assert net.done / 5 >= 0.9 * capacity


def test_it_stays_small_where_more_would_only_wait() -> None:
    net = network(0.0005, 2000)
    net.run(5)
    assert net.window.size <= 8


def test_it_is_bounded() -> None:
    net = network(10.0, 1000, most=20)
    net.run(60)
    assert net.window.size == 20


def test_it_halves_on_throttling_once_and_comes_back() -> None:
    net = network(0.08, 1000)
    net.run(3)
    before = net.window.size
    for _ in range(10):  # one event, however many answers say so
        net.window.done("sent", 0.08, throttled=True)
    assert net.window.size == before // 2
    net.run(3)
    assert net.window.size >= 0.9 * before


def test_it_follows_a_network_that_changes() -> None:
    net = network(0.001, 1500)
    net.run(2)
    net.latency = 0.1
    net.run(15)
    net.done = 0
    net.run(5)
    assert net.done / 5 >= 0.8 * min(1500, 128 / 0.101)
