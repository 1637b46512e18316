r"""Files of a host by the names that the host has for them: `C:\VMs\web.vhdx` is read as `\\host\C$\VMs\web.vhdx`.

C$ is the administrative share of a drive. Where the account may not use it, `smb: {shares: ...}` of the spec says which share
leads to which folder. A path that is a share's already (a Hyper-V host with its machines on a file server) is read there.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping

from rehost.sources.hyperv._config import Auth, HyperVConfig
from rehost.sources.hyperv._host import Host
from rehost.sources.smb import SmbAuth, SmbCredentials, SmbFile, SmbFiles

_PATIENCE = 60.0  # seconds that a lost connection is tried to be had again


def unc(path: str, host: str, shares: Mapping[str, str]) -> str:
    r"""The UNC path of a file. Raises FileNotFoundError for names that no share leads to, such as `\\?\Volume{...}\`."""
    plain = path.replace("/", "\\")
    if plain.startswith("\\\\?\\UNC\\"):
        plain = "\\\\" + plain[8:]
    plain = plain.removeprefix("\\\\?\\")
    for folder, share in shares.items():
        if plain.lower().startswith(folder):
            return f"{share}\\{plain[len(folder) :]}"
    if plain.startswith("\\\\"):
        return plain
    found = re.fullmatch(r"([A-Za-z]):\\(.+)", plain)
    if found is None:
        raise FileNotFoundError(path)
    return f"\\\\{host}\\{found[1].upper()}$\\{found[2]}"


class HostFiles:
    """The `Files` of virtual disks on one host. Thread-safe; closes what it opened."""

    def __init__(self, config: HyperVConfig, host: Host) -> None:
        self._config = config
        self._smb = config.smb(host.name, host.endpoint)
        auth = SmbAuth.NEGOTIATE if config.auth is Auth.CERTIFICATE else SmbAuth(config.auth.value)
        self._credentials = SmbCredentials(*host.credentials(), auth=auth)
        self._lock = threading.Lock()
        self._servers: dict[str, SmbFiles] = {}

    def open(self, path: str) -> SmbFile:
        name = unc(path, self._smb.host, self._config.shares)
        server = name[2:].partition("\\")[0]
        with self._lock:
            key = server.lower()
            if key not in self._servers:
                own = key == self._smb.host.lower()
                port = self._smb.port if own else self._config.smb_port
                self._servers[key] = SmbFiles(server, self._credentials, port=port, patience=_PATIENCE)
            files = self._servers[key]
        return files.open(name)

    def close(self) -> None:
        with self._lock:
            servers, self._servers = self._servers, {}
        for files in servers.values():
            files.close()
