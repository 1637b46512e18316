"""The EBS endpoint of the bench: built, started, told what to do, and its own ceiling measured."""

from __future__ import annotations

import http.client
import json
import shutil
import ssl
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from bench._measure import BenchError, run

SOURCES = Path(__file__).parent / "endpoint"


def build(folder: Path) -> Path:
    """The program, compiled where its sources are newer. Raises BenchError."""
    program = folder / "endpoint"
    newest = max(each.stat().st_mtime for each in SOURCES.iterdir())
    if program.exists() and program.stat().st_mtime > newest:
        return program
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        raise BenchError("the bench's endpoint is written in Go, which is not here; Debian has the package golang-go")
    done = subprocess.run([go, "build", "-o", program, "."], cwd=SOURCES, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"the endpoint cannot be built: {done.stderr.strip()}")
    return program


class Endpoint:
    """Runs while the context is open; it ends by itself when this process does."""

    def __init__(self, program: Path, folder: Path, *, secure: bool) -> None:
        self._program, self.secure = program, secure
        self.ca = folder / "ca.pem"
        self._command: list[str | Path] = [program, "serve", *(("-tls", folder) if secure else ())]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [str(part) for part in self._command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        self.address = self._process.stdout.readline().strip()
        if not self.address:
            raise BenchError("the endpoint did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.communicate()

    @property
    def url(self) -> str:
        return f"{'https' if self.secure else 'http'}://{self.address}"

    def set(self, **settings: float | bool) -> None:
        """Latency, throttling, verification; counts start anew."""
        self._post("settings", json.dumps(settings))

    def counts(self) -> Mapping[str, int]:
        return dict(json.loads(self._post("counts", "")))

    def serve_disk(self, path: Path) -> str:
        """A completed snapshot that reads as the file."""
        return self._post("disk", str(path))

    def forget(self) -> None:
        """Drop what was uploaded."""
        self._post("forget", "")

    def ceiling(self, env: Mapping[str, str]) -> float:
        """MiB/s that it takes from senders that only send, the median of three."""
        command: list[str | Path] = [
            self._program,
            "flood",
            "-address",
            self.address,
            *(["-tls"] if self.secure else []),
        ]
        return sorted(float(json.loads(run(command, env).output)["mib_s"]) for _ in range(3))[1]

    def _post(self, what: str, body: str) -> str:
        connection: http.client.HTTPConnection
        if self.secure:
            context = ssl.create_default_context(cafile=self.ca)
            connection = http.client.HTTPSConnection(self.address, context=context)
        else:
            connection = http.client.HTTPConnection(self.address)
        try:
            connection.request("POST", f"/-/{what}", body)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status != 200:
            raise BenchError(f"the endpoint refuses {what}: {text}")
        return text
