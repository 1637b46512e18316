"""Clients that are shared by the sources of one process, and kept for a moment after the last of them is closed.

`pulumi preview` opens a source for each server that it checks: a login and a list of the machines each would take long.
"""

from __future__ import annotations

import atexit
import threading
import time
from dataclasses import dataclass

from rehost.sources.azure._client import Client
from rehost.sources.azure._config import AzureConfig

LINGER = 30.0  # seconds


@dataclass
class _Shared:
    client: Client
    users: int = 0
    idle_since: float = 0.0


_lock = threading.Lock()
_clients: dict[str, _Shared] = {}


def acquire(config: AzureConfig) -> Client:
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
        if shared is not None and shared.client is client:
            shared.users -= 1
            shared.idle_since = time.monotonic()


def close_idle() -> None:
    with _lock:
        idle = _take_out(time.monotonic())
    for client in idle:
        client.close()


def _take_out(before: float) -> list[Client]:
    keys = [key for key, each in _clients.items() if each.users <= 0 and each.idle_since <= before]
    return [_clients.pop(key).client for key in keys]


def _key(config: AzureConfig) -> str:
    # References, not secrets; `repr` leaves them out.
    return repr((config, config.auth.secret, config.auth.certificate_password))


atexit.register(close_idle)
