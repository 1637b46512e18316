"""The spec's entry of a Hyper-V source, typed; its secrets stay references until somebody logs in."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from rehost.sources._certificates import pinned
from rehost.sources._errors import SourceConfigInvalid

HTTPS_PORT, HTTP_PORT, SMB_PORT = 5986, 5985, 445


class Auth(StrEnum):
    """How the account shows who it is to WinRM."""

    NEGOTIATE = "negotiate"  # Kerberos where it can be had, else NTLM
    KERBEROS = "kerberos"
    NTLM = "ntlm"
    CERTIFICATE = "certificate"


class Catalog(StrEnum):
    """What the endpoint is."""

    HOST = "host"
    CLUSTER = "cluster"
    SCVMM = "scvmm"


@dataclass(frozen=True)
class Endpoint:
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class HyperVConfig:
    catalog: Catalog
    endpoint: Endpoint
    auth: Auth
    https: bool = True  # else HTTP, with each message encrypted by Kerberos or NTLM
    username: Mapping[str, Any] | None = field(default=None, repr=False)  # a reference to a secret
    password: Mapping[str, Any] | None = field(default=None, repr=False)
    cert_file: Path | None = None
    key_file: Path | None = None
    ca_file: Path | None = None
    thumbprint: str | None = None  # SHA-256 of the host's certificate, hexadecimal digits alone
    configuration: str = "Microsoft.PowerShell"  # the session configuration, another one for JEA
    nodes: Mapping[str, Endpoint] = field(default_factory=dict)  # by lower-case name, where it is not reached by that
    node_smb: Mapping[str, Endpoint] = field(default_factory=dict)
    smb_port: int = SMB_PORT
    shares: Mapping[str, str] = field(default_factory=dict)  # local folder -> UNC, the longest first
    checkpoint_timeout: float = 1800.0  # seconds for the disks of a removed checkpoint to be merged
    change_tracking: bool = True

    @property
    def place(self) -> str:
        """How errors name it."""
        usual = HTTPS_PORT if self.https else HTTP_PORT
        return self.endpoint.host if self.endpoint.port == usual else str(self.endpoint)

    def node(self, name: str) -> Endpoint:
        """Where a node of the cluster, or a host of SCVMM's, is reached: as `nodes` says, else by its name in the endpoint's domain."""
        known = self.nodes.get(name.lower()) or self.nodes.get(name.lower().partition(".")[0])
        return known or Endpoint(_in_domain(name, self.endpoint.host), self.endpoint.port)

    def smb(self, name: str, reached: Endpoint) -> Endpoint:
        """Where a host's shares are: beside its WinRM, unless `nodes` says otherwise."""
        known = self.node_smb.get(name.lower()) or self.node_smb.get(name.lower().partition(".")[0])
        return known or Endpoint(reached.host, self.smb_port)


def parse(config: Mapping[str, Any], base: Path) -> HyperVConfig:
    """The entry as `HyperVConfig`; relative files are relative to `base`. Raises SourceConfigInvalid."""
    https = config.get("transport", "https") == "https"
    port = HTTPS_PORT if https else HTTP_PORT
    catalog, endpoint = _catalog(config, port)
    auth = _auth(config, https=https)
    credentials = _credentials(config)
    certificate = config.get("certificate") or {}
    tls = config.get("tls") or {}
    nodes = {str(name).lower(): dict(each or {}) for name, each in (config.get("nodes") or {}).items()}
    smb = config.get("smb") or {}
    shares = {_folder(folder): str(share).rstrip("\\") for folder, share in (smb.get("shares") or {}).items()}
    return HyperVConfig(
        catalog=catalog,
        endpoint=endpoint,
        auth=auth,
        https=https,
        username=credentials["username"],
        password=credentials["password"],
        cert_file=base / certificate["certFile"] if certificate else None,
        key_file=base / certificate["keyFile"] if certificate else None,
        ca_file=base / tls["caFile"] if tls.get("caFile") else None,
        thumbprint=pinned(tls.get("thumbprint"), whose="the host's"),
        configuration=str(config.get("sessionConfiguration", HyperVConfig.configuration)),
        nodes={name: _endpoint(each["endpoint"], port) for name, each in nodes.items() if each.get("endpoint")},
        node_smb={name: _endpoint(each["smb"], SMB_PORT) for name, each in nodes.items() if each.get("smb")},
        smb_port=int(smb.get("port", SMB_PORT)),
        shares=dict(sorted(shares.items(), key=lambda each: -len(each[0]))),
        checkpoint_timeout=float(config.get("checkpointTimeout", HyperVConfig.checkpoint_timeout)),
        change_tracking=bool(config.get("changeTracking", True)),
    )


def _catalog(config: Mapping[str, Any], port: int) -> tuple[Catalog, Endpoint]:
    given = [key for key in ("endpoint", "cluster", "scvmm") if config.get(key)]
    if len(given) != 1:
        detail = (
            "a `hyperv` source needs one of `endpoint` (a host), `cluster` (its name) and `scvmm` ({endpoint: ...})"
        )
        raise SourceConfigInvalid(detail=detail)
    if given[0] == "scvmm":
        return Catalog.SCVMM, _endpoint((config["scvmm"] or {}).get("endpoint"), port)
    return (Catalog.HOST if given[0] == "endpoint" else Catalog.CLUSTER), _endpoint(config[given[0]], port)


def _auth(config: Mapping[str, Any], *, https: bool) -> Auth:
    try:
        auth = Auth(config.get("auth", "certificate" if config.get("certificate") else "negotiate"))
    except ValueError:
        detail = f"there is no auth {config['auth']!r}; known: {', '.join(Auth)}"
        raise SourceConfigInvalid(detail=detail) from None
    if auth is Auth.CERTIFICATE and not config.get("certificate"):
        raise SourceConfigInvalid(detail="`auth: certificate` needs `certificate: {certFile: ..., keyFile: ...}`")
    if auth is Auth.CERTIFICATE and not https:
        detail = "`auth: certificate` is a part of TLS: it goes with `transport: https` alone"
        raise SourceConfigInvalid(detail=detail)
    return auth


def _credentials(config: Mapping[str, Any]) -> Mapping[str, Any]:
    credentials = config.get("credentials")
    if not isinstance(credentials, Mapping) or not all(
        isinstance(credentials.get(key), Mapping) for key in ("username", "password")
    ):
        detail = (
            "a `hyperv` source needs `credentials` with `username` and `password`, each a reference such as "
            "{env: HV_PASSWORD}; with `auth: certificate` too, as disks are read over SMB, which takes no certificate"
        )
        raise SourceConfigInvalid(detail=detail)
    return credentials


def _endpoint(endpoint: object, port: int) -> Endpoint:
    """`hv1.example.com`, `10.0.0.5:15986`, `[fd00::5]:5986`."""
    found = re.fullmatch(
        r"(\[[0-9A-Fa-f:.]+\]|[^\s/:@\[\]]+)(?::([0-9]{1,5}))?", endpoint if isinstance(endpoint, str) else ""
    )
    if found is None or not 0 < int(found[2] or port) < 65536:
        detail = f"{endpoint!r} is no place: give a host name or address, with :PORT where it is not {port}"
        raise SourceConfigInvalid(detail=detail)
    return Endpoint(found[1].strip("[]"), int(found[2] or port))


def _in_domain(name: str, other: str) -> str:
    try:
        ipaddress.ip_address(other)
    except ValueError:
        domain = other.partition(".")[2]
        return f"{name}.{domain}" if domain and "." not in name else name
    return name


def _folder(folder: object) -> str:
    return str(folder).rstrip("\\").lower() + "\\"
