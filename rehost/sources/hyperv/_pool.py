"""Connections that are shared by the sources of one process, and kept for a moment after the last of them is closed.

`pulumi preview` opens a source for each server that it checks, and a session of PowerShell remoting takes a dozen round trips.
"""

from __future__ import annotations

import atexit
import threading
import time
from dataclasses import dataclass

from rehost.sources.hyperv._config import HyperVConfig
from rehost.sources.hyperv._hosts import Hosts

LINGER = 30.0  # seconds


@dataclass
class _Shared:
    hosts: Hosts
    users: int = 0
    idle_since: float = 0.0


_lock = threading.Lock()
_shared: dict[str, _Shared] = {}


def acquire(config: HyperVConfig) -> Hosts:
    """The hosts of this very configuration. `release` them once."""
    with _lock:
        expired = _take_out(time.monotonic() - LINGER)
        shared = _shared.setdefault(_key(config), _Shared(Hosts(config)))
        shared.users += 1
    for hosts in expired:
        hosts.close()
    return shared.hosts


def release(hosts: Hosts) -> None:
    with _lock:
        shared = _shared.get(_key(hosts.config))
        if shared is None or shared.hosts is not hosts:
            return
        shared.users -= 1
        shared.idle_since = time.monotonic()


def close_idle() -> None:
    """Let go of what nobody uses."""
    with _lock:
        idle = _take_out(time.monotonic())
    for hosts in idle:
        hosts.close()


def _take_out(before: float) -> list[Hosts]:
    keys = [key for key, each in _shared.items() if each.users <= 0 and each.idle_since <= before]
    return [_shared.pop(key).hosts for key in keys]


def _key(config: HyperVConfig) -> str:
    # References, not secrets; `repr` leaves them out.
    return repr((config, dict(config.username or {}), dict(config.password or {})))


atexit.register(close_idle)
