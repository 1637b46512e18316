"""Sessions that are shared by the sources of one process, and kept for a moment after the last of them is closed.

`pulumi preview` opens a source for each server that it checks: with a login each, a thousand servers would cost minutes and a
thousand sessions.
"""

from __future__ import annotations

import atexit
import threading
import time
from dataclasses import dataclass

from rehost.sources.vsphere._client import Client
from rehost.sources.vsphere._config import VSphereConfig

LINGER = 30.0  # seconds


@dataclass
class _Shared:
    client: Client
    users: int = 0
    idle_since: float = 0.0


_lock = threading.Lock()
_clients: dict[str, _Shared] = {}


def acquire(config: VSphereConfig) -> Client:
    """The client for this very configuration. `release` it once."""
    with _lock:
        expired = _take_out(time.monotonic() - LINGER)
        shared = _clients.setdefault(_key(config), _Shared(Client(config)))
        shared.users += 1
    for client in expired:
        client.close()
    return shared.client


def release(client: Client) -> None:
    with _lock:
        shared = _clients.get(_key(client.config))
        if shared is None or shared.client is not client:
            return
        shared.users -= 1
        shared.idle_since = time.monotonic()


def close_idle() -> None:
    """Log out of what nobody uses."""
    with _lock:
        idle = _take_out(time.monotonic())
    for client in idle:
        client.close()


def _take_out(before: float) -> list[Client]:
    keys = [key for key, each in _clients.items() if each.users <= 0 and each.idle_since <= before]
    return [_clients.pop(key).client for key in keys]


def _key(config: VSphereConfig) -> str:
    # References, not secrets; `repr` leaves them out.
    return repr((config, dict(config.username), dict(config.password)))


atexit.register(close_idle)
