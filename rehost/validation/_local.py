"""A command of the machine where `pulumi` runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from rehost.validation._check import Check, Target, Tried
from rehost.validation._guard import NOT_STARTED
from rehost.validation._output import OUTPUT_CHARACTERS, line_of

_GUARD = Path(__file__).with_name("_guard.py")
#: Bytes of its output that are held while it runs: the end of it.
_HELD = 4 * OUTPUT_CHARACTERS
_LINGERING = 2.0  # seconds
#: What a command has no business with: Pulumi's own secrets, and the URL of the control plane, which may hold a password.
_KEPT_BACK = re.compile(r"^(PULUMI_.*|REHOST_DATABASE)$")


def local_command(check: Check, target: Target, seconds: float, *, root: Path, context: Mapping[str, str]) -> Tried:
    """Run it in the folder `root`; it has succeeded with exit code 0. `context` joins its environment.

    No shell reads it unless the check says `shell`. At its timeout, and when this process ends, the command and all that it
    started are killed.
    """
    words = list(check.settings["run"]) if "run" in check.settings else ["/bin/sh", "-c", check.settings["shell"]]
    environment = {name: value for name, value in os.environ.items() if not _KEPT_BACK.match(name)}
    environment |= context
    environment |= {
        "REHOST_CHECK": check.name,
        "REHOST_SERVER": target.server,
        "REHOST_INSTANCE_ID": target.instance_id,
        "REHOST_PRIVATE_ADDRESS": target.private_address or "",
        "REHOST_PUBLIC_ADDRESS": target.public_address or "",
    }
    guarded = [sys.executable, "-I", str(_GUARD), *words]
    with subprocess.Popen(
        guarded, cwd=root, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdin is not None  # noqa: S101 - they are pipes
        assert process.stdout is not None  # noqa: S101
        tail = _Tail(process.stdout)
        try:
            code: int | None = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            code = None
        process.stdin.close()  # the guard ends everything
        process.wait()
        output = tail.text()
    shown = " ".join(words[:1]) if "run" in check.settings else "the shell line"
    if code is None:
        return Tried(False, f"{shown} had not ended after {seconds:.0f} s and was killed", output, final=True)
    if code == NOT_STARTED:
        return Tried(False, f"{shown} cannot be run: {line_of(output)}", output, final=True)
    if code:
        said = line_of(output)
        return Tried(False, f"{shown} ended with exit code {code}" + (f": {said}" if said else ""), output)
    return Tried(True, f"{shown} ended with exit code 0", output)


class _Tail:
    """Reads a pipe to its end, and keeps the end of it."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._kept = b""
        self._left_out = 0
        self._thread = threading.Thread(target=self._read, args=(pipe,), daemon=True)
        self._thread.start()

    def text(self) -> str:
        self._thread.join(_LINGERING)  # a process that left its group may hold the pipe for ever
        text = self._kept.decode("utf-8", "replace")
        return f"[{self._left_out} bytes left out]\n{text}" if self._left_out else text

    def _read(self, pipe: IO[bytes]) -> None:
        descriptor = pipe.fileno()
        while piece := os.read(descriptor, 65536):
            joined = self._kept + piece
            self._left_out += max(0, len(joined) - _HELD)
            self._kept = joined[-_HELD:]
