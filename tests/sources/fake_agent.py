"""A QEMU guest agent by hand, on a unix socket, which can also fail in the ways that agents do."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class FakeAgent:
    """`answers`: command -> what takes the place of the good answer; None is silence."""

    def __init__(self, at: Path, answers: dict[str, Any] | None = None) -> None:
        self.commands: list[str] = []
        self.frozen = False
        self.on_command: Callable[[str], None] = lambda _command: None
        self._answers = answers or {}
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(at))
        self._socket.listen(4)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, suppress(OSError), connection.makefile("rb") as lines:
                connection.sendall(b'{"return": "left over from an earlier client"}\n')
                for line in lines:
                    self._one(connection, json.loads(line.rpartition(b"\xff")[2]))

    def _one(self, connection: socket.socket, message: dict[str, Any]) -> None:
        command = message["execute"]
        if command == "guest-sync-delimited":
            if "sync" not in self._answers:
                connection.sendall(b"\xff" + json.dumps({"return": message["arguments"]["id"]}).encode() + b"\n")
            return
        self.commands.append(command.removeprefix("guest-fsfreeze-").removeprefix("guest-"))
        self.on_command(command)
        answer = self._answers.get(command, self._good(command))
        if answer is not None:
            connection.sendall(json.dumps(answer).encode() + b"\n")

    def _good(self, command: str) -> dict[str, Any]:
        if command == "guest-fsfreeze-freeze":
            self.frozen = True
            return {"return": 2}
        if command == "guest-fsfreeze-thaw":
            self.frozen = False
            return {"return": 2}
        if command == "guest-fsfreeze-status":
            return {"return": "frozen" if self.frozen else "thawed"}
        return {"return": {}}
