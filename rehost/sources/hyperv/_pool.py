"""The hosts, with their sessions, that the sources of this process share."""

from __future__ import annotations

from rehost.sources._lingering import Lingering
from rehost.sources.hyperv._config import HyperVConfig
from rehost.sources.hyperv._hosts import Hosts


def _key(config: HyperVConfig) -> str:
    # References, not secrets; `repr` leaves them out.
    return repr((config, dict(config.username or {}), dict(config.password or {})))


_hosts = Lingering(Hosts, _key)
acquire, release, close_idle = _hosts.acquire, _hosts.release, _hosts.close_idle
