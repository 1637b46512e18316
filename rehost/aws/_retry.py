"""Backoff for the data plane: exponential, jittered, and bounded by a deadline."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

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

    def pauses(self) -> Iterator[None]:
        """Yields once for each further try, after its pause; ends when there is no time left."""
        deadline = self.clock() + self.seconds
        longest = FIRST_PAUSE
        while self.clock() < deadline:
            self.sleep(min(longest * self.chance(), max(0.0, deadline - self.clock())))
            yield
            longest = min(longest * 2, LONGEST_PAUSE)
