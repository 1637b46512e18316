"""What a change costs: once for the blocks that are sent, and each month before and after. Figures of a price table, no bill."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rehost.blocks import BLOCK_SIZE
from rehost.plan._known import Known, KnownServer
from rehost.plan._movement import Movement
from rehost.plan._preview import Resource
from rehost.plan._prices import Prices, RegionPrices
from rehost.text import named

GIB = 1 << 30
#: What an image's volumes are unless a launch config says otherwise (rehost.aws, RegisterImage).
_VOLUME = "gp3"
PARTS = ("instances", "volumes", "snapshots", "blocks")


@dataclass(frozen=True)
class Monthly:
    """By part of `PARTS`, in the table's currency. `lacks` says what is not in the sums."""

    parts: Mapping[str, float] = field(default_factory=dict)
    lacks: frozenset[tuple[str, str]] = frozenset()  # what, and of which server

    @property
    def total(self) -> float:
        return sum(self.parts.values(), 0.0)

    def __add__(self, other: Monthly) -> Monthly:
        return Monthly(
            {part: self.parts.get(part, 0.0) + other.parts.get(part, 0.0) for part in PARTS}, self.lacks | other.lacks
        )


@dataclass(frozen=True)
class ServerCost:
    once: float | None
    before: Monthly
    after: Monthly


@dataclass(frozen=True)
class Cost:
    currency: str
    date: str
    region: str | None  # whose prices these are
    stands_for: str | None  # another region, which is not in the table
    servers: Mapping[str, ServerCost]
    lacks: tuple[str, ...] = ()

    def of(self, servers: Iterable[str]) -> tuple[float, Monthly, Monthly]:
        """Once, before and after, of some of the servers."""
        found = [self.servers[each] for each in servers if each in self.servers]
        once = sum((each.once or 0.0 for each in found), 0.0)
        return once, sum((each.before for each in found), Monthly()), sum((each.after for each in found), Monthly())

    def as_dict(self) -> dict[str, Any]:
        once, before, after = self.of(self.servers)
        return {
            "currency": self.currency,
            "prices_of": self.date,
            "region": self.region,
            "stands_for": self.stands_for,
            "once": round(once, 2),
            "monthly_before": _rounded(before),
            "monthly_after": _rounded(after),
            "monthly_difference": round(after.total - before.total, 2),
            "not_included": list(self.lacks),
        }


def cost(
    jobs: Mapping[str, Resource],
    instances: Mapping[str, Resource],
    moves: Movement,
    known: Known,
    prices: Prices,
    region: str | None,
) -> Cost:
    """`jobs` and `instances`: those of the preview, by server."""
    priced, table = prices.of(region)
    moved = {each.server: each for each in moves.moves}
    servers: dict[str, ServerCost] = {}
    for server in dict.fromkeys((*jobs, *instances, *moved)):
        here = known.of(server)
        job, instance = jobs.get(server), instances.get(server)
        before, after = (
            _monthly(
                server,
                getattr(job, side) if job else {},
                getattr(instance, side) if instance else {},
                here,
                table,
                prices.hours_per_month,
            )
            for side in ("before", "after")
        )
        move = moved.get(server)
        count = move.count if move else 0
        once = None
        if count is not None and table.put_per_thousand is not None:
            once = math.ceil(count / BLOCK_SIZE) / 1000 * table.put_per_thousand
        servers[server] = ServerCost(once, before, after)
    lacks = _lacks(servers, moves, table)
    return Cost(prices.currency, prices.date, priced, region if priced != region else None, servers, lacks)


def _monthly(
    server: str,
    job: Mapping[str, Any],
    instance: Mapping[str, Any],
    here: KnownServer,
    table: RegionPrices,
    hours: float,
) -> Monthly:
    parts: dict[str, float] = {}
    lacks: set[tuple[str, str]] = set()
    if instance:
        _instance(server, instance, here, table, hours, parts, lacks)
    if job:
        _snapshots(server, job, here, table, hours, parts, lacks)
    return Monthly(parts, frozenset(lacks))


def _instance(
    server: str,
    instance: Mapping[str, Any],
    here: KnownServer,
    table: RegionPrices,
    hours: float,
    parts: dict[str, float],
    lacks: set[tuple[str, str]],
) -> None:
    kind = instance.get("instanceType")
    if instance.get("started", True):
        price = table.instance_hour.get(str(kind))
        if price is None:
            lacks.add((f"instances of type {kind}" if kind else "instances whose type a launch template names", server))
        else:
            parts["instances"] = price * hours
    total = 0.0
    for number, size in enumerate(here.disks, 1):
        volumes = instance.get("volumes") or {}
        type_ = volumes.get(f"disk-{number}", {}).get("type") or instance.get("volumeType") or _VOLUME
        price = table.volume_gb_month.get(type_)
        if price is None:
            lacks.add((f"volumes of type {type_}", server))
        else:
            total += math.ceil(size / GIB) * price
    parts["volumes"] = total
    if not here.disks:
        lacks.add(("volumes, of unknown size", server))


def _snapshots(
    server: str,
    job: Mapping[str, Any],
    here: KnownServer,
    table: RegionPrices,
    hours: float,
    parts: dict[str, float],
    lacks: set[tuple[str, str]],
) -> None:
    """What is allocated once, and for each further image that is kept what the newest run sent."""
    schedule, stored = job.get("schedule") or {}, here.full_bytes or here.size
    if stored is None:
        lacks.add(("snapshots, of unknown size", server))
        return
    further = 0
    if not job.get("ended") and not schedule.get("run_once"):
        keep = int(schedule.get("keep_images", 3)) or len(here.images) or 1
        further = keep - 1
        if here.sent_bytes is None and (further or schedule.get("every_seconds")):
            lacks.add(("what changes from run to run: no second run was measured", server))
    if table.snapshot_gb_month is None:
        lacks.add(("snapshots: the table has no price", server))
    else:
        parts["snapshots"] = (stored + further * (here.sent_bytes or 0)) / GIB * table.snapshot_gb_month
    every = schedule.get("every_seconds")
    if job.get("ended") or schedule.get("run_once"):
        return
    if not every:
        lacks.add(("blocks of later runs: the schedule has no fixed interval", server))
    elif here.sent_bytes is not None and table.put_per_thousand is not None:
        runs = hours * 3600 / every
        parts["blocks"] = runs * math.ceil(here.sent_bytes / BLOCK_SIZE) / 1000 * table.put_per_thousand


def _lacks(servers: Mapping[str, ServerCost], moves: Movement, table: RegionPrices) -> tuple[str, ...]:
    found: dict[str, dict[str, None]] = {}
    for each in servers.values():
        for what, server in sorted(each.before.lacks | each.after.lacks):
            found.setdefault(what, {})[server] = None
    for server in moves.unknown:
        found.setdefault("blocks of the next run, of unknown size", {})[server] = None
    told = [f"{what} ({named(names, 3)})" for what, names in sorted(found.items())]
    return (*told, *(["blocks: the table has no price of PutSnapshotBlock"] if table.put_per_thousand is None else []))


def _rounded(monthly: Monthly) -> dict[str, float]:
    return {**{part: round(monthly.parts.get(part, 0.0), 2) for part in PARTS}, "total": round(monthly.total, 2)}
