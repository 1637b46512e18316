"""The present state for whoever asks: looked at when somebody does, and not more often than it can bear."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC

from rehost.errors import RehostError
from rehost.report._html import Markup
from rehost.report._look import Past, Report
from rehost.report._page import digest, sections
from rehost.report._server_section import past

#: Looking takes at most this share of a processor, however many ask.
_SHARE = 0.2
_LONGEST = 30.0  # seconds between two looks


@dataclass(frozen=True)
class Shown:
    """What was seen at one moment. `message`: why it is older than it should be."""

    report: Report
    sections: Mapping[str, Markup]
    digests: Mapping[str, str]
    moment: str
    every: float
    message: str | None = None


class Live:
    """Thread-safe. `look` reads the state, `pasts` what some servers went through; both may raise RehostError."""

    def __init__(
        self,
        look: Callable[[], Report],
        pasts: Callable[[Report, str], Past],
        *,
        every: float,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look, self._pasts, self._every, self._elapsed = look, pasts, every, elapsed
        self._lock = threading.Lock()
        self._shown: Shown | None = None
        self._fresh_until = 0.0

    def shown(self) -> Shown:
        """As fresh as `every` seconds. While one looks, others get what there is. Raises what the very first look raises."""
        present = self._shown
        if present is not None and (self._elapsed() < self._fresh_until or self._lock.locked()):
            return present
        with self._lock:
            if self._shown is not None and self._elapsed() < self._fresh_until:
                return self._shown
            self._shown = self._seen()
            return self._shown

    def _seen(self) -> Shown:
        used = time.thread_time()
        try:
            report = self._look()
        except RehostError as error:
            if self._shown is None:
                raise
            self._fresh_until = self._elapsed() + self._every
            old = self._shown
            return Shown(old.report, old.sections, old.digests, old.moment, old.every, f"Not up to date: {error}")
        parts = sections(report, None)
        every = min(max(self._every, (time.thread_time() - used) / _SHARE), _LONGEST)
        self._fresh_until = self._elapsed() + every
        digests = {name: digest(part) for name, part in parts.items()}
        return Shown(report, parts, digests, f"{report.now.astimezone(UTC):%Y-%m-%d %H:%M:%S}", every)

    def history(self, server: str) -> Markup | None:
        """What one server went through; None where there is none of that name. Raises RehostError."""
        report = self.shown().report
        view = next((each for each in report.servers if each.name == server), None)
        return past(report, view, self._pasts(report, server)) if view else None
