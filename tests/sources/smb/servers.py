"""A real smbd for each test, and what reads from it."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rehost.sources.smb import SmbCredentials, SmbFiles
from sandbox import Samba, SambaMissing


class Servers:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.served = folder / "served"
        self._open: list[Samba | SmbFiles] = []

    def samba(self, **options: Any) -> Samba:
        """Serves `self.served` as `VMs`."""
        samba = Samba(self.folder / f"samba{len(self._open)}", {"VMs": self.served}, **options)
        try:
            samba.start()
        except SambaMissing as missing:
            pytest.skip(str(missing))
        self._open.append(samba)
        return samba

    def files(self, samba: Samba, **options: Any) -> SmbFiles:
        credentials = options.pop("credentials", SmbCredentials(samba.user, samba.password))
        settings: Mapping[str, Any] = {"timeout": 10.0, "patience": 20.0, "place": "hv1"} | options
        files = SmbFiles(samba.host, credentials, port=samba.port, **settings)
        self._open.append(files)
        return files

    def stop(self) -> None:
        for each in reversed(self._open):
            if isinstance(each, Samba):
                each.stop()
            else:
                each.close()

    def file(self, name: str, content: bytes) -> Path:
        path = self.served / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path


def account() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def unc(name: str) -> str:
    return rf"\\hv1.example.com\VMs\{name}"
