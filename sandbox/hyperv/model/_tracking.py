"""Resilient Change Tracking of one virtual disk: which grains were written since an id was given out."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

GRAIN = 64 * 1024  # bytes


class UnknownTrackingId(Exception):
    pass


class Tracker:
    """Writes belong to epochs; an id and the freezing of a file each begin a new one."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._epochs: list[set[int]] = [set()]
        self._ids: dict[str, int] = {}

    def wrote(self, offset: int, length: int) -> None:
        if length > 0:
            self._epochs[-1].update(range(offset // GRAIN, (offset + length - 1) // GRAIN + 1))

    def mark(self) -> str:
        """An id for now."""
        self._epochs.append(set())
        made = f"rctX:{uuid.uuid4()}:{uuid.uuid4()}:00000000"
        self._ids[made] = len(self._epochs) - 1
        return made

    def mark_at(self, epoch: int) -> str:
        """An id for the moment at which a file was frozen."""
        made = self.mark()
        self._ids[made] = epoch
        return made

    def freeze(self) -> int:
        """The epoch that a file which is frozen now does not see any more."""
        self._epochs.append(set())
        return len(self._epochs) - 1

    def forget(self, identifier: str) -> None:
        self._ids.pop(identifier, None)

    def reset(self) -> None:
        """The tracking files were lost: no id is known any more."""
        self._ids.clear()

    def changed(self, since: str, until: int | None, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Ranges within what is asked, of content frozen at epoch `until` (None: now). Raises UnknownTrackingId."""
        if since not in self._ids:
            raise UnknownTrackingId(since)
        grains = sorted(set().union(*self._epochs[self._ids[since] : until]))
        begin = end = -1
        for grain in grains:
            start, stop = max(grain * GRAIN, offset), min((grain + 1) * GRAIN, offset + length, self.size)
            if start >= stop:
                continue
            if start == end:
                end = stop
                continue
            if end > begin:
                yield begin, end - begin
            begin, end = start, stop
        if end > begin:
            yield begin, end - begin
