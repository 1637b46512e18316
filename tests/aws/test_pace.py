"""Against a service with a token bucket: nearly all that is allowed is asked for, and hardly more."""

from __future__ import annotations

import pytest

from rehost.aws._pace import Pace


class Service:
    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst, self.tokens, self.at = rate, burst, burst, 0.0

    def allows(self, now: float) -> bool:
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class Client:
    """Asks as fast as it may, never more than `most` a second; each request takes its share of a second."""

    def __init__(self, most: float) -> None:
        self.now = 0.0
        self.most = most
        self.pace = Pace(lambda: self.now)

    def _pause(self, seconds: float) -> bool:
        self.now += seconds
        return True

    def run(self, service: Service, seconds: float) -> tuple[int, int]:
        """How many were accepted, and refused."""
        until = self.now + seconds
        accepted = refused = 0
        while self.now < until:
            self.pace.wait("disk", self._pause)
            self.now += 1 / self.most
            if service.allows(self.now):
                accepted += 1
                self.pace.accepted()
            else:
                refused += 1
                self.pace.refused()
        return accepted, refused


@pytest.mark.parametrize("burst", [10, 100, 1000])
def test_what_a_quota_allows_is_used_and_not_exceeded(burst: float) -> None:
    client = Client(2500)
    accepted, refused = client.run(Service(1000, burst), 30)
    assert accepted >= 0.95 * 30_000
    assert refused <= 0.02 * (accepted + refused)


def test_a_quota_that_is_raised_is_found() -> None:
    client = Client(2500)
    client.run(Service(500, 50), 20)
    accepted, _ = client.run(Service(1500, 150), 60)
    assert accepted >= 0.8 * 60 * 1500


def test_nothing_is_held_back_before_the_first_refusal() -> None:
    client = Client(5000)
    accepted, _ = client.run(Service(1e9, 1e9), 2)
    assert client.pace.rate is None
    assert accepted >= 9_990
