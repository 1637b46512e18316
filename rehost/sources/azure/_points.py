"""Points in time of a machine: found by name and tags, told apart, kept and removed. `_taking.py` makes them.

What a run reads is OPEN; when it is released it is KEPT, for the next run's difference, until nobody will ask for it any more.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from rehost.sources._errors import SourceUnavailable
from rehost.sources.azure import _access
from rehost.sources.azure._client import Client
from rehost.sources.azure._errors import CallRefused, OperationTimedOut, ResourceGone
from rehost.sources.azure._inventory import COMPUTE, DISKS
from rehost.sources.azure._names import (
    CONSISTENCY,
    DISK,
    KEPT,
    MACHINE,
    PREFIX,
    RUN,
    STATE,
    collection_name,
    digest,
    last,
    point_name,
    same,
)
from rehost.sources.azure._positions import Position, restore_point_of
from rehost.sources.azure._records import Json

log = structlog.get_logger("rehost.sources.azure")

#: Seconds between attempts to remove something: another operation may hold it for a while.
REMOVE_DELAYS = (0.5, 2.0, 8.0)
#: An open point that is older belongs to nobody any more: no run takes that long to be taken up again.
STALE = 24 * 3600.0  # seconds
#: At most so many are kept for differences at a machine, whatever could not be removed.
MOST_KEPT = 8


@dataclass(frozen=True)
class Place:
    """Where the points in time of a machine are."""

    machine: str  # its id
    name: str
    group: str  # path of the resource group: /subscriptions/.../resourceGroups/...
    location: str

    @property
    def collection(self) -> str:
        """The id of its restore points' collection."""
        name = collection_name(self.name, self.machine)
        return f"{self.group}/providers/Microsoft.Compute/restorePointCollections/{name}"

    @property
    def snapshots(self) -> str:
        return f"{self.group}/providers/Microsoft.Compute/snapshots"


@dataclass(frozen=True)
class Point:
    """One point in time of ours. `snapshots`: key -> snapshot; or a restore point."""

    run: str  # or, of a restore point, what its name has of it
    created: float  # seconds since 1970
    kept: bool
    restore_point: str = ""
    snapshots: Mapping[str, Json] | None = None
    collection_tags: Mapping[str, str] | None = None

    def is_of(self, run: str) -> bool:
        return same(self.run, run) or same(self.run, _run_in(point_name(run, "")))

    @property
    def ids(self) -> Sequence[str]:
        if self.snapshots is None:
            return [self.restore_point]
        return [str(each.get("id")) for each in self.snapshots.values()]

    @property
    def consistency(self) -> str:
        found = [tags_of(each).get(CONSISTENCY, "") for each in (self.snapshots or {}).values()]
        return found[0] if found else ""


def place_of(client: Client, machine_id: str, name: str, group: str, location: str) -> Place:
    group = client.config.snapshot_resource_group or group
    return Place(machine_id, name, f"/subscriptions/{client.config.subscription}/resourceGroups/{group}", location)


def listed(client: Client, place: Place) -> list[Point]:
    """Ours at this machine, the oldest first."""
    return sorted([*_snapshots(client, place), *_restore_points(client, place)], key=lambda each: each.created)


def collection(client: Client, place: Place) -> Json | None:
    try:
        return client.get(place.collection, COMPUTE, "asking for restore points", **{"$expand": "restorePoints"})
    except ResourceGone:
        return None


def _snapshots(client: Client, place: Place) -> Iterable[Point]:
    runs: dict[tuple[str, bool], dict[str, Json]] = {}
    for each in client.pages(place.snapshots, DISKS, "listing snapshots"):
        tags = tags_of(each)
        if tags.get(MACHINE) == digest(place.machine) and RUN in tags and DISK in tags:
            runs.setdefault((tags[RUN], tags.get(STATE) == KEPT), {})[tags[DISK]] = each
    for (run, kept), found in runs.items():
        created = min(created_of(each) for each in found.values())
        yield Point(run, created, kept, snapshots=found)


def _restore_points(client: Client, place: Place) -> Iterable[Point]:
    found = collection(client, place)
    if found is None:
        return
    tags = tags_of(found)
    for each in (found.get("properties") or {}).get("restorePoints") or ():
        name = last(str(each.get("id") or each.get("name") or ""))
        if name.startswith(PREFIX):
            kept = tags.get(f"{KEPT_TAG}{digest(name)}") == KEPT
            point_id = f"{place.collection}/restorePoints/{name}"
            yield Point(_run_in(name), created_of(each), kept, restore_point=point_id, collection_tags=tags)


def _run_in(name: str) -> str:
    """What a restore point's name has of its run: without the prefix, and the digest at its end."""
    return name.removeprefix(PREFIX).rpartition("-")[0]


