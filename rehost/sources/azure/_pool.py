"""The clients, with their logins, that the sources of this process share."""

from __future__ import annotations

from rehost.sources._lingering import Lingering
from rehost.sources.azure._client import Client
from rehost.sources.azure._config import AzureConfig


def _key(config: AzureConfig) -> str:
    # References, not secrets; `repr` leaves them out.
    return repr((config, config.auth.secret, config.auth.certificate_password))


_clients = Lingering(Client, _key)
acquire, release, close_idle = _clients.acquire, _clients.release, _clients.close_idle
