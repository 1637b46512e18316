"""The way to the agents in guests: a socket in each guest's folder, behind which its second serial port is.

Whoever listens on that socket and speaks the protocol of `sandbox/machines/agent.sh` is the instance's agent: without QEMU,
a test's own.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

AGENT_SOCKET = "agent"
_ANSWER_SECONDS = 20.0  # an emulated serial port carries some kilobytes a second


class AgentAway(Exception):
    """Nobody answers."""


@dataclass(frozen=True)
class Ran:
    """A script that has ended."""

    code: int
    output: bytes
    error: bytes


class Agent:
    """One guest's. Thread-safe: one question at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def answers(self, seconds: float) -> bool:
        try:
            with self._lock:
                self._synchronize(seconds)
        except AgentAway:
            return False
        return True

    def start(self, script: str) -> int:
        """Start a script; the number by which it is known. Raises AgentAway."""
        data = base64.b64encode(script.encode()).decode()
        asked = {"execute": "guest-exec", "arguments": {"path": "/bin/sh", "capture-output": True, "input-data": data}}
        return int(self._ask(asked)["pid"])

    def result(self, number: int) -> Ran | None:
        """None while it runs. Raises AgentAway."""
        found = self._ask({"execute": "guest-exec-status", "arguments": {"pid": number}})
        if not found["exited"]:
            return None
        output, error = (base64.b64decode(found.get(key, "")) for key in ("out-data", "err-data"))
        return Ran(int(found["exitcode"]), output, error)

    def kill(self, number: int) -> None:
        """End a script and all that it started. Raises AgentAway."""
        self.start(f"kill -9 -- -$(cat /run/agent/{number}.pid)")

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _ask(self, asked: dict[str, Any]) -> Any:
        with self._lock:
            self._synchronize(2.0)
            answer = self._exchange(asked, time.monotonic() + _ANSWER_SECONDS)
        if "return" not in answer:
            raise AgentAway(str(answer))
        return answer["return"]

    def _synchronize(self, seconds: float) -> None:
        """What an earlier question left, and noise of a port that nobody had opened, goes before the mark 0xFF."""
        deadline = time.monotonic() + seconds
        number = secrets.randbelow(1 << 30)
        self._connect()
        self._send(b"\n" + json.dumps({"execute": "guest-sync-delimited", "arguments": {"id": number}}).encode())
        while True:
            line = self._line(deadline)
            if line.rpartition(b"\xff")[2].strip() == b'{"return": %d}' % number:
                return

    def _exchange(self, asked: dict[str, Any], deadline: float) -> Any:
        self._send(json.dumps(asked).encode())
        try:
            return json.loads(self._line(deadline))
        except ValueError:
            self._drop()
            raise AgentAway("what it answered is no JSON") from None

    def _connect(self) -> None:
        if self._socket is not None:
            return
        found = socket.socket(socket.AF_UNIX)
        try:
            # By way of the folder: the path of a socket has 107 characters at most.
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                found.connect(f"/proc/self/fd/{folder}/{AGENT_SOCKET}")
            finally:
                os.close(folder)
        except OSError as error:
            found.close()
            raise AgentAway(error.strerror) from None
        self._socket, self._pending = found, b""

    _pending = b""

    def _send(self, line: bytes) -> None:
        try:
            assert self._socket is not None  # noqa: S101 - connected
            self._socket.settimeout(_ANSWER_SECONDS)
            self._socket.sendall(line + b"\n")
        except OSError as error:
            self._drop()
            raise AgentAway(str(error)) from None

    def _line(self, deadline: float) -> bytes:
        while b"\n" not in self._pending:
            left = deadline - time.monotonic()
            if left <= 0:
                self._drop()  # its answer may come later, to nobody
                raise AgentAway("it does not answer in time")
            try:
                assert self._socket is not None  # noqa: S101 - connected
                self._socket.settimeout(left)
                piece = self._socket.recv(65536)
            except TimeoutError:
                continue
            except OSError as error:
                self._drop()
                raise AgentAway(str(error)) from None
            if not piece:
                self._drop()
                raise AgentAway("it hung up")
            self._pending += piece
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Agents:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._agents: dict[str, Agent] = {}
        self._lock = threading.Lock()

    def of(self, instance_id: str) -> Agent:
        with self._lock:
            if instance_id not in self._agents:
                self._agents[instance_id] = Agent(self._folder / instance_id)
            return self._agents[instance_id]
