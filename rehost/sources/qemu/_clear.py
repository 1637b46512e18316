"""Taking back what a freeze made in QEMU. Everything here may be repeated, and finds by name what an earlier life made."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rehost.sources._errors import CommandRefused, SourceUnavailable
from rehost.sources.qemu import _agent, _names
from rehost.sources.qemu._machines import Machine
from rehost.sources.qemu._monitor import Monitor
from rehost.sources.qemu._scratch import Scratch

_SECONDS = 20.0  # a cancelled job or a closed export ends within milliseconds


def clear(monitor: Monitor, machine: Machine, scratch: Scratch) -> None:
    """Remove all that any freeze of ours left, but for the lasting bitmaps; thaw a guest that was left frozen.

    Raises SourceError; a retry is safe.
    """
    note = scratch.note()
    if note is not None and note.guest_frozen and machine.agent is not None:
        with suppress(_agent.AgentFailed):  # restarted since, perhaps: then nothing is frozen
            _agent.thaw(machine.agent)
    _remove_exports(monitor)
    if serves(scratch) and not monitor.execute("query-block-exports"):
        with suppress(CommandRefused):
            monitor.execute("nbd-server-stop")
    _end_jobs(monitor)
    _remove_nodes(monitor)
    for node, bitmaps in all_bitmaps(monitor).items():
        for bitmap in bitmaps:
            if _names.is_temporary(bitmap["name"]):
                remove_bitmap(monitor, node, bitmap["name"])
    scratch.remove()


def serves(scratch: Scratch) -> bool:
    """Whether an NBD server listens at our socket; QEMU has one server at most, and would not say where."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(str(scratch.socket)) == 0


def all_bitmaps(monitor: Monitor) -> dict[str, list[dict[str, Any]]]:
    """Block node -> its dirty bitmaps."""
    nodes = monitor.execute("query-named-block-nodes", flat=True)
    # A running job has one without a name.
    return {node["node-name"]: [each for each in node.get("dirty-bitmaps", []) if "name" in each] for node in nodes}


def remove_bitmap(monitor: Monitor, node: str, name: str) -> bool:
    """False where it is in use or gone."""
    try:
        monitor.execute("block-dirty-bitmap-remove", node=node, name=name)
    except CommandRefused:
        return False
    return True


def ours(monitor: Monitor, query: str, key: str) -> list[dict[str, Any]]:
    return [each for each in monitor.execute(query) if str(each[key]).startswith(_names.PREFIX)]


def _remove_exports(monitor: Monitor) -> None:
    def remaining() -> bool:
        exports = ours(monitor, "query-block-exports", "id")
        for export in exports:
            if not export["shutting-down"]:
                with suppress(CommandRefused):
                    monitor.execute("block-export-del", id=export["id"], mode="hard")
        return bool(exports)

    _until_gone(remaining, "its exports do not end")


def _end_jobs(monitor: Monitor) -> None:
    def remaining() -> bool:
        jobs = ours(monitor, "query-jobs", "id")
        for job in jobs:
            command = "job-dismiss" if job["status"] == "concluded" else "job-cancel"
            with suppress(CommandRefused):  # it has just gone on to its next state
                monitor.execute(command, id=job["id"])
        return bool(jobs)

    _until_gone(remaining, "its backup jobs do not end")


def _remove_nodes(monitor: Monitor) -> None:
    """The scratch files' nodes; a node goes only after the one above it."""

    def remaining() -> bool:
        nodes = [name for name in all_bitmaps(monitor) if name.startswith(_names.PREFIX)]
        for name in sorted(nodes, reverse=True):
            with suppress(CommandRefused):
                monitor.execute("blockdev-del", node_name=name)
        return bool(nodes)

    _until_gone(remaining, "its scratch nodes cannot be removed")


def _until_gone(remaining: Callable[[], bool], problem: str) -> None:
    deadline = time.monotonic() + _SECONDS
    pause = 0.002
    while remaining():
        if time.monotonic() > deadline:
            raise SourceUnavailable(place="QEMU", reason=f"{problem}; `query-jobs` and `query-block-exports` say more")
        time.sleep(pause)
        pause = min(0.1, pause * 2)
