"""A step that AWS or the database keeps from its end is tried again, and nothing else is: what was copied stays copied.

Each step of a run may be repeated, so waiting and calling it again is all there is to it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog

from rehost.aws import AwsError
from rehost.control import ControlError
from rehost.sources import SourceError
from rehost.transfer import StopSignal, TransferError

log = structlog.get_logger("rehost.connector")

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How long a step is tried, in seconds since it first failed.

    An AWS that is away for an hour costs no copy. The source stays frozen meanwhile, so this ends. The database has no
    limit here: a connector without one ends itself (`worker.DATABASE_PATIENCE`), and the next one goes on.
    """

    aws: float = 3600.0
    source: float = 300.0
    first: float = 2.0
    longest: float = 120.0
    longest_database: float = 5.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] | None = None  # None waits on the run's own stop signal

    def call(self, step: Callable[[], T], *, name: str, run: str, stop: StopSignal, say: Callable[[str], None]) -> T:
        """The step's result. Raises what it raises, once that is not retryable, its time is up, or the run is to stop.

        `say` is told what is waited for; it may raise, too.
        """
        began: float | None = None
        pause = self.first
        while True:
            try:
                return step()
            except (AwsError, ControlError, SourceError, TransferError) as error:
                # A block that could not be sent or read says why as its cause, and only that tells whether to try again.
                cause = error.__cause__ if isinstance(error, TransferError) else error
                now = self.clock()
                began = now if began is None else began
                is_database = isinstance(cause, ControlError)
                limit = self.aws if isinstance(cause, AwsError) else self.source
                if not getattr(cause, "retryable", False) or stop.is_set() or not (is_database or now - began < limit):
                    raise
                wait = random.uniform(0.5, 1.0) * min(pause, self.longest_database if is_database else self.longest)
                log.warning("a step is tried again", run=run, step=name, seconds=round(wait, 1), error=str(error))
                if not is_database:
                    say(f"trying again in {wait:.0f} s: {error}")
                self._wait(wait, stop)
                pause *= 2

    def _wait(self, seconds: float, stop: StopSignal) -> None:
        if self.sleep is not None:
            self.sleep(seconds)
            return
        end = time.monotonic() + seconds
        while not stop.is_set() and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.2))
