"""Faults on demand, so that tests can cause what AWS does on a bad day. `docs/sandbox.md` has an example of each."""

from __future__ import annotations

import random
import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

ACTIONS = ("error", "throttle", "drop", "latency", "corrupt")


@dataclass
class Fault:
    """Strikes requests of `service` and `operation` (any where empty) whose `match` fits, `count` times after the first `after`."""

    action: str
    service: str = ""
    operation: str = ""
    match: Mapping[str, str] = field(default_factory=dict)
    status: int = 500
    code: str = "InternalServerException"
    message: str = "injected by the sandbox"
    seconds: float = 0.0
    count: int | None = None
    after: int = 0
    probability: float = 1.0
    seed: int = 0
    seen: int = 0
    hits: int = 0

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            message = f"action must be one of {', '.join(ACTIONS)}, not {self.action!r}"
            raise ValueError(message)
        self._chance = random.Random(self.seed)

    def strikes(self, service: str, operation: str, facts: Mapping[str, str]) -> bool:
        if (self.service and self.service != service) or (self.operation and self.operation != operation):
            return False
        if any(str(facts.get(key)) != str(value) for key, value in self.match.items()):
            return False
        self.seen += 1
        if self.seen <= self.after or (self.count is not None and self.hits >= self.count):
            return False
        if self._chance.random() >= self.probability:
            return False
        self.hits += 1
        return True


#: What may be set; the rest of a fault counts.
SETTINGS = tuple(each.name for each in fields(Fault) if each.name not in ("seen", "hits"))


class Faults:
    """The armed faults, and how often each operation was called. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: list[Fault] = []
        self._calls: defaultdict[str, Counter[str]] = defaultdict(Counter)  # by access key

    def add(self, settings: Mapping[str, Any]) -> None:
        """Raises TypeError or ValueError for settings that are not a fault's."""
        unknown = settings.keys() - SETTINGS
        if unknown:
            message = f"a fault has no {', '.join(sorted(unknown))}; it has {', '.join(SETTINGS)}"
            raise ValueError(message)
        fault = Fault(**settings)
        with self._lock:
            self._armed.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._armed.clear()

    def listing(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(fault) for fault in self._armed]

    def strike(self, service: str, operation: str, facts: Mapping[str, str], access_key: str = "") -> list[Fault]:
        """Count the call, and say which faults hit it."""
        with self._lock:
            self._calls[access_key][f"{service}.{operation}"] += 1
            return [fault for fault in self._armed if fault.strikes(service, operation, facts)]

    def calls(self) -> dict[str, dict[str, int]]:
        """By access key: how often each `service.Operation` was called."""
        with self._lock:
            return {key: dict(counts) for key, counts in self._calls.items()}
