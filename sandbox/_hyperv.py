"""The stand-in for a Hyper-V host as a process of its own, with its shares: for the demo, whose machine runs beside it."""

from __future__ import annotations

import sys
import urllib.error
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sandbox._ready import ServerProcess
from sandbox._samba import PASSWORD as SMB_PASSWORD

USER = "administrator"
PASSWORD = "sandbox-secret"


class HyperV(ServerProcess):
    """`endpoint` (address and port of HTTPS), `ca`, `user`, `password`; `smb_port`, `smb_share`, `smb_user`, `smb_password`."""

    what = "the stand-in for Hyper-V"
    call_seconds = 120.0

    def __init__(self, folder: Path, *, options: Sequence[str] = ()) -> None:
        """`options`: those of `python -m sandbox.hyperv`."""
        super().__init__(folder)
        self.options = list(options)
        self.control = ""
        self.ca = Path()
        self.user, self.password = "", PASSWORD
        self.smb_port = 0
        self.smb_share = self.smb_user = ""
        self.smb_password = SMB_PASSWORD

    def _command(self, state: Path, ready: Path) -> Sequence[str]:
        command = [sys.executable, "-m", "sandbox.hyperv", "--state", str(state), "--ready-file", str(ready)]
        return [*command, *self.options]

    def _page(self, page: str) -> str:
        return f"{self.control}/{page}"

    def _started(self, found: Mapping[str, Any]) -> None:
        super()._started(found)
        self.control, self.ca, self.user = found["control"], Path(found["ca"]), found["user"]
        smb = found["smb"]
        self.smb_port, self.smb_share, self.smb_user = smb["port"], smb["share"], smb["user"]

    def add(self, name: str, disks: Sequence[Path | int], **options: Any) -> str:
        """A machine whose VHDX files hold the raw images, or are empty ones of so many bytes; its id. `guest=True`: a process
        will run on the raw images (`attach_guest`), and what it changes there goes into the VHDX when a point in time is taken."""
        orders = [disk if isinstance(disk, int) else str(disk.resolve()) for disk in disks]
        return str(self._call("POST", "machines", {"name": name, "disks": orders, **options})["id"])

    def attach_guest(self, machine: str, pid: int) -> None:
        """The process that writes to a machine's raw images; it stands still for the moment of a checkpoint. 0: none."""
        self._call("POST", "guests", {"id": machine, "pid": pid})

    def fault(self, area: str, operation: str, **settings: Any) -> None:
        """As `HyperVHost.faults.add`."""
        self._call("POST", "faults", {"area": area, "operation": operation, **settings})

    def state(self) -> dict[str, Any]:
        """As `HyperVHost.state`."""
        return dict(self._call("GET", "state"))

    def _call(self, method: str, page: str, body: Any = None) -> Any:
        """Raises RuntimeError with what the stand-in said against it."""
        try:
            return super()._call(method, page, body)
        except urllib.error.HTTPError as error:
            with error:
                message = f"{self.what}: {method} {page}: {error.read().decode(errors='replace').strip()}"
            raise RuntimeError(message) from None
