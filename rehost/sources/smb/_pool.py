"""The connections to one share: made when they are needed, used by one reader at a time, thrown away when they fail."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from rehost.sources.smb._status import LOST, ChannelLost, StatusError

if TYPE_CHECKING:
    from rehost.sources.smb._channel import Channel


class PoolClosed(Exception):
    """Whoever reads was overtaken by the end of it."""


class Pool:
    def __init__(self, connect: Callable[[], Channel], limit: int) -> None:
        self._connect = connect
        self._limit = limit
        self._changed = threading.Condition()
        self._idle: list[Channel] = []
        self._busy: set[Channel] = set()
        self._connecting = 0
        self._closed = False
        self.served = False  # a connection has been made once

    @contextmanager
    def use(self, deadline: float) -> Iterator[Channel]:
        """A channel, when one is free. Raises ChannelLost after `deadline` (of time.monotonic), and what `connect` raises."""
        channel = self._take(deadline)
        healthy = False
        try:
            yield channel
            healthy = True
        except StatusError as error:
            healthy = error.status not in LOST
            raise
        finally:
            self._give_back(channel, healthy=healthy)

    def forget(self, owner: Hashable) -> None:
        """Close the handles of `owner`: at once on idle channels, on the others when they come back."""
        with self._changed:
            for channel in self._busy:
                channel.forget.add(owner)
            mine = [channel for channel in self._idle if owner in channel.handles]
            for channel in mine:
                self._idle.remove(channel)
                channel.forget.add(owner)
            self._busy.update(mine)
        healthy = True
        for channel in mine:
            # Where one server does not answer, the next channel to it would take as long to say so.
            healthy = self._give_back(channel, healthy=healthy)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            idle, self._idle = self._idle, []
            for channel in self._busy:
                channel.shut()
            self._changed.notify_all()
        polite = True
        for channel in idle:
            if polite:
                try:
                    channel.log_off()
                except StatusError:
                    pass
                except ChannelLost:
                    polite = False
            channel.close()

    def _take(self, deadline: float) -> Channel:
        with self._changed:
            while True:
                if self._closed:
                    raise PoolClosed
                if self._idle:
                    channel = self._idle.pop()
                    self._busy.add(channel)
                    return channel
                if len(self._busy) + self._connecting < self._limit:
                    self._connecting += 1
                    break
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    raise ChannelLost("no connection to it became free in time")
        try:
            made = self._connect()
        except BaseException:
            self._settle(None)
            raise
        if not self._settle(made):
            made.close()
            raise PoolClosed
        return made

    def _settle(self, made: Channel | None) -> bool:
        """An attempt to connect has ended; whether its channel is still wanted."""
        with self._changed:
            self._connecting -= 1
            if made is not None and not self._closed:
                self._busy.add(made)
                self.served = True
            self._changed.notify()
            return not self._closed

    def _give_back(self, channel: Channel, *, healthy: bool) -> bool:
        """Whether it can be used further."""
        while healthy:
            with self._changed:
                if not channel.forget:
                    healthy = not self._closed
                    if healthy:
                        self._busy.discard(channel)
                        self._idle.append(channel)
                        self._changed.notify()
                        return True
                    break
                owners, channel.forget = channel.forget, set()
            for owner in owners:
                if (handle := channel.handles.pop(owner, None)) is not None:
                    try:
                        with suppress(StatusError):
                            channel.close_file(handle)
                    except ChannelLost:
                        healthy = False
        with self._changed:
            self._busy.discard(channel)
            self._changed.notify()
        channel.close()
        return False
