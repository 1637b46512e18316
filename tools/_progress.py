"""Calm progress on stderr: one rewritten line a step on a terminal, a line now and then in a pipe."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_HEARTBEAT_SECONDS = 20.0  # in a pipe; CI systems take silence for death
_REDRAW_SECONDS = 0.1


class Progress:
    """Says what is being done. stdout stays free for what a command is asked for."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self.terminal = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._colour = self.terminal and "NO_COLOR" not in os.environ

    @contextmanager
    def step(self, title: str, estimate: str = "") -> Iterator[Step]:
        """One step of work, with an honest word on how long it takes. An exception marks it as failed."""
        step = Step(self, title, estimate)
        try:
            yield step
        except BaseException:
            step.finish(self.paint("31", "failed"))
            raise
        step.finish(self.paint("32", "done"))

    def say(self, text: str) -> None:
        self._write(text + "\n")

    def warn(self, text: str) -> None:
        self._write(self.paint("33", text) + "\n")

    def paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class Step:
    def __init__(self, progress: Progress, title: str, estimate: str) -> None:
        self._progress = progress
        self._title = title
        self._started = self._drawn = time.monotonic()
        self._detail = ""
        hint = progress.paint("2", f"  {estimate}") if estimate else ""
        progress._write(f"{progress.paint('36', '›')} {title}{hint}\n")

    def update(self, detail: str = "") -> None:
        """Say where the step stands; call it as often as you like, at least once a second while waiting."""
        self._detail = detail or self._detail
        now = time.monotonic()
        if now - self._drawn < (_REDRAW_SECONDS if self._progress.terminal else _HEARTBEAT_SECONDS):
            return
        self._drawn = now
        line = f"  {self._elapsed():>5}  {self._detail}"
        if self._progress.terminal:
            width = os.get_terminal_size(self._progress._stream.fileno()).columns
            self._progress._write(f"\r\x1b[2K{self._progress.paint('2', line[: width - 1])}")
        else:
            self._progress._write(line + "\n")

    def finish(self, word: str) -> None:
        erase = "\r\x1b[2K" if self._progress.terminal else ""
        self._progress._write(f"{erase}  {self._elapsed():>5}  {word}\n")

    def _elapsed(self) -> str:
        seconds = int(time.monotonic() - self._started)
        return f"{seconds // 60}:{seconds % 60:02}"
