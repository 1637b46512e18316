"""What was asked of a source, in order, and how each question ended."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from rehost.errors import RehostError

T = TypeVar("T")


class Result(StrEnum):
    """How a check ended."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Check:
    """One line of the self-test. `figures` are the numbers in `found`, in bytes and seconds."""

    id: str
    what: str
    result: Result
    seconds: float
    found: str
    remedy: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Answer:
    """What a check found; with a `remedy` it failed."""

    found: str
    remedy: str = ""
    figures: dict[str, Any] = field(default_factory=dict)
    skipped: bool = False


class Book:
    """Asks, measures, and tells each check as soon as it has ended."""

    def __init__(self, tell: Callable[[Check], None]) -> None:
        self._tell = tell
        self.checks: list[Check] = []

    @property
    def is_well(self) -> bool:
        return all(each.result is not Result.FAILED for each in self.checks)

    def ask(self, id_: str, what: str, action: Callable[[], Answer], *, needs: Sequence[str] = ()) -> bool:
        """Whether it went well. What `needs` one that did not is skipped, and says which.

        An error fails the check; Ctrl-C is written down, and goes on.
        """
        lacking = [each for each in needs if not self._went_well(each)]
        if lacking:
            self._enter(Check(id_, what, Result.SKIPPED, 0.0, f"for want of `{lacking[0]}`"))
            return False
        started = time.monotonic()
        try:
            answer = action()
        except RehostError as error:
            answer = Answer(str(error), advice(error))
        except Exception as error:  # a place can answer in ways that nobody thought of: the other checks still count
            answer = Answer(f"{type(error).__name__}: {error} {_where(error)}", "this is a fault of rehost: report it")
        except BaseException:
            self._enter(Check(id_, what, Result.FAILED, time.monotonic() - started, "interrupted"))
            raise
        result = Result.SKIPPED if answer.skipped else Result.FAILED if answer.remedy else Result.OK
        seconds = time.monotonic() - started
        self._enter(Check(id_, what, result, seconds, answer.found, answer.remedy, answer.figures))
        return result is Result.OK

    def _went_well(self, id_: str) -> bool:
        return any(each.id == id_ and each.result is Result.OK for each in self.checks)

    def _enter(self, check: Check) -> None:
        self.checks.append(check)
        self._tell(check)


def _where(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""


def advice(error: RehostError) -> str:
    """What to do, by the kind of error; most messages say it themselves."""
    if error.retryable:
        return (
            "try again; if it stays, the page of the source's type below docs/sources says what has to be open to whom"
        )
    return "do what the message says; the page of the source's type is below docs/sources"


def shielded(action: Callable[[], T]) -> T:
    """Run it to its end, whatever Ctrl-C says; the interrupt is raised after that.

    For what makes or removes something at a source: cut off in the middle, nobody would know of it.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="doctor") as pool:
        future = pool.submit(action)
        interrupted = False
        while True:
            try:
                result = future.result()
            except KeyboardInterrupt:
                if future.done():
                    raise
                interrupted = True
                continue
            if interrupted:
                raise KeyboardInterrupt
            return result