#: Restore points have no tags: their collection has one for each that is kept.
KEPT_TAG = "rehost-point-"


def tags_of(resource: Json) -> dict[str, str]:
    """With their names in lower case: Azure keeps the case of whoever wrote first."""
    return {str(key).lower(): str(value) for key, value in (resource.get("tags") or {}).items()}


def created_of(resource: Json) -> float:
    return seconds((resource.get("properties") or {}).get("timeCreated"))


def seconds(text: object) -> float:
    """Of a time such as 2026-11-25T21:00:00.1234567+00:00, since 1970; now where there is none yet."""
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return time.time()


def keep(client: Client, place: Place, run: str) -> None:
    """Say of an open point that no run reads it any more. One that is gone already is fine."""
    for point in listed(client, place):
        if not point.is_of(run) or point.kept:
            continue
        if point.snapshots is not None:
            for each in point.snapshots.values():
                _retag(client, str(each.get("id")), DISKS, {**tags_of(each), STATE: KEPT})
            continue
        known = {each.restore_point for each in listed(client, place)}
        wanted = {f"{KEPT_TAG}{digest(last(each))}" for each in known}
        tags = {k: v for k, v in (point.collection_tags or {}).items() if not k.startswith(KEPT_TAG) or k in wanted}
        tags[f"{KEPT_TAG}{digest(last(point.restore_point))}"] = KEPT
        _retag(client, place.collection, COMPUTE, tags)


def _retag(client: Client, resource: str, version: str, tags: Mapping[str, str]) -> None:
    try:
        client.call("PATCH", resource, version, f"marking {last(resource)}", {"tags": dict(tags)})
    except ResourceGone:
        log.info("it is gone already", resource=last(resource))


def remove(client: Client, ids: Iterable[str]) -> None:
    """Remove snapshots and restore points of ours; those that are gone are fine. Raises SourceUnavailable after some attempts."""
    for each in ids:
        _remove(client, each)


def _remove(client: Client, resource: str) -> None:
    snapshot = "/restorepoints/" not in resource.lower()
    version = DISKS if snapshot else COMPUTE
    refusal: Exception | None = None
    for delay in (*REMOVE_DELAYS, None):
        try:
            client.call("DELETE", resource, version, f"removing {last(resource)}")
            return
        except ResourceGone:
            return
        except (CallRefused, OperationTimedOut) as error:
            refusal = error
            log.warning("a point in time cannot be removed yet", resource=last(resource), reason=str(error))
        if delay is not None:
            if snapshot:
                _access.end(client, resource)  # while somebody may read it, it stays
            time.sleep(delay)
    advice = "remove it in the portal; the next run tries again"
    raise SourceUnavailable(place=client.config.place, reason=f"{last(resource)} stays: {refusal}; {advice}")


def forget(client: Client, positions: Sequence[Position]) -> None:
    """Remove what was kept for differences since these positions, where it is kept still, and is what they mean."""
    points = {point for each in positions if (point := restore_point_of(each.resource))}
    for point in points:
        collection_id = point[: point.lower().rindex("/restorepoints/")]
        if tags_of(_there(client, collection_id, COMPUTE) or {}).get(f"{KEPT_TAG}{digest(last(point))}") == KEPT:
            remove(client, [point])
            remove_empty_collection(client, collection_id)
    for each in positions:
        if not restore_point_of(each.resource):
            found = _there(client, each.resource, DISKS)
            told = (found or {}).get("properties") or {}
            stamps = (str(told.get("uniqueId") or ""), str(told.get("timeCreated") or ""))
            if found is not None and each.stamp in stamps and tags_of(found).get(STATE) == KEPT:
                remove(client, [each.resource])


def _there(client: Client, resource: str, version: str) -> Json | None:
    try:
        return client.get(resource, version, f"asking for {last(resource)}")
    except ResourceGone:
        return None


def remove_empty_collection(client: Client, collection_id: str) -> None:
    try:
        found = client.get(collection_id, COMPUTE, "asking for restore points", **{"$expand": "restorePoints"})
        if not (found.get("properties") or {}).get("restorePoints"):
            client.call("DELETE", collection_id, COMPUTE, "removing an empty collection of restore points")
    except (ResourceGone, CallRefused) as error:
        log.info("the collection of restore points stays", resource=last(collection_id), reason=str(error))


def remove_stale(client: Client, points: Sequence[Point], run: str, now: float) -> None:
    """Remove what runs have left open long ago, and the oldest of too many that are kept."""
    kept = [each for each in points if each.kept]
    for point in points:
        too_many = point.kept and point in kept[: max(0, len(kept) - MOST_KEPT)]
        stale = not point.kept and not point.is_of(run) and now - point.created > STALE
        if stale or too_many:
            log.warning("removing a point in time that an earlier run left behind", run=point.run)
            remove(client, point.ids)
