"""A server of the sandbox as a process of its own, which says in a file when and where it listens."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

START_SECONDS = 60.0


class ServerProcess(ABC):
    """Started by `start` or as a context manager; ends with `stop`. Raises RuntimeError with its log where it does not come up."""

    what: ClassVar[str]  # for messages: "the sandbox"
    call_seconds: ClassVar[float]

    def __init__(self, folder: Path, *, environment: Mapping[str, str] | None = None) -> None:
        """`environment`: the process's own, instead of this one's."""
        self.folder = folder
        self.endpoint = ""
        self.pid = 0
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _command(self, state: Path, ready: Path) -> Sequence[str]:
        """What starts it: it keeps its files in `state` and writes `ready` (JSON with endpoint and pid) once it listens."""

    @abstractmethod
    def _page(self, page: str) -> str:
        """The URL of a page for orders."""

    def start(self, *, detached: bool = False) -> Self:
        """`detached`: it outlives this process and its terminal; whoever wants its end sends SIGTERM to `pid`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        ready, log = self.folder / "ready.json", self.folder / "log"
        ready.unlink(missing_ok=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command(self.folder / "state", ready),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=detached,
            )
        deadline = time.monotonic() + START_SECONDS
        while not ready.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                message = f"{self.what} did not start:\n{log.read_text(errors='replace')[-2000:]}"
                raise RuntimeError(message)
            time.sleep(0.02)
        self._started(json.loads(ready.read_text()))
        return self

    def _started(self, found: Mapping[str, Any]) -> None:
        self.endpoint, self.pid = found["endpoint"], found["pid"]

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=30)
            self._process = None

    def _call(self, method: str, page: str, body: Any = None) -> Any:
        """Give an order. Raises HTTPError where the server refuses it."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._page(page), data=data, method=method)
        with urllib.request.urlopen(request, timeout=self.call_seconds) as answer:
            return json.loads(answer.read() or b"null")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
