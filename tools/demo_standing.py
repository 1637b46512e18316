"""A stand-in for a place to migrate from, in a process of its own: with `KEEP=1` it outlives the demo.

    python -m tools.demo_standing MODULE:CLASS STATE READY

The class (`tools.demo_azure:AzurePlace` is one) does what `Place` says; orders come over HTTP, on loopback.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import threading
import time
import urllib.error
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

from rehost.processes import is_running
from sandbox._ready import ServerProcess
from tools._paths import ROOT


class Place(Protocol):
    """Made with the folder of its files. What `start` and `state` give has to be JSON."""

    def start(self) -> Mapping[str, Any]:
        """Listen; says where (`endpoint`), and what a spec has to know."""

    def add(self, name: str, disks: Sequence[Path]) -> None:
        """A machine that runs on raw files, the root disk first; somebody else writes to them."""

    def attach(self, name: str, pid: int) -> None:
        """Who writes to them: the process stands still for the moment of a point in time. 0: nobody any longer."""

    def left(self) -> Sequence[str]:
        """What there is of rehost's, one line each. After `pulumi destroy` no run needs anything any longer."""

    def stop(self) -> None: ...


class Standing(ServerProcess):
    what = "the stand-in"
    call_seconds = 120.0

    def __init__(self, folder: Path, place: str) -> None:
        """`place` is MODULE:CLASS."""
        super().__init__(folder)
        self.place = place
        self.facts: Mapping[str, Any] = {}
        self._control = ""

    def _command(self, state: Path, ready: Path) -> Sequence[str]:
        return [sys.executable, "-m", "tools.demo_standing", self.place, str(state), str(ready)]

    def _page(self, page: str) -> str:
        return f"{self._control}/{page}"

    def _started(self, found: Mapping[str, Any]) -> None:
        super()._started(found)
        self._control, self.facts = found["control"], found["facts"]

    def add(self, name: str, disks: Sequence[Path]) -> None:
        self._call("POST", "add", {"name": name, "disks": [str(each) for each in disks]})

    def attach(self, name: str, pid: int) -> None:
        self._call("POST", "attach", {"name": name, "pid": pid})

    def _call(self, method: str, page: str, body: Any = None) -> Any:
        """Raises RuntimeError with what the stand-in said against it."""
        try:
            return super()._call(method, page, body)
        except urllib.error.HTTPError as error:
            with error:
                message = f"{self.what}: {page}: {json.loads(error.read() or b'null')}"
            raise RuntimeError(message) from None

    def left(self) -> list[str]:
        return list(self._call("POST", "left", {}))


def end_earlier(ready: Path) -> None:
    """End the stand-in that an earlier `KEEP=1` left running."""
    try:
        pid = int(json.loads(ready.read_text())["pid"])
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError, KeyError):
        return
    if b"tools.demo_standing" in command:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 30
        while is_running(pid) and time.monotonic() < deadline:
            time.sleep(0.05)


def _orders(place: Place, guests: dict[str, int]) -> ThreadingHTTPServer:
    """`guests`: by machine, the process that writes to its disks. Whoever reaches the port may give them, as with the sandbox: it is for trying."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
            try:
                answer, status = json.dumps(self._obey(body)), 200
            except Exception as error:  # the demo says it in its own words
                answer, status = json.dumps(f"{type(error).__name__}: {error}"), 500
            self.send_response(status)
            self.end_headers()
            self.wfile.write(answer.encode())

        def _obey(self, body: Mapping[str, Any]) -> Any:
            if self.path == "/add":
                return place.add(body["name"], [Path(each) for each in body["disks"]])
            if self.path == "/attach":
                guests[body["name"]] = body["pid"]
                return place.attach(body["name"], body["pid"])
            return list(place.left())

        def log_message(self, *_: object) -> None: ...

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def main() -> None:
    place_name, state, ready = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    module, _, kind = place_name.partition(":")
    state.mkdir(parents=True, exist_ok=True)
    place: Place = getattr(importlib.import_module(module), kind)(state)
    over = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: over.set())
    facts = place.start()
    guests: dict[str, int] = {}
    orders = _orders(place, guests)
    thread = threading.Thread(target=orders.serve_forever, name="orders", daemon=True)
    thread.start()
    try:
        found = {"endpoint": facts["endpoint"], "pid": os.getpid(), "facts": dict(facts)}
        found["control"] = f"http://127.0.0.1:{orders.server_port}"
        partial = ready.with_suffix(".partial")
        partial.write_text(json.dumps(found))
        partial.rename(ready)
        over.wait()
    finally:
        orders.shutdown()
        with contextlib.suppress(OSError):
            orders.server_close()
        for pid in guests.values():
            _end_guest(pid)
        place.stop()


def _end_guest(pid: int) -> None:
    """A machine does not outlive the place that it is on: with `KEEP=1` nobody else would end it."""
    with contextlib.suppress(OSError):
        if pid and b"qemu-system" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGTERM)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
