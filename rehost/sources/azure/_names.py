"""Ids of Azure's resources, and the names and tags by which ours are told from others'."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

PREFIX = "rehost-"
#: Tags of what we make. Azure compares their names without regard to case.
RUN, SERVER, MACHINE, DISK, STATE, CONSISTENCY = (
    f"rehost-{each}" for each in ("run", "server", "machine", "disk", "state", "consistency")
)
#: Values of STATE: a run reads it, or it stays for the next run's difference alone.
OPEN, KEPT = "open", "kept"
_ID = re.compile(r"/subscriptions/([^/]+)/resourceGroups/([^/]+)/providers/([^/]+/[^/]+)/([^/]+)(/.*)?", re.IGNORECASE)
_LONGEST = 80  # characters of a snapshot's or a restore point's name


@dataclass(frozen=True)
class ResourceId:
    subscription: str
    group: str
    type: str  # Microsoft.Compute/virtualMachines
    name: str

    @classmethod
    def parse(cls, text: str) -> ResourceId | None:
        found = _ID.fullmatch(text)
        return cls(found[1], found[2], found[3], found[4]) if found and not found[5] else None


def same(one: str, other: str) -> bool:
    """Azure's ids and names have no case, and it answers with another one than it was asked with."""
    return one.lower() == other.lower()


def digest(resource_id: str) -> str:
    """Eight characters that stand for a resource in names and tags."""
    return hashlib.sha256(resource_id.lower().encode()).hexdigest()[:8]


def snapshot_name(run: str, key: str, machine_id: str) -> str:
    return _fit(PREFIX + run, f"-{key}-{digest(machine_id)}")


def collection_name(machine: str, machine_id: str) -> str:
    """Of restore points: one a machine."""
    return _fit(PREFIX + machine, f"-{digest(machine_id)}")


def point_name(run: str, machine_id: str) -> str:
    return _fit(PREFIX + run, f"-{digest(machine_id)}")


def last(resource_id: str) -> str:
    return resource_id.rpartition("/")[2]


def _fit(start: str, end: str) -> str:
    """Letters, digits, dots, dashes and underscores are what such names may hold."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", start)[: _LONGEST - len(end)] + end
