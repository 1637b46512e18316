"""The sessions with vCenters that the sources of this process share."""

from __future__ import annotations

from rehost.sources._lingering import Lingering
from rehost.sources.vsphere._client import Client
from rehost.sources.vsphere._config import VSphereConfig


def _key(config: VSphereConfig) -> str:
    # References, not secrets; `repr` leaves them out.
    return repr((config, dict(config.username), dict(config.password)))


_clients = Lingering(Client, _key)
acquire, release, close_idle = _clients.acquire, _clients.release, _clients.close_idle
