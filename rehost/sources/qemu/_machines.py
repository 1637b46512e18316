"""Where a source's machines are: a folder with a QMP socket each, or a libvirt host."""

from __future__ import annotations

import difflib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rehost.sources._errors import CommandRefused, ServerNotFound, ServerNotRunning, SourceUnavailable
from rehost.sources.qemu._agent import Agent, AgentFailed, AgentSocket, AgentThrough
from rehost.sources.qemu._monitor import COMMAND_SECONDS, Monitor, arguments_of, qmp_session

_QMP, _AGENT = ".qmp", ".qga"


class Machine(Protocol):
    """One machine, running or not."""

    @property
    def name(self) -> str: ...

    @property
    def agent(self) -> Agent | None:
        """Its guest agent, if there may be one."""

    def session(self) -> AbstractContextManager[Monitor]:
        """A talk with its QEMU; short, for others may want to talk too. Raises ServerNotRunning, SourceUnavailable."""


class Machines(Protocol):
    def names(self) -> Sequence[str]:
        """Sorted. Raises SourceUnavailable."""

    def find(self, name: object) -> Machine:
        """Raises ServerNotFound, SourceUnavailable."""


def _not_found(name: object, place: str, known: Sequence[str]) -> ServerNotFound:
    near = difflib.get_close_matches(str(name), known, n=1)
    some = ", ".join(known[:10]) + (", ..." if len(known) > 10 else "")
    hint = f"did you mean {near[0]}?" if near else f"its servers are: {some or 'none'}"
    return ServerNotFound(name=name, place=place, hint=hint)


@dataclass(frozen=True)
class SocketMachine:
    name: str
    qmp: Path
    agent: Agent | None

    def session(self) -> AbstractContextManager[Monitor]:
        return qmp_session(self.name, self.qmp)


class SocketFolder:
    """`NAME.qmp` is the QMP socket of the machine NAME, `NAME.qga` its guest agent's if it has one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> Sequence[str]:
        try:
            return sorted(path.name.removesuffix(_QMP) for path in self._folder.iterdir() if path.suffix == _QMP)
        except OSError as error:
            reason = f"the folder of QMP sockets cannot be listed: {error.strerror}"
            raise SourceUnavailable(place=str(self._folder), reason=reason) from error

    def find(self, name: object) -> SocketMachine:
        known = self.names()
        if name not in known:
            raise _not_found(name, str(self._folder), known)
        agent = self._folder / f"{name}{_AGENT}"
        return SocketMachine(str(name), self._folder / f"{name}{_QMP}", AgentSocket(agent) if agent.exists() else None)


class LibvirtHost:
    """The domains of a libvirt URI, through its own command `virsh`: it owns their QMP sockets."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def names(self) -> Sequence[str]:
        return sorted(filter(None, self.virsh("list", "--all", "--name").splitlines()))

    def find(self, name: object) -> LibvirtMachine:
        known = self.names()
        if name not in known:
            raise _not_found(name, self._uri, known)
        return LibvirtMachine(str(name), self)

    def virsh(self, *arguments: str, seconds: float = COMMAND_SECONDS) -> str:
        """What `virsh` prints. Raises SourceUnavailable, CommandRefused."""
        program = shutil.which("virsh")
        if program is None:
            reason = "`virsh` is not installed; Debian package libvirt-clients"
            raise SourceUnavailable(place=self._uri, reason=reason)
        try:
            done = subprocess.run(
                [program, "--quiet", "--connect", self._uri, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=seconds,
                env={**os.environ, "LC_ALL": "C"},
                check=False,
            )
        except subprocess.TimeoutExpired:
            reason = f"virsh {arguments[0]} did not end within {seconds:g} s"
            raise SourceUnavailable(place=self._uri, reason=reason) from None
        if done.returncode == 0:
            return done.stdout
        reason = re.sub(r"^error: ", "", done.stderr.strip(), flags=re.MULTILINE).replace("\n", "; ")
        if "failed to connect" in reason:
            raise SourceUnavailable(place=self._uri, reason=reason)
        raise CommandRefused(place=self._uri, command=f"virsh {arguments[0]}", reason=reason, kind="virsh")


class LibvirtMachine:
    def __init__(self, name: str, host: LibvirtHost) -> None:
        self.name, self._host = name, host

    @property
    def agent(self) -> Agent | None:
        return AgentThrough(self._ask_agent)

    @contextmanager
    def session(self) -> Iterator[Monitor]:
        yield self

    def execute(self, command: str, **arguments: Any) -> Any:
        message = json.dumps({"execute": command, "arguments": arguments_of(arguments)})
        try:
            answer = json.loads(self._host.virsh("qemu-monitor-command", "--domain", self.name, message))
        except CommandRefused as refused:
            if "not running" in refused.reason:
                raise ServerNotRunning(name=self.name, reason="libvirt says that the domain is shut off") from None
            raise
        if "error" in answer:
            told = answer["error"]
            raise CommandRefused(place=self.name, command=command, reason=told["desc"], kind=told["class"])
        return answer["return"]

    def virsh(self, command: str, *arguments: str) -> str:
        """`virsh COMMAND --domain NAME ...`. Raises SourceUnavailable, CommandRefused."""
        return self._host.virsh(command, "--domain", self.name, *arguments)

    def _ask_agent(self, message: str, seconds: float) -> str:
        limit = str(max(1, round(seconds)))
        try:
            return self._host.virsh(
                "qemu-agent-command", "--domain", self.name, "--timeout", limit, message, seconds=seconds + 10
            )
        except CommandRefused as refused:
            raise AgentFailed(reason=f"cannot be asked: {refused.reason}") from None
        except SourceUnavailable as lost:
            raise AgentFailed(reason=f"cannot be asked: {lost}") from lost
