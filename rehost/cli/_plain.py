"""What the commands share that do without typer: `rehost status`, `rehost upload` and `rehost restore`.

typer builds its parameters with pydantic, which takes a quarter of a second of processor time to load: as much as half a
GiB takes to upload. These read their arguments with argparse and load nothing that they do not use.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

from rehost.blocks import BLOCK_SIZE
from rehost.errors import RehostError
from rehost.text import size, span

_TERMINAL_SECONDS = 0.2
_LOG_SECONDS = 10.0


def add_aws_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--region", help="the AWS region; default: the SDK's own settings")
    parser.add_argument("--profile", help="the AWS profile; default: the SDK's own settings")
    parser.add_argument("--endpoint", help="the endpoint of every service; AWS_ENDPOINT_URL_EBS sets that of EBS alone")
    parser.add_argument(
        "--in-flight",
        type=in_flight,
        default=128,
        metavar="N",
        help="blocks of 512 KiB in flight at most (128); as many as help are",
    )


def in_flight(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 256")
    return int(text)


def run(work: Callable[[], int]) -> int:
    """The exit code of `work`; an error that is ours is one line on standard error and exit code 1."""
    try:
        return work()
    except (RehostError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set, so that what is under way is cleaned up; a second one does not wait."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Meter:
    """How far a transfer is, on standard error: one line that moves on a terminal, a line every ten seconds elsewhere.

    `tell` may be called as often as one likes, from any thread.
    """

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self._moving = sys.stderr.isatty()
        self._every = _TERMINAL_SECONDS if self._moving else _LOG_SECONDS
        self._began = self._shown = time.monotonic()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._clear()

    def tell(self, done: int, total: int | None, moved: int) -> None:
        """Blocks done, of how many (None where nobody knows yet), and bytes that went over the network."""
        now = time.monotonic()
        if now - self._shown < self._every:
            return
        with self._lock:
            if now - self._shown < self._every:
                return
            self._shown = now
        seconds = now - self._began
        text = f"{self._verb} {size(done * BLOCK_SIZE)}"
        if total is not None:
            text += f" of {size(total * BLOCK_SIZE)}"
        text += f", {size(int(moved / seconds))}/s"
        if total is not None and done:
            text += f", {span(seconds * (total - done) / done)} left"
        self._clear()
        print(text, end="" if self._moving else "\n", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        self._clear()
        print(f"note: {text}", file=sys.stderr, flush=True)

    def _clear(self) -> None:
        if self._moving:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
