"""The spec's entry of an Azure subscription, typed; its secrets stay references until somebody logs in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from rehost.sources._errors import SourceConfigInvalid

T = TypeVar("T", bound=StrEnum)

_GUID = r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
#: SAS of less would expire between two looks at the clock; the API takes no more than 60 days.
_SHORTEST_ACCESS, _LONGEST_ACCESS = 60, 60 * 24 * 3600


class Method(StrEnum):
    """Who the connector is to Azure."""

    SERVICE_PRINCIPAL = "servicePrincipal"
    MANAGED_IDENTITY = "managedIdentity"
    CLI = "cli"  # whoever has logged in with `az login`


class PowerOff(StrEnum):
    """What powering off is: Azure goes on charging for a machine that is stopped, and not for one that is deallocated."""

    STOP = "stop"
    DEALLOCATE = "deallocate"


@dataclass(frozen=True)
class Endpoints:
    authority: str  # URL, without a slash at its end
    resource_manager: str
    audience: str  # what tokens are asked for
    known: bool = True  # one of Microsoft's, which needs no other trust


#: azure-core's AzureClouds, azure-mgmt-core's get_arm_endpoints and azure-identity's AzureAuthorityHosts.
_CLOUDS: Mapping[str, Endpoints] = {
    "AzureCloud": Endpoints(
        "https://login.microsoftonline.com", "https://management.azure.com", "https://management.azure.com"
    ),
    "AzureUSGovernment": Endpoints(
        "https://login.microsoftonline.us",
        "https://management.usgovcloudapi.net",
        "https://management.core.usgovcloudapi.net",
    ),
    "AzureChinaCloud": Endpoints(
        "https://login.chinacloudapi.cn", "https://management.chinacloudapi.cn", "https://management.chinacloudapi.cn"
    ),
}


@dataclass(frozen=True)
class Auth:
    method: Method
    tenant: str | None = None
    client_id: str | None = None
    secret: Any = field(default=None, repr=False)  # a reference; None for none
    certificate: Path | None = None  # PEM with its key, or PKCS#12
    certificate_password: Any = field(default=None, repr=False)


@dataclass(frozen=True)
class AzureConfig:
    subscription: str
    auth: Auth
    endpoints: Endpoints
    resource_groups: Sequence[str] = ()  # where machines are looked for; all where empty
    snapshot_resource_group: str | None = None  # None: the machine's
    ca_file: Path | None = None
    connections: int = 8  # at once, for reading disks
    access_seconds: int = 3600  # of one read access to a snapshot
    snapshot_timeout: float = 1800.0  # seconds for a point in time to be taken, or to be removed
    power_off: PowerOff = PowerOff.STOP

    @property
    def place(self) -> str:
        """How errors name it."""
        return f"subscription {self.subscription}"


def parse(config: Mapping[str, Any], base: Path) -> AzureConfig:
    """The entry as `AzureConfig`; relative paths are relative to `base`. Raises SourceConfigInvalid."""
    subscription = config.get("subscription")
    if not isinstance(subscription, str) or not re.fullmatch(_GUID, subscription):
        raise SourceConfigInvalid(detail="an `azure` source needs `subscription`, the id (a GUID) of the subscription")
    tls = config.get("tls") or {}
    seconds = int(config.get("accessDuration", AzureConfig.access_seconds))
    if not _SHORTEST_ACCESS <= seconds <= _LONGEST_ACCESS:
        detail = f"`accessDuration` is {_SHORTEST_ACCESS} to {_LONGEST_ACCESS} seconds, not {seconds}"
        raise SourceConfigInvalid(detail=detail)
    return AzureConfig(
        subscription=subscription.lower(),
        auth=_auth(config.get("auth"), base),
        endpoints=_endpoints(config),
        resource_groups=tuple(str(each) for each in config.get("resourceGroups") or ()),
        snapshot_resource_group=config.get("snapshotResourceGroup"),
        ca_file=base / tls["caFile"] if tls.get("caFile") else None,
        connections=int(config.get("connections", AzureConfig.connections)),
        access_seconds=seconds,
        snapshot_timeout=float(config.get("snapshotTimeout", AzureConfig.snapshot_timeout)),
        power_off=_known(PowerOff, config.get("powerOff", AzureConfig.power_off.value), "powerOff"),
    )


def _auth(auth: object, base: Path) -> Auth:
    if not isinstance(auth, Mapping):
        detail = f"an `azure` source needs `auth` with a `method`: {', '.join(Method)}"
        raise SourceConfigInvalid(detail=detail)
    method = _known(Method, auth.get("method"), "auth.method")
    made = Auth(
        method=method,
        tenant=auth.get("tenant"),
        client_id=auth.get("clientId"),
        secret=auth.get("clientSecret"),
        certificate=base / auth["certificateFile"] if auth.get("certificateFile") else None,
        certificate_password=auth.get("certificatePassword"),
    )
    if method is Method.SERVICE_PRINCIPAL:
        if not made.tenant or not made.client_id:
            raise SourceConfigInvalid(detail="`auth` of a service principal needs `tenant` and `clientId`")
        if (made.secret is None) == (made.certificate is None):
            detail = "`auth` of a service principal needs one of `clientSecret` (a reference) and `certificateFile`"
            raise SourceConfigInvalid(detail=detail)
        if made.secret is not None and not isinstance(made.secret, Mapping):
            detail = "`auth.clientSecret` is a reference such as {env: AZURE_CLIENT_SECRET}, not the secret itself"
            raise SourceConfigInvalid(detail=detail)
    return made


def _endpoints(config: Mapping[str, Any]) -> Endpoints:
    cloud = config.get("cloud", "AzureCloud")
    if cloud not in _CLOUDS:
        raise SourceConfigInvalid(detail=f"there is no cloud {cloud!r}; known: {', '.join(_CLOUDS)}")
    given = config.get("endpoints")
    if not given:
        return _CLOUDS[cloud]
    authority, manager = (_url(given.get(key), key) for key in ("authority", "resourceManager"))
    audience = str(given.get("audience") or manager).rstrip("/")
    return Endpoints(authority, manager, audience, known=False)


def _url(value: object, key: str) -> str:
    parts = urlsplit(value if isinstance(value, str) else "")
    if parts.scheme != "https" or not parts.netloc or parts.query or parts.fragment or parts.username:
        raise SourceConfigInvalid(detail=f"`endpoints.{key}` is a URL that begins with https://")
    return f"https://{parts.netloc}{parts.path.rstrip('/')}"


def _known(kind: type[T], value: object, key: str) -> T:
    try:
        return kind(str(value))
    except ValueError:
        raise SourceConfigInvalid(detail=f"there is no {key} {value!r}; known: {', '.join(kind)}") from None
