"""Bandwidth limits: one a source and one a server, shared by all that this process copies, and read anew while it does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from rehost.control import ControlError, Job
from rehost.pacing import Limiter, Pause
from rehost.rates import bytes_per_second

log = structlog.get_logger("rehost.connector")

POLL_SECONDS = 1.0  # after which a changed limit holds


class Throttles:
    """Thread-safe. Connectors on other machines have their own: what a spec names holds for each process."""

    def __init__(self) -> None:
        self._limiters: dict[tuple[str, str], Limiter] = {}
        self._lock = threading.Lock()

    def set_from(self, job: Job) -> None:
        """Take over what the job's spec says now."""
        for key, text in ((_source(job), job.spec.source.get("throttle")), (_server(job), job.spec.throttle)):
            limiter = self._limiter(key)
            rate = bytes_per_second(str(text)) if text else None
            if limiter.rate != rate:
                limiter.set_rate(rate)
                log.info("bandwidth limit", of=key[0], name=key[1], limit=text or "none")

    def wait(self, job: Job, disk: str, count: int, pause: Pause) -> bool:
        """Until `count` bytes of a disk may be sent. Disks share the server's rate, servers that of their source."""
        return self._limiter(_server(job)).take(count, disk, pause) and self._limiter(_source(job)).take(
            count, job.id, pause
        )

    @contextmanager
    def following(self, job: Job, find: Callable[[str], Job | None]) -> Iterator[None]:
        """Keep the limits at what `find` says of the job, while the context is open."""
        done = threading.Event()

        def follow() -> None:
            while not done.wait(POLL_SECONDS):
                try:
                    now = find(job.id)
                except ControlError as error:  # the limits stay; whether the control plane is away, others say
                    log.debug("the bandwidth limits could not be read", error=str(error))
                    continue
                if now is not None:
                    self.set_from(now)

        self.set_from(job)
        thread = threading.Thread(target=follow, name=f"throttle-{job.id}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _limiter(self, key: tuple[str, str]) -> Limiter:
        with self._lock:
            return self._limiters.setdefault(key, Limiter())


def _source(job: Job) -> tuple[str, str]:
    return "source", f"{job.spec.stack}/{job.spec.source_name}"


def _server(job: Job) -> tuple[str, str]:
    return "server", f"{job.spec.stack}/{job.spec.server}"
