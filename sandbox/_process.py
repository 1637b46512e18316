"""A sandbox as a process of its own, for tests and the demo: each is empty, and none meets another."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

START_SECONDS = 60.0


class Sandbox:
    """Started by `start` or as a context manager; ends with `stop`. Raises RuntimeError with its log where it does not come up."""

    def __init__(self, folder: Path, *, options: Sequence[str] = ("--no-boot",)) -> None:
        self.folder = folder
        self.options = list(options)
        self.endpoint = ""
        self.pid = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, detached: bool = False) -> Self:
        """`detached`: it outlives this process and its terminal; whoever wants its end sends SIGTERM to `pid`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        ready, log = self.folder / "ready.json", self.folder / "log"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "sandbox", "--state", str(self.folder / "state"), "--ready-file", str(ready)]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*command, *self.options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=detached,
            )
        deadline = time.monotonic() + START_SECONDS
        while not ready.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                message = f"the sandbox did not start:\n{log.read_text(errors='replace')[-2000:]}"
                raise RuntimeError(message)
            time.sleep(0.02)
        found = json.loads(ready.read_text())
        self.endpoint, self.pid = found["endpoint"], found["pid"]
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=30)
            self._process = None

    def fault(self, **settings: Any) -> None:
        """Arm a fault: `fault(action="throttle", service="ebs", operation="PutSnapshotBlock", count=10)`."""
        self._call("POST", "faults", settings)

    def clear_faults(self) -> None:
        self._call("DELETE", "faults")

    def faults(self) -> list[dict[str, Any]]:
        return list(self._call("GET", "faults"))

    def calls(self, access_key: str | None = None) -> dict[str, int]:
        """How often each `service.Operation` was called, refused calls included; by one access key, or by all."""
        stats = self._call("GET", "stats")
        return dict(stats["calls"] if access_key is None else stats["calls_by_access_key"].get(access_key, {}))

    def advance_clock(self, seconds: float) -> None:
        """Move the clock of EBS, for what takes minutes or days there."""
        self._call("POST", "clock", {"advance_seconds": seconds})

    def _call(self, method: str, page: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.endpoint}/_sandbox/{page}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
