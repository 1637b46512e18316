"""How our snapshots are told from others': by name and by what their description says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rehost.sources.vsphere._inventory import SnapshotEntry

PREFIX = "rehost-"
_MARK = "rehost"


def snapshot_name(run: str) -> str:
    """vCenter takes 80 characters."""
    return f"{PREFIX}{run}"[:80]


def description(run: str) -> str:
    return json.dumps({_MARK: 1, "run": run, "note": "made by rehost, which removes it when the run has ended"})


def run_of(entry: SnapshotEntry) -> str | None:
    """The run that made the snapshot; None where it is not one of ours."""
    if not entry.name.startswith(PREFIX):
        return None
    try:
        told = json.loads(entry.description)
    except ValueError:
        return None
    return str(told["run"]) if isinstance(told, dict) and _MARK in told and "run" in told else None


def is_ours(entry: SnapshotEntry) -> bool:
    return run_of(entry) is not None
