"""Runs a long program, line by line, without ever leaving it behind."""

from __future__ import annotations

import queue
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tools._errors import SetupError

_KEPT_LINES = 15  # of a failed program's output, for the message


def watch(
    command: Sequence[str | Path],
    *,
    on_line: Callable[[str], None] = lambda _: None,
    on_idle: Callable[[], None] = lambda: None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    todo: Sequence[str] = (),
) -> None:
    """Run `command` to its end. `on_line` gets each line of its output, `on_idle` is called every second without one.

    Raises `SetupError` with the end of its output, and `todo`, where it fails. What ends this call ends the program.
    """
    kept: deque[str] = deque(maxlen=_KEPT_LINES)
    try:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise SetupError(what=f"{command[0]} cannot be run: {error.strerror}", todo=todo) from error
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    reader = threading.Thread(target=_pump, args=(process, lines), daemon=True)
    reader.start()
    try:
        while True:
            try:
                line = lines.get(timeout=1)
            except queue.Empty:
                on_idle()
                continue
            if line is None:
                break
            kept.append(line)
            on_line(line)
        code = process.wait()
    finally:
        process.terminate()  # does nothing to one that has ended
        process.wait()
        # A grandchild may hold the pipe open for longer; it is not waited for.
        reader.join(timeout=1)
        if process.stdout and not reader.is_alive():
            process.stdout.close()
    if code != 0:
        raise SetupError(what=f"{Path(command[0]).name} ended with exit code {code}:", todo=[*kept, *todo])


def _pump(process: subprocess.Popen[str], lines: queue.SimpleQueue[str | None]) -> None:
    for line in process.stdout or ():
        lines.put(line.rstrip())
    lines.put(None)


def ask(
    *command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None, seconds: float = 30
) -> str:
    """The trimmed output of a short program; empty where it is missing, fails, or takes longer than `seconds`."""
    try:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
