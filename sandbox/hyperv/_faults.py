"""Faults on demand: a test names an operation, and what becomes of its next calls."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Fault:
    """`count`: of so many calls, after `skip` of them."""

    area: str
    operation: str
    count: int
    skip: int
    delay: float
    settings: Mapping[str, Any] = field(default_factory=dict)


class Dropped(ConnectionResetError):
    """The connection is closed without an answer."""


class Faults:
    """Areas: `http` (requests), `wsman` (actions), `method` (of CIM classes), `class` (queries), `disk`, `merge`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: list[Fault] = []
        self.calls: Counter[str] = Counter()

    def add(
        self, area: str, operation: str, *, count: int = 1, skip: int = 0, delay: float = 0.0, **settings: Any
    ) -> None:
        with self._lock:
            self._armed.append(Fault(area, operation, count, skip, delay, settings))

    def clear(self) -> None:
        with self._lock:
            self._armed.clear()

    def take(self, area: str, operation: str) -> Fault | None:
        """The fault that this call meets, if any; its delay has passed."""
        with self._lock:
            self.calls[f"{area}.{operation}"] += 1
            found = next(
                (fault for fault in self._armed if fault.area == area and fault.operation in (operation, "*")), None
            )
            if found is not None and found.skip > 0:
                found.skip -= 1
                found = None
            if found is not None:
                found.count -= 1
                if found.count <= 0:
                    self._armed.remove(found)
        if found is not None and found.delay:
            time.sleep(found.delay)
        return found

    def strike(self, area: str, operation: str) -> None:
        """For calls that can only be late or dropped (`drop=True`)."""
        found = self.take(area, operation)
        if found is not None and found.settings.get("drop"):
            raise Dropped
