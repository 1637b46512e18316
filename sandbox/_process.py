"""A sandbox as a process of its own, for tests and the demo: each is empty, and none meets another."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sandbox._ready import ServerProcess


class Sandbox(ServerProcess):
    what = "the sandbox"
    call_seconds = 10.0

    def __init__(self, folder: Path, *, options: Sequence[str] = ("--no-boot",)) -> None:
        super().__init__(folder)
        self.options = list(options)

    def _command(self, state: Path, ready: Path) -> Sequence[str]:
        command = [sys.executable, "-m", "sandbox", "--state", str(state), "--ready-file", str(ready)]
        return [*command, *self.options]

    def _page(self, page: str) -> str:
        return f"{self.endpoint}/_sandbox/{page}"

    def fault(self, **settings: Any) -> None:
        """Arm a fault: `fault(action="throttle", service="ebs", operation="PutSnapshotBlock", count=10)`."""
        self._call("POST", "faults", settings)

    def fail_imports(self, message: str, count: int = 1) -> None:
        """The next VM import tasks end without an image, with a message of AWS's."""
        self._call("POST", "imports", {"message": message, "count": count})

    def set_quotas(self, **values: float) -> None:
        """Quotas of the account, by code; dashes are underscores: `set_quotas(L_1216C47A=64)`."""
        self._call("POST", "quotas", {code.replace("_", "-"): value for code, value in values.items()})

    def clear_faults(self) -> None:
        self._call("DELETE", "faults")

    def faults(self) -> list[dict[str, Any]]:
        return list(self._call("GET", "faults"))

    def calls(self, access_key: str | None = None) -> dict[str, int]:
        """How often each `service.Operation` was called, refused calls included; by one access key, or by all."""
        stats = self._call("GET", "stats")
        return dict(stats["calls"] if access_key is None else stats["calls_by_access_key"].get(access_key, {}))

    def bytes_received(self) -> int:
        """Of EBS requests that were carried out: almost all of it is blocks."""
        return int(self._call("GET", "stats")["bytes"]["in"])

    def advance_clock(self, seconds: float) -> None:
        """Move the clock of EBS, for what takes minutes or days there."""
        self._call("POST", "clock", {"advance_seconds": seconds})
