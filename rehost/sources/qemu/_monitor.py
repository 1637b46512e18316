"""Talking to a running QEMU: the QMP protocol, over its own socket.

qemu.qmp is asyncio; each session has a thread of its own with an event loop, and ends with it. A QMP socket serves one
client at a time, so a session is held for moments only, never through a copy.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

from qemu.qmp import ConnectError, ExecuteError, QMPClient, QMPError

from rehost.sources._errors import CommandRefused, ServerNotRunning, SourceUnavailable

_T = TypeVar("_T")

CONNECT_SECONDS = 10.0
COMMAND_SECONDS = 60.0

# What it would say there, the errors raised here say better.
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)


class Monitor(Protocol):
    """A session with one machine's QEMU."""

    def execute(self, command: str, **arguments: Any) -> Any:
        """Carry a QMP command out; `_` in the names of arguments stands for `-`.

        Raises CommandRefused (QEMU said no), SourceUnavailable (no answer), ServerNotRunning.
        """


def arguments_of(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name.replace("_", "-"): value for name, value in given.items()}


@contextmanager
def qmp_session(name: str, path: Path) -> Iterator[Monitor]:
    """A session over the QMP socket at `path`, for the machine `name`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name=f"qmp-{name}", daemon=True)
    thread.start()
    session = _QmpSession(name, path, loop)
    try:
        session.connect()
        yield session
    finally:
        with suppress(QMPError, TimeoutError, OSError, EOFError):
            session.run(session.client.disconnect(), CONNECT_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class _QmpSession:
    def __init__(self, name: str, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.client = QMPClient(name)
        self._name, self._path, self._loop = name, path, loop

    def run(self, work: Coroutine[Any, Any, _T], seconds: float) -> _T:
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, seconds), self._loop).result()

    def connect(self) -> None:
        try:
            self.run(self.client.connect(os.fspath(self._path)), CONNECT_SECONDS)
        except ConnectError as error:
            raise self._translated(error.exc) from error
        except TimeoutError:
            reason = f"{self._path} takes no second client; somebody else (libvirt?) is connected to it"
            raise SourceUnavailable(place=self._name, reason=reason) from None

    def execute(self, command: str, **arguments: Any) -> Any:
        try:
            return self.run(self.client.execute(command, arguments_of(arguments)), COMMAND_SECONDS)
        except ExecuteError as error:
            raise CommandRefused(
                place=self._name, command=command, reason=error.error.error.desc, kind=error.error.error.class_
            ) from error
        except TimeoutError:
            reason = f"QEMU did not answer {command} within {COMMAND_SECONDS:g} s"
            raise SourceUnavailable(place=self._name, reason=reason) from None
        except (QMPError, OSError, EOFError) as error:
            reason = f"QEMU ended, or hung up, during {command}"
            raise ServerNotRunning(name=self._name, reason=reason) from error

    def _translated(self, error: BaseException) -> ServerNotRunning | SourceUnavailable:
        if isinstance(error, FileNotFoundError):
            return ServerNotRunning(name=self._name, reason=f"there is no socket {self._path}")
        if isinstance(error, ConnectionRefusedError):
            return ServerNotRunning(name=self._name, reason=f"nobody listens at {self._path}")
        if isinstance(error, EOFError):
            return ServerNotRunning(name=self._name, reason=f"QEMU hung up at {self._path}")
        if isinstance(error, PermissionError):
            reason = f"permission denied to uid {os.geteuid()} at {self._path}; let it write to the socket"
            return SourceUnavailable(place=self._name, reason=reason)
        return SourceUnavailable(place=self._name, reason=f"{self._path} speaks no QMP: {error}")
