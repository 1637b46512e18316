"""Backoff for the data plane: exponential, jittered, and bounded by a deadline."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rehost.pacing import Pause

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 10.0


@dataclass(frozen=True)
class RetryPolicy:
    """How long one request is tried: until `seconds` have passed since its first failure.

    Full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"): many workers that failed together do not come
    back together.
    """

    seconds: float = 120.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random

    def pauses(self, pause: Pause | None = None) -> Iterator[None]:
        """Yields once for each further try, after its pause; ends when there is no time left, or `pause` says so."""
        deadline = self.clock() + self.seconds
        longest = FIRST_PAUSE
        while (now := self.clock()) < deadline:
            seconds = min(longest * self.chance(), deadline - now)
            if pause is None:
                self.sleep(seconds)
            elif not pause(seconds):
                return
            yield
            longest = min(longest * 2, LONGEST_PAUSE)


class RetryBudget:
    """One deadline for all that use an endpoint: how long it may fail everybody before nobody waits for it any more.

    Each request has its own deadline besides. Without this one, every block of a disk would wait for its own two minutes
    behind an endpoint that is dead.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._failing_since: float | None = None

    def succeeded(self) -> None:
        self._failing_since = None

    def failed(self) -> None:
        if self._failing_since is None:
            self._failing_since = self._policy.clock()

    @property
    def exhausted(self) -> bool:
        since = self._failing_since
        return since is not None and self._policy.clock() - since >= self._policy.seconds
