"""The cloud of `sandbox.azure` as a process of its own, for the demo: it may outlive what started it."""

from __future__ import annotations

import os
import sys
import urllib.error
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox._ready import ServerProcess

CLIENT_SECRET = "sandbox-secret"


@dataclass(frozen=True)
class CloudMachine:
    id: str
    vm_id: str


class AzureProcess(ServerProcess):
    what = "the simulated Azure"
    call_seconds = 120.0

    def __init__(self, folder: Path, program: Path) -> None:
        """`program` is Azurite's (`tools.azurite`)."""
        super().__init__(folder, environment={**os.environ, "AZURE_SIM_CLIENT_SECRET": CLIENT_SECRET})
        self._program = program
        self.control = self.tenant = self.client_id = self.subscription = ""
        self.ca = Path()

    def _command(self, state: Path, ready: Path) -> Sequence[str]:
        command = [sys.executable, "-m", "sandbox.azure", "--state", str(state), "--ready-file", str(ready)]
        return [*command, "--azurite", str(self._program)]

    def _page(self, page: str) -> str:
        return f"{self.control}/{page}"

    def _started(self, found: Mapping[str, Any]) -> None:
        super()._started(found)
        self.control, self.ca, self.tenant = found["control"], Path(found["ca"]), found["tenant"]
        self.client_id, self.subscription = found["client_id"], found["subscription"]

    def add(self, name: str, disks: Sequence[Path | int], **options: Any) -> CloudMachine:
        """A running machine whose disks are raw files, which a guest may write to, or empty ones of so many bytes.

        Options: those of `AzureCloud.add_machine`; `nics` as mappings.
        """
        orders = [{"size": disk} if isinstance(disk, int) else {"file": str(disk.resolve())} for disk in disks]
        made = self._call("POST", "machines", {"name": name, "disks": orders, **options})
        return CloudMachine(made["id"], made["vm_id"])

    def attach_guest(self, name: str, pid: int) -> None:
        """The process that writes to the machine's raw files; it is stopped for the moment of a point in time. 0: none."""
        self._call("POST", "guests", {"machine": name, "pid": pid})

    def set_power(self, name: str, power: str) -> None:
        """`running`, `stopped` or `deallocated`."""
        self._call("POST", "power", {"machine": name, "power": power})

    def fault(self, action: str, **settings: Any) -> None:
        """Arm one: `sandbox.azure.Fault` says which there are."""
        self._call("POST", "faults", {"action": action, **settings})

    def clear_faults(self) -> None:
        self._call("DELETE", "faults")

    def advance(self, seconds: float) -> None:
        """Move the cloud's clock."""
        self._call("POST", "clock", {"seconds": seconds})

    def state(self) -> dict[str, Any]:
        """As `AzureCloud.state` gives it."""
        return dict(self._call("GET", "state"))

    def _call(self, method: str, page: str, body: Any = None) -> Any:
        """Raises RuntimeError with what the cloud said against it."""
        try:
            return super()._call(method, page, body)
        except urllib.error.HTTPError as error:
            with error:
                message = f"{self.what}: {method} {page}: {error.read().decode(errors='replace').strip()}"
            raise RuntimeError(message) from None
