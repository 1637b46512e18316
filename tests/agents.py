"""An agent for an instance of a sandbox that boots nothing: it runs what it is sent on this machine, with the protocol of
`sandbox/machines/agent.sh`.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import threading
from types import TracebackType
from typing import Any, Self

from sandbox import Sandbox


class LocalAgent:
    """Within the context, the instance's agent is online. `scripts` are those that it was sent."""

    def __init__(self, sandbox: Sandbox, instance_id: str) -> None:
        self._folder = sandbox.folder / "state" / "guests" / instance_id
        self._folder.mkdir(parents=True, exist_ok=True)
        self._stopping = threading.Event()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._connections: list[socket.socket] = []
        self.scripts: list[str] = []

    def __enter__(self) -> Self:
        path = self._folder / "agent"
        path.unlink(missing_ok=True)
        self._listening = socket.socket(socket.AF_UNIX)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._listening.bind(f"/proc/self/fd/{folder}/agent")  # the path itself may be too long for a socket
        finally:
            os.close(folder)
        self._listening.listen()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.set()
        for each in (self._listening, *self._connections):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in self._threads:
            thread.join()
        for each in (self._listening, *self._connections):
            each.close()
        for process in self._processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        (self._folder / "agent").unlink()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._connections.append(connection)
            self._threads.append(threading.Thread(target=self._talk, args=(connection,)))
            self._threads[-1].start()

    def _talk(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as lines:
            for line in lines:
                if not line.strip():
                    continue
                asked = json.loads(line)
                answer, mark = self._answer(asked["execute"], asked["arguments"])
                try:
                    connection.sendall(mark + json.dumps({"return": answer}).encode() + b"\n")
                except OSError:
                    return

    def _answer(self, execute: str, arguments: dict[str, Any]) -> tuple[Any, bytes]:
        if execute == "guest-sync-delimited":
            return arguments["id"], b"\xff"
        if execute == "guest-exec":
            script = base64.b64decode(arguments["input-data"]).decode()
            if script.startswith("kill -9 -- -$(cat /run/agent/"):
                number = int(script.rpartition("/")[2].split(".")[0])
                os.killpg(self._processes[number].pid, signal.SIGKILL)
                return {"pid": -1}, b""
            self.scripts.append(script)
            number = len(self._processes)
            files = [(self._folder / f"{number}.{kind}").open("w+b") for kind in ("out", "err")]
            self._processes.append(
                subprocess.Popen(
                    ["/bin/sh", "-c", script], stdin=subprocess.DEVNULL, stdout=files[0], stderr=files[1],
                    start_new_session=True,
                )
            )  # fmt: skip
            for file in files:
                file.close()
            return {"pid": number}, b""
        number = int(arguments["pid"])
        code = self._processes[number].poll()
        if code is None:
            return {"exited": False}, b""
        found = {
            f"{kind}-data": base64.b64encode((self._folder / f"{number}.{kind}").read_bytes()).decode()
            for kind in ("out", "err")
        }
        return {"exited": True, "exitcode": code if code >= 0 else 128 - code, **found}, b""
