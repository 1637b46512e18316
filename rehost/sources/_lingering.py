"""Connections that are shared by the sources of one process, and kept for a moment after the last of them is closed.

`pulumi preview` opens a source for each server that it checks: with a login each, a thousand servers would cost minutes and a
thousand sessions.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

LINGER = 30.0  # seconds


class Connected(Protocol):
    """What is shared: it connects by itself when it is first used."""

    @property
    def config(self) -> Any: ...

    def close(self) -> None: ...


C = TypeVar("C")
T = TypeVar("T", bound=Connected)


@dataclass
class _Shared(Generic[T]):
    client: T
    users: int = 0
    idle_since: float = 0.0


class Lingering(Generic[C, T]):
    """Thread-safe. What nobody uses is closed when it has lingered and another one is asked for, or when the process ends."""

    def __init__(self, make: Callable[[C], T], key: Callable[[C], str]) -> None:
        """`key` tells configurations apart, references to secrets included."""
        self._make, self._key = make, key
        self._lock = threading.Lock()
        self._shared: dict[str, _Shared[T]] = {}
        atexit.register(self.close_idle)

    def acquire(self, config: C) -> T:
        """The one of this very configuration. `release` it once."""
        with self._lock:
            expired = self._take_out(time.monotonic() - LINGER)
            key = self._key(config)
            if key not in self._shared:
                self._shared[key] = _Shared(self._make(config))
            shared = self._shared[key]
            shared.users += 1
        for client in expired:
            client.close()
        return shared.client

    def release(self, client: T) -> None:
        with self._lock:
            shared = self._shared.get(self._key(client.config))
            if shared is None or shared.client is not client:
                return
            shared.users -= 1
            shared.idle_since = time.monotonic()

    def close_idle(self) -> None:
        """Close what nobody uses."""
        with self._lock:
            idle = self._take_out(time.monotonic())
        for client in idle:
            client.close()

    def _take_out(self, before: float) -> list[T]:
        keys = [key for key, each in self._shared.items() if each.users <= 0 and each.idle_since <= before]
        return [self._shared.pop(key).client for key in keys]
