"""Faults on demand: what Azure does on a bad day, by the name of the call it does it to."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_OF_CALLS = ("throttle", "error", "cut", "delay", "meanwhile")
_OF_OPERATIONS = ("fail", "slow")
ACTIONS = (*_OF_CALLS, *_OF_OPERATIONS)


@dataclass
class Fault:
    """Strikes calls whose name contains `call` and whose path contains `path`, `count` times after the first `after`.

    Names: an ARM action (`Microsoft.Compute/snapshots/write`), `storage/get`, `storage/pagelist`, `storage/head`, `login/token`,
    `identity/token`.

    Actions: `throttle` (429 with Retry-After at ARM and the login, 503 ServerBusy at storage), `error` (status, code, message),
    `cut` (the connection ends after so many `bytes` of the body), `delay` (seconds), `meanwhile` (`then` is called: what somebody
    does just before the call is answered). Of a long-running operation that the call begins: `fail` (code, message), `slow` (it
    takes `seconds`).
    """

    action: str
    call: str = ""
    path: str = ""
    count: int | None = 1
    after: int = 0
    status: int = 500
    code: str = "InternalServerError"
    message: str = "injected by the stand-in"
    retry_after: int = 1
    bytes: int = 0
    seconds: float = 0.0
    then: Callable[[], object] | None = None
    seen: int = 0
    hits: int = 0

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            message = f"action must be one of {', '.join(ACTIONS)}, not {self.action!r}"
            raise ValueError(message)

    def strikes(self, call: str, path: str) -> bool:
        if self.call.lower() not in call.lower() or self.path.lower() not in path.lower():
            return False
        self.seen += 1
        if self.seen <= self.after or (self.count is not None and self.hits >= self.count):
            return False
        self.hits += 1
        return True


class Faults:
    """The armed faults, and how often each call was made. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: list[Fault] = []
        self._calls: Counter[str] = Counter()

    def add(self, action: str, **settings: Any) -> Fault:
        """Raises TypeError or ValueError for settings that are not a fault's."""
        fault = Fault(action, **settings)
        with self._lock:
            self._armed.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self._armed.clear()

    def strike(self, call: str, path: str) -> dict[str, Fault]:
        """Count the call; the faults that hit it, by action."""
        with self._lock:
            self._calls[call] += 1
            struck = self._hits(_OF_CALLS, call, path)
        if (fault := struck.get("meanwhile")) and fault.then is not None:
            fault.then()
        return struck

    def strike_operation(self, call: str, path: str) -> dict[str, Fault]:
        """The faults that hit the operation which the call begins, by action."""
        with self._lock:
            return self._hits(_OF_OPERATIONS, call, path)

    def _hits(self, actions: tuple[str, ...], call: str, path: str) -> dict[str, Fault]:
        return {each.action: each for each in self._armed if each.action in actions and each.strikes(call, path)}

    def calls(self) -> dict[str, int]:
        with self._lock:
            return dict(self._calls)

    def forget_calls(self) -> None:
        with self._lock:
            self._calls.clear()
