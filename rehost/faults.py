"""Named points at which a test can make this process fail, as dbos-transact-py has them.

`REHOST_FAULT="image-made:kill"` kills the process (SIGKILL, nothing is flushed or cleaned up) when it passes the point
`image-made`; `copy-piece@3:kill` does so the third time; `snapshot-started:error` raises there instead. Several are joined
by commas. Unset, a point costs one look into an empty mapping.
"""

from __future__ import annotations

import os
import signal
import threading

from rehost.errors import RehostError

#: Every point that a run passes. A test holds that each stands in the code exactly once; `docs/operations.md` says what follows.
POINTS = (
    "run-claimed",
    "frozen",
    "snapshot-started",
    "copy-piece",
    "copied",
    "snapshot-complete",
    "released",
    "image-made",
    "spread",
    "run-recorded",
)
#: The same of a power request.
POWER_POINTS = ("power-taken", "power-found", "power-done")


class InjectedFault(RehostError):
    """Raised by a point armed with `error`; never seen outside tests."""

    template = "the fault point {point} was armed by REHOST_FAULT"


def _parse(text: str) -> dict[str, tuple[int, str]]:
    armed = {}
    for entry in filter(None, text.split(",")):
        name, _, action = entry.partition(":")
        name, _, nth = name.partition("@")
        if name not in POINTS + POWER_POINTS or action not in ("kill", "error"):
            raise RehostError(
                detail=f"REHOST_FAULT: {entry!r} is not POINT[@N]:kill|error with a point of {', '.join(POINTS + POWER_POINTS)}"
            )
        armed[name] = (int(nth or 1), action)
    return armed


_armed = _parse(os.environ.get("REHOST_FAULT", ""))
_passed: dict[str, int] = {}
_lock = threading.Lock()


def point(name: str) -> None:
    """Pass the named point; fail there if it is armed."""
    if not _armed or name not in _armed:
        return
    nth, action = _armed[name]
    with _lock:
        _passed[name] = passed = _passed.get(name, 0) + 1
    if passed != nth:
        return
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    raise InjectedFault(point=name)
