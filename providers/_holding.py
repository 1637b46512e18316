"""One at a time: who cuts an application over holds it, and whoever comes second is refused, unless the first is dead."""

from __future__ import annotations

import getpass
import os
import socket
import time
from collections.abc import Callable
from typing import TypeVar

from providers._provider import ProviderError
from rehost.control import ApplicationHeld, ControlPlane

T = TypeVar("T")
LEASE_SECONDS = 30.0
RENEW_SECONDS = 5.0
POLL_SECONDS = 0.5


def me() -> str:
    """This process, for a person."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = f"user {os.getuid()}"
    return f"{user}@{socket.gethostname()}, process {os.getpid()}"


def once_free(name: str, call: Callable[[], T]) -> T:
    """`call`, again and again while somebody holds the application; ProviderError once that somebody shows to be alive.

    A dead holder's lease stands still until it ends. No two clocks are compared: that a lease moves on is all that is looked at.
    """
    seen = None
    while True:
        try:
            return call()
        except ApplicationHeld as held:
            until = held.attributes["until"]
            if seen is None:
                print(f"{name}: {held}; waiting to see whether that still goes on", flush=True)
            elif until != seen:
                raise ProviderError(
                    detail=f"{held}: wait for the end of that, then `pulumi refresh` and `pulumi up`"
                ) from None
            seen = until
        time.sleep(POLL_SECONDS)


class Lease:
    """Held from `take` to `release`; `keep` renews it now and then."""

    def __init__(self, control: ControlPlane, stack: str, name: str) -> None:
        self._control, self._stack, self._name = control, stack, name
        self._holder = me()
        self._renewed = 0.0

    def take(self) -> None:
        once_free(self._name, self._renew)

    def keep(self) -> None:
        """Raises `ApplicationHeld` where it was lost."""
        if time.monotonic() - self._renewed > RENEW_SECONDS:
            self._renew()

    def release(self) -> None:
        self._control.applications.release(self._stack, self._name, self._holder)

    def _renew(self) -> None:
        self._control.applications.lease(self._stack, self._name, self._holder, seconds=LEASE_SECONDS)
        self._renewed = time.monotonic()
