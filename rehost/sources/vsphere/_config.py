"""The spec's entry of a vCenter, typed; its secrets stay references until somebody logs in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from rehost.sources._certificates import pinned
from rehost.sources._errors import SourceConfigInvalid

DEFAULT_PORT = 443


class Transport(StrEnum):
    """How the bytes of a snapshot are read."""

    AUTO = "auto"  # https where it serves, else vddk where it is configured, else export
    HTTPS = "https"
    VDDK = "vddk"
    EXPORT = "export"


@dataclass(frozen=True)
class Vddk:
    """The user's own copy of VMware's library, which may not be redistributed."""

    libdir: str
    nbdkit: str = "nbdkit"


@dataclass(frozen=True)
class VSphereConfig:
    host: str
    port: int
    username: Mapping[str, Any] = field(repr=False)  # a reference to a secret
    password: Mapping[str, Any] = field(repr=False)
    ca_file: Path | None = None
    thumbprint: str | None = None  # of the server's certificate, hexadecimal digits alone
    enable_change_tracking: bool = False
    transport: Transport = Transport.AUTO
    connections: int = 8  # at once, for reading disks
    snapshot_timeout: float = 1800.0  # seconds for one to be taken, or to be removed
    spool: Path | None = None  # where exports are kept; None: the system's folder for temporary files
    vddk: Vddk | None = None

    @property
    def place(self) -> str:
        """How errors name it."""
        return self.host if self.port == DEFAULT_PORT else f"{self.host}:{self.port}"


def parse(config: Mapping[str, Any], base: Path) -> VSphereConfig:
    """The entry as `VSphereConfig`; a relative `caFile` is relative to `base`. Raises SourceConfigInvalid."""
    host, port = _endpoint(config.get("endpoint"))
    credentials = config.get("credentials")
    if not isinstance(credentials, Mapping) or not all(
        isinstance(credentials.get(key), Mapping) for key in ("username", "password")
    ):
        detail = "a `vsphere` source needs `credentials` with `username` and `password`, each a reference such as {env: VC_PASSWORD}"
        raise SourceConfigInvalid(detail=detail)
    tls = config.get("tls") or {}
    vddk = config.get("vddk")
    try:
        transport = Transport(config.get("transport", "auto"))
    except ValueError:
        detail = f"there is no transport {config['transport']!r}; known: {', '.join(Transport)}"
        raise SourceConfigInvalid(detail=detail) from None
    if transport is Transport.VDDK and not vddk:
        raise SourceConfigInvalid(detail="`transport: vddk` needs `vddk: {libdir: FOLDER}`, where VMware's library is")
    return VSphereConfig(
        host=host,
        port=port,
        username=credentials["username"],
        password=credentials["password"],
        ca_file=base / tls["caFile"] if tls.get("caFile") else None,
        thumbprint=pinned(tls.get("thumbprint"), whose="the vCenter's"),
        enable_change_tracking=bool(config.get("enableChangeTracking", False)),
        transport=transport,
        connections=int(config.get("connections", VSphereConfig.connections)),
        snapshot_timeout=float(config.get("snapshotTimeout", VSphereConfig.snapshot_timeout)),
        spool=base / config["spool"] if config.get("spool") else None,
        vddk=Vddk(str(base / vddk["libdir"]), vddk.get("nbdkit", Vddk.nbdkit)) if vddk else None,
    )


def _endpoint(endpoint: object) -> tuple[str, int]:
    """`vcenter.example.com`, `10.0.0.5:8443`, `[fd00::5]:443`."""
    found = re.fullmatch(
        r"(\[[0-9A-Fa-f:.]+\]|[^\s/:@]+)(?::([0-9]{1,5}))?", endpoint if isinstance(endpoint, str) else ""
    )
    if found is None:
        detail = (
            "a `vsphere` source needs `endpoint`, the vCenter's host name or address, with :PORT where it is not 443"
        )
        raise SourceConfigInvalid(detail=detail)
    return found[1].strip("[]"), int(found[2] or DEFAULT_PORT)
