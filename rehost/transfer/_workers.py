"""Threads that draw items from one iterator; the first failure, or a stop, halts them all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Generic, Self, TypeVar

from rehost.blocks import BLOCK_SIZE
from rehost.transfer._protocol import StopSignal

Item = TypeVar("Item")
Buffer = TypeVar("Buffer")

_POLL = 0.1  # seconds between looks at the caller's stop signal while there is nothing else to wake up for


def block_buffer() -> bytearray:
    """Room for a block.

    A bytearray because comparing one with bytes is a memcmp, some hundred times faster than comparing a memoryview
    (13 us against 1.6 ms a zero block).
    """
    return bytearray(BLOCK_SIZE)


class Workers(Generic[Item, Buffer]):
    """Runs `task(item, buffer)` for every item, in `count` threads, each with a buffer of its own, which `buffer` makes.

    As a context manager: entering starts the threads, leaving halts and joins them, so that no task runs afterwards.
    """

    def __init__(
        self,
        items: Iterable[Item],
        task: Callable[[Item, Buffer], None],
        *,
        buffer: Callable[[], Buffer],
        count: int,
        name: str,
    ) -> None:
        #: Guards what tasks and the caller share; notified by `halt`, and by tasks as they see fit.
        lock = threading.RLock()
        self.changed = threading.Condition(lock)
        self._room = threading.Condition(lock)  # the same lock: where threads beyond the allowed number wait
        self.halted = False
        self._items = iter(items)
        self._draw = threading.Lock()
        self._task = task
        self._buffer = buffer
        self._name = name
        self._failure: BaseException | None = None
        self._allowed = count
        self._exhausted = False
        self._running = 0
        self._started = False
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        # Tasks begin here, before `as` has bound a name: one that uses its Workers needs it bound earlier.
        with self.changed:
            self._started = True
            self._spawn()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.halt()
        for thread in self._threads:
            thread.join()

    def allow(self, count: int) -> None:
        """From now on `count` tasks run at once; called under `changed`. Threads beyond it wait after their task."""
        grown = count > self._allowed
        self._allowed = count
        if grown and not self.halted and not self._exhausted:
            self._room.notify_all()
            self._spawn()

    def halt(self, failure: BaseException | None = None) -> None:
        """No task begins any more. The first failure is the one that `wait` raises."""
        with self.changed:
            self.halted = True
            if self._failure is None:
                self._failure = failure
            self.changed.notify_all()
            self._room.notify_all()

    def wait(self, done: Callable[[], bool], stop: StopSignal | None) -> bool:
        """Until `done()`, True; or until `stop` is set, False. Raises the first failure of a task."""
        with self.changed:
            while self._failure is None and not done():
                if stop is not None and stop.is_set():
                    return False
                self.changed.wait(None if stop is None else _POLL)
        if self._failure is not None:
            raise self._failure
        return True

    def wait_all(self, stop: StopSignal | None) -> bool:
        """`wait` until every item is done."""
        return self.wait(lambda: self._running == 0, stop)

    def pause(self, seconds: float) -> bool:
        """Sleep within a task; returns at once, False, when the workers are halted."""
        with self.changed:
            return not self.changed.wait_for(lambda: self.halted, seconds)

    def _spawn(self) -> None:
        while self._started and len(self._threads) < self._allowed:
            thread = threading.Thread(
                target=self._run, args=(len(self._threads),), name=f"{self._name}-{len(self._threads)}", daemon=True
            )
            self._threads.append(thread)
            self._running += 1
            thread.start()

    def _run(self, ordinal: int) -> None:
        buffer = self._buffer()
        try:
            while not self.halted:
                if ordinal >= self._allowed and not self._await_room(ordinal):
                    break
                try:
                    with self._draw:
                        item = next(self._items)
                except StopIteration:
                    break
                if not self.halted:
                    self._task(item, buffer)
        except BaseException as error:
            self.halt(error)
        finally:
            with self.changed:
                self._exhausted = True
                self._running -= 1
                self.changed.notify_all()
                self._room.notify_all()

    def _await_room(self, ordinal: int) -> bool:
        with self.changed:
            self._room.wait_for(lambda: ordinal < self._allowed or self.halted or self._exhausted)
            return not self.halted and not self._exhausted
