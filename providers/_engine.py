"""The provider process ends with the engine that started it."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time

INTERVAL = 2.0  # seconds between two looks
_watching = threading.Lock()


def end_with_engine() -> None:
    """Watch the engine's address, which it hands to every plugin as the first argument, and end once nobody listens there.

    An engine that is killed cannot end its plugins. Without this, what they are in the middle of (a launch, a wait for images) would go
    on beside the next `pulumi up`, and the processes would stay for good. Ending here is like being killed: the next
    update finds what was made by its token. Repeated calls are harmless.
    """
    address = _address(sys.argv)
    if address is not None and _watching.acquire(blocking=False):
        threading.Thread(target=_watch, args=(address,), name="engine-watch", daemon=True).start()


def _address(arguments: list[str]) -> tuple[str, int] | None:
    """The engine's host and port; None where this process was started in another way (a debugger, a test)."""
    host, separator, port = (arguments[1] if len(arguments) > 1 else "").rpartition(":")
    return (host, int(port)) if separator and host and port.isdigit() else None


def _watch(address: tuple[str, int]) -> None:
    refused = 0
    while refused < 2:
        time.sleep(INTERVAL)
        try:
            socket.create_connection(address, timeout=INTERVAL).close()
            refused = 0
        except ConnectionRefusedError:
            refused += 1
        except OSError:
            continue  # slow, or out of descriptors: that says nothing about the engine
    os._exit(1)
