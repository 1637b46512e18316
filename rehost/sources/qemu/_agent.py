"""The QEMU guest agent: asking the guest to freeze its file systems, and to thaw them.

Source: QEMU's qga/qapi-schema.json. The agent speaks JSON lines over a serial port; there is no greeting, and what an
earlier client left unread is still there, so each conversation begins with `guest-sync-delimited`.
"""

from __future__ import annotations

import json
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from rehost.errors import RehostError

SYNC_SECONDS = 3.0  # an agent that runs answers within milliseconds
FREEZE_SECONDS = 30.0  # the guest writes its caches back first; VSS of Windows gives up after 10 s itself
_LINE = 1 << 16  # bytes; the longest answer we ask for is a number


class AgentFailed(RehostError):
    """Attributes: `reason`. Whether the guest is frozen now is not known."""

    template = "the guest agent {reason}"


class Agent(Protocol):
    def command(self, name: str, seconds: float) -> Any:
        """Raises AgentFailed."""


class AgentSocket:
    """The agent behind a unix socket (`-chardev socket` and a virtserialport `org.qemu.guest_agent.0`)."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def command(self, name: str, seconds: float) -> Any:
        with self._conversation() as talk:
            talk.synchronise(SYNC_SECONDS)
            return talk.ask({"execute": name}, seconds)

    @contextmanager
    def _conversation(self) -> Iterator[_Talk]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(SYNC_SECONDS)
            try:
                connection.connect(str(self._path))
            except OSError as error:
                reason = f"cannot be reached at {self._path}: {error.strerror or error}"
                raise AgentFailed(reason=reason) from error
            yield _Talk(connection)


class _Talk:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._unread = b""

    def synchronise(self, seconds: float) -> None:
        number = secrets.randbelow(1 << 30)
        # 0xFF ends whatever an earlier client left half said; the agent puts one before its answer.
        message = json.dumps({"execute": "guest-sync-delimited", "arguments": {"id": number}})
        self._send(b"\xff" + message.encode() + b"\n")
        ends = time.monotonic() + seconds
        while True:
            answer = self._answer(ends, "does not answer; does it run in the guest?")
            if answer.get("return") == number:
                return

    def ask(self, message: dict[str, Any], seconds: float) -> Any:
        self._send(json.dumps(message).encode() + b"\n")
        late = f"did not finish {message['execute']} within {seconds:g} s"
        answer = self._answer(time.monotonic() + seconds, late)
        return _result(answer, str(message["execute"]))

    def _send(self, data: bytes) -> None:
        try:
            self._connection.sendall(data)
        except OSError as error:
            raise AgentFailed(reason=f"hung up: {error.strerror or error}") from error

    def _answer(self, ends: float, late: str) -> dict[str, Any]:
        """The next line that is an answer; what is not is left over from somebody else."""
        while True:
            line = self._line(ends, late)
            try:
                answer = json.loads(line.rpartition(b"\xff")[2])
            except ValueError:
                continue
            if isinstance(answer, dict) and ("return" in answer or "error" in answer):
                return answer

    def _line(self, ends: float, late: str) -> bytes:
        while b"\n" not in self._unread:
            left = ends - time.monotonic()
            if left <= 0 or len(self._unread) > _LINE:
                raise AgentFailed(reason=late)
            self._connection.settimeout(left)
            try:
                got = self._connection.recv(4096)
            except TimeoutError:
                continue
            except OSError as error:
                raise AgentFailed(reason=f"hung up: {error.strerror or error}") from error
            if not got:
                raise AgentFailed(reason="hung up")
            self._unread += got
        line, _, self._unread = self._unread.partition(b"\n")
        return line


class AgentThrough:
    """The agent behind a function that carries one JSON command out, as `virsh qemu-agent-command` does."""

    def __init__(self, carry_out: Callable[[str, float], str]) -> None:
        self._carry_out = carry_out

    def command(self, name: str, seconds: float) -> Any:
        try:
            answer = json.loads(self._carry_out(json.dumps({"execute": name}), seconds))
        except ValueError as error:
            raise AgentFailed(reason=f"answered {name} with no JSON") from error
        return _result(answer, name)


def _result(answer: dict[str, Any], command: str) -> Any:
    if "error" in answer:
        told = answer["error"]
        reason = told.get("desc", told) if isinstance(told, dict) else told
        raise AgentFailed(reason=f"refused {command}: {reason}")
    return answer.get("return")


def answers(agent: Agent) -> bool:
    try:
        agent.command("guest-ping", SYNC_SECONDS)
    except AgentFailed:
        return False
    return True


def freeze(agent: Agent) -> None:
    """Freeze the guest's file systems. Raises AgentFailed; then they may be frozen all the same, and `thaw` is due."""
    frozen = agent.command("guest-fsfreeze-freeze", FREEZE_SECONDS)
    if not frozen:
        raise AgentFailed(reason="found no file system to freeze")


def still_frozen(agent: Agent) -> bool:
    """A guest may thaw by itself: Windows does after 10 s."""
    try:
        return bool(agent.command("guest-fsfreeze-status", SYNC_SECONDS) == "frozen")
    except AgentFailed:
        return False


def thaw(agent: Agent) -> None:
    """Harmless where nothing is frozen. Raises AgentFailed."""
    agent.command("guest-fsfreeze-thaw", FREEZE_SECONDS)
