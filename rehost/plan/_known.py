"""What the control plane knows of the servers of a stack: sizes, measured rates, images, where applications stand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rehost.control import Application, ControlPlane, Image, JobStatus, Run, RunDisk, RunState, lag_of
from rehost.spec import Estate

#: Runs of a job that are looked at for rates and sizes.
RUNS = 20
#: A run that sent less says more about its beginning and end than about the line.
WORTH_MEASURING = 16 << 20


@dataclass(frozen=True)
class KnownServer:
    """Bytes and seconds; what nobody measured is None."""

    job_id: str | None = None
    disks: tuple[int, ...] = ()  # sizes
    full_bytes: int | None = None  # what a full copy moves: allocated on its disks
    sent_bytes: int | None = None  # by the newest run that was not the first
    run_seconds: float | None = None  # of the newest completed run
    lag_seconds: float | None = None
    images: tuple[Image, ...] = ()  # that exist, newest first
    pinned: frozenset[str] = frozenset()
    is_replicating: bool = False
    conversion: str | None = None  # of its images

    @property
    def size(self) -> int | None:
        return sum(self.disks) or None


@dataclass(frozen=True)
class Known:
    """`why` says why nothing is known; None where the control plane answered."""

    now: datetime
    why: str | None = None
    servers: Mapping[str, KnownServer] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)  # by source: bytes a second that one run sends
    standings: Mapping[str, Application] = field(default_factory=dict)

    def of(self, server: str) -> KnownServer:
        return self.servers.get(server, KnownServer())


def nothing_known(why: str, now: datetime | None = None) -> Known:
    return Known(now or datetime.now(UTC), why)


def ask_control(control: ControlPlane, stack: str, estate: Estate) -> Known:
    """Everything in a handful of queries, however many servers there are. Raises ControlError."""
    now = control.now()
    statuses = control.status(stack=stack)
    ids = [each.job.id for each in statuses]
    history, images = control.history(ids, limit=RUNS), control.standing_images(ids)
    servers = _catalogued(control, estate)
    for each in statuses:
        runs = history[each.job.id]
        seen = servers.get(each.job.spec.server, KnownServer())
        servers[each.job.spec.server] = _server(each, runs, images[each.job.id], seen, now, control)
    return Known(
        now,
        servers=servers,
        rates=_rates(statuses, history),
        standings={each.name: each for each in control.applications.list(stack=stack)},
    )


def _server(
    status: JobStatus,
    runs: Sequence[tuple[Run, list[RunDisk]]],
    images: Sequence[Image],
    seen: KnownServer,
    now: datetime,
    control: ControlPlane,
) -> KnownServer:
    done = [(run, disks) for run, disks in runs if run.state is RunState.COMPLETED and disks]
    disks = done[0][1] if done else list(status.disks)
    later = next((disks for run, disks in done if all(disk.parent_snapshot_id for disk in disks)), None)
    return KnownServer(
        job_id=status.job.id,
        disks=tuple(disk.size for disk in disks) or seen.disks,
        full_bytes=sum(disk.allocated_bytes for disk in disks) or seen.full_bytes,
        sent_bytes=sum(disk.sent_bytes for disk in later) if later is not None else None,
        run_seconds=_seconds(done[0][0]) if done else None,
        lag_seconds=lag_of(status, now),
        images=tuple(images),
        pinned=frozenset(control.images.pinned(status.job.id)) if images else frozenset(),
        is_replicating=not status.job.spec.ended,
        conversion=status.job.spec.image.get("conversion", "import"),
    )


def _seconds(run: Run) -> float | None:
    return (run.completed_at - run.started_at).total_seconds() if run.started_at and run.completed_at else None


def _rates(
    statuses: Sequence[JobStatus], history: Mapping[str, Sequence[tuple[Run, list[RunDisk]]]]
) -> dict[str, float]:
    """Bytes sent in the time that copying took, of all completed runs that sent enough to say something."""
    sent: dict[str, list[float]] = {}
    for each in statuses:
        for run, disks in history[each.job.id]:
            total = sum(disk.sent_bytes for disk in disks)
            seconds = sum(
                (disk.completed_at - disk.started_at).total_seconds()
                for disk in disks
                if disk.started_at and disk.completed_at
            )
            if run.state is RunState.COMPLETED and total >= WORTH_MEASURING and seconds > 0:
                both = sent.setdefault(each.job.spec.source_name, [0.0, 0.0])
                both[0] += total
                both[1] += seconds
    return {source: total / seconds for source, (total, seconds) in sent.items()}


def _catalogued(control: ControlPlane, estate: Estate) -> dict[str, KnownServer]:
    """What discovery found of the spec's servers, for those that no run has read yet."""
    seen = {}
    for each in control.catalogs.servers():
        sizes = tuple(int(disk["size"]) for disk in each.disks if disk.get("size"))
        used = sum(int(disk["allocated"]) for disk in each.disks if disk.get("allocated"))
        if sizes and each.gone_at is None:
            found = KnownServer(disks=sizes, full_bytes=used or None)
            seen[each.source_name, _key(each.locator)] = found
            seen[each.source_name, _key({"name": each.name})] = found
    places = {name: (server.source.name, _key(server.locator)) for name, server in estate.servers.items()}
    return {name: seen[place] for name, place in places.items() if place in seen}


def _key(locator: Mapping[str, Any]) -> str:
    return json.dumps(dict(locator), sort_keys=True)
