"""What a change costs: once for the blocks that are sent, and each month before and after. Figures of a price table, no bill."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rehost.blocks import BLOCK_SIZE
from rehost.limits import DEFAULT_VOLUME
from rehost.plan._known import Known, KnownServer
from rehost.plan._movement import Movement
from rehost.plan._preview import Resource
from rehost.plan._prices import Prices, RegionPrices
from rehost.text import named

GIB = 1 << 30
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
            _Month(server, here, table, prices.hours_per_month).of(
                getattr(job, side) if job else {}, getattr(instance, side) if instance else {}
            )
            for side in ("before", "after")
        )
        move = moved.get(server)
        count = move.count if move else 0
        once = None
        if count is not None and table.put_per_thousand is not None:
            once = _price_of(count, table.put_per_thousand)
        servers[server] = ServerCost(once, before, after)
    lacks = _lacks(servers, moves, table)
    return Cost(prices.currency, prices.date, priced, region if priced != region else None, servers, lacks)


@dataclass(frozen=True)
class _Month:
    """What one server costs in a month; `parts` and `lacks` fill up."""

    server: str
    here: KnownServer
    table: RegionPrices
    hours: float
    parts: dict[str, float] = field(default_factory=dict)
    lacks: set[tuple[str, str]] = field(default_factory=set)

    def of(self, job: Mapping[str, Any], instance: Mapping[str, Any]) -> Monthly:
        if instance:
            image = job.get("image")  # without a job in the preview, it stays as it is
            conversion = image.get("conversion") if image is not None else self.here.conversion
            self._instance(instance, DEFAULT_VOLUME[conversion or "import"])
        if job:
            self._snapshots(job)
        return Monthly(self.parts, frozenset(self.lacks))

    def _lack(self, what: str) -> None:
        self.lacks.add((what, self.server))

    def _instance(self, instance: Mapping[str, Any], usual_volume: str) -> None:
        kind = instance.get("instanceType")
        if instance.get("started", True):
            price = self.table.instance_hour.get(str(kind))
            if price is None:
                self._lack(f"instances of type {kind}" if kind else "instances whose type a launch template names")
            else:
                self.parts["instances"] = price * self.hours
        total = 0.0
        for number, size in enumerate(self.here.disks, 1):
            volumes = instance.get("volumes") or {}
            type_ = volumes.get(f"disk-{number}", {}).get("type") or instance.get("volumeType") or usual_volume
            price = self.table.volume_gb_month.get(type_)
            if price is None:
                self._lack(f"volumes of type {type_}")
            else:
                total += math.ceil(size / GIB) * price
        self.parts["volumes"] = total
        if not self.here.disks:
            self._lack("volumes, of unknown size")

    def _snapshots(self, job: Mapping[str, Any]) -> None:
        """What is allocated once, and for each further image that is kept what the newest run sent."""
        here, table = self.here, self.table
        schedule, stored = job.get("schedule") or {}, here.full_bytes or here.size
        if stored is None:
            self._lack("snapshots, of unknown size")
            return
        every = schedule.get("every_seconds")
        goes_on = not job.get("ended") and not schedule.get("run_once")
        further = 0
        if goes_on:
            keep = int(schedule.get("keep_images", 3)) or len(here.images) or 1
            further = keep - 1
            if here.sent_bytes is None and (further or every):
                self._lack("what changes from run to run: no second run was measured")
        if table.snapshot_gb_month is None:
            self._lack("snapshots: the table has no price")
        else:
            self.parts["snapshots"] = (stored + further * (here.sent_bytes or 0)) / GIB * table.snapshot_gb_month
        if not goes_on:
            return
        if not every:
            self._lack("blocks of later runs: the schedule has no fixed interval")
        elif here.sent_bytes is not None and table.put_per_thousand is not None:
            runs = self.hours * 3600 / every
            self.parts["blocks"] = runs * _price_of(here.sent_bytes, table.put_per_thousand)


def _price_of(sent: int, put_per_thousand: float) -> float:
    return math.ceil(sent / BLOCK_SIZE) / 1000 * put_per_thousand


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
