"""A simulated vCenter as a process of its own: machines over real disk files, and faults on demand.

The program is built from `sandbox/vsphere` by `tools.vsphere_sim`. It listens on loopback with ports that the system chooses.
"""

from __future__ import annotations

import os
import urllib.error
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox._ready import ServerProcess

USER = "administrator@vsphere.local"
PASSWORD = "sandbox-secret"


@dataclass(frozen=True)
class SimulatedMachine:
    moref: str
    uuid: str
    flats: Sequence[Path]  # the files with the bytes of its disks, which a guest may write to


class VSphere(ServerProcess):
    what = "the simulated vCenter"
    call_seconds = 60.0

    def __init__(self, folder: Path, program: Path, *, machines: int = 0, session_idle: float = 1800.0) -> None:
        """`machines`: so many empty ones to begin with. `session_idle`: seconds that a session lives without a request."""
        super().__init__(folder, environment={**os.environ, "VSPHERE_SIM_PASSWORD": PASSWORD})
        self.command = [str(program), "-user", USER, "-machines", str(machines), "-session-idle", f"{session_idle}s"]
        self.control = ""
        self.thumbprint = ""
        self.ca = Path()

    def _command(self, state: Path, ready: Path) -> Sequence[str]:
        return [*self.command, "-state", str(state), "-ready-file", str(ready)]

    def _page(self, page: str) -> str:
        return f"{self.control}/{page}"

    def _started(self, found: Mapping[str, Any]) -> None:
        super()._started(found)
        self.control, self.ca, self.thumbprint = found["control"], Path(found["ca"]), found["thumbprint"]

    def add(self, name: str, disks: Sequence[Path | int], **options: Any) -> SimulatedMachine:
        """A machine whose disks are the files (linked where they can be, else copied), or empty ones of so many bytes.

        Options: `cbt`, `tools`, `off`, `folder`, `guest`, `firmware`, `sharedBus`, `encrypted`, `devices` (usb, pci, tpm),
        `modes` and `rdm`, one for each disk.
        """
        modes = options.pop("modes", [""] * len(disks))
        mapped = options.pop("rdm", [False] * len(disks))
        orders = [
            {"size": disk, "mode": mode, "rdm": rdm}
            if isinstance(disk, int)
            else {"file": str(disk.resolve()), "mode": mode, "rdm": rdm}
            for disk, mode, rdm in zip(disks, modes, mapped, strict=True)
        ]
        made = self._call("POST", "machines", {"name": name, "disks": orders, **options})
        return SimulatedMachine(made["moref"], made["uuid"], [Path(flat) for flat in made["flats"]])

    def change(self, moref: str, action: str, **values: Any) -> None:
        """What an administrator does: rename (`name`), destroy, migrate, power-on, power-off, snapshot (`name`),
        remove-snapshots, grow (`disk`, `size`), add-disk (`size`), cbt-reset, set (`name`, `value`)."""
        self._call("POST", "changes", {"vm": moref, "action": action, **values})

    def attach_guest(self, moref: str, pid: int) -> None:
        """The process that writes to the machine's flat files; it is stopped for the moment in which they are frozen. 0: none."""
        self._call("POST", "guests", {"vm": moref, "pid": pid})

    def task_fault(self, method: str, **settings: Any) -> None:
        """The next tasks of `method` fail: `fault` (a type of the vSphere API), `reason`; `delay` seconds; `count`."""
        self._call("POST", "task-faults", {"method": method, **settings})

    def call_fault(self, method: str, fault: str, **settings: Any) -> None:
        """The next calls of `method` are refused: `fault`, `reason`, `skip`, `count`."""
        self._call("POST", "call-faults", {"method": method, "fault": fault, **settings})

    def http_fault(self, **settings: Any) -> None:
        """Requests whose path contains `path`: `status`, `drop` (after so many bytes), `delay`, `skip`, `count`."""
        self._call("POST", "http-faults", settings)

    def set(self, **settings: Any) -> None:
        """`pageAreas`, `denied` (privileges), `leaveDisks` (the next removal needs a consolidation), `expire` (all sessions)."""
        self._call("POST", "settings", settings)

    def clear_faults(self) -> None:
        self._call("DELETE", "faults")

    def state(self) -> dict[str, Any]:
        """`calls` by method, `snapshots` by machine, `frozen` sets of disks, `frozenFiles` by snapshot and live file, `sentBytes` and `requests` of flat files."""
        return dict(self._call("GET", "state"))

    def _call(self, method: str, page: str, body: Any = None) -> Any:
        """Raises RuntimeError with what the simulator said against it."""
        try:
            return super()._call(method, page, body)
        except urllib.error.HTTPError as error:
            with error:
                message = f"{self.what}: {method} {page}: {error.read().decode(errors='replace').strip()}"
            raise RuntimeError(message) from None
