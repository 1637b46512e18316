"""An estate in the middle of its migration: a spec, and a control plane with six days of history, written straight into the tables."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml

from rehost.blocks import BLOCK_SIZE
from rehost.control import ControlPlane, JobSpec, Phase
from rehost.control._tables import application_phases, applications, disks, images, jobs, runs

STACK = "prod"
DAYS = 6
#: What the last three runs of a server failed of, by the rest of its place.
CAUSES = {3: "the vCenter refuses the credentials of {server}: renew them", 7: "{server}: its snapshot is gone"}


@dataclass(frozen=True)
class Made:
    folder: Path
    url: str
    servers: list[str]
    applications: dict[str, list[str]]
    waves: dict[str, list[str]]


def make(folder: Path, count: int, now: datetime, *, every: timedelta = timedelta(hours=4)) -> Made:
    """`count` servers, four an application, in three waves: done, being tested, being replicated. A few servers fail."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Pulumi.yaml").write_text("name: moving\nruntime: python\n")
    servers = [f"{('web', 'app', 'db', 'batch')[place % 4]}-{place:04}" for place in range(count)]
    apps = {f"shop-{place // 4:03}": servers[place : place + 4] for place in range(0, count, 4)}
    third = max(1, len(apps) // 3)
    names = list(apps)
    waves = {"one": names[:third], "two": names[third : 2 * third], "three": names[2 * third :]}
    phases = (
        dict.fromkeys(names, "replicate") | dict.fromkeys(waves["one"], "cutover") | dict.fromkeys(waves["two"], "test")
    )
    specs = folder / "migration_specs"
    specs.mkdir()
    opens = (now + timedelta(days=1)).replace(minute=0, second=0, microsecond=0)
    spec = {
        "sources": {"exports": {"type": "images", "path": "../exports"}},
        "schedules": {"often": {"every": f"{every // timedelta(hours=1)}h", "keepImages": 3}},
        "launchConfigs": {"small": {"instanceType": "t3.micro"}},
        "servers": {
            name: {
                "source": "exports",
                "locator": {"path": f"{name}.raw"},
                "schedule": "often",
                "launchConfig": "small",
            }
            for name in servers
        },
        "applications": {
            name: {"phase": phases[name], "groups": {"all": {"servers": theirs}}} for name, theirs in apps.items()
        },
        "waves": {
            "one": {"applications": waves["one"]},
            "two": {
                "applications": waves["two"],
                "after": ["one"],
                "window": {"opens": opens.isoformat(), "closes": (opens + timedelta(hours=8)).isoformat()},
            },
            "three": {"applications": waves["three"], "after": ["two"]},
        },
    }
    (specs / "estate.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    url = f"sqlite:///{folder / '.rehost' / 'control.db'}"
    control = ControlPlane.open(url, clock=lambda: now)
    engine = control._db.engine
    sa.event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF").close())
    engine.dispose()
    application = {server: name for name, theirs in apps.items() for server in theirs}
    wave = {name: each for each, theirs in waves.items() for name in theirs}
    chance = random.Random(11)
    with engine.begin() as connection:
        for name, theirs in apps.items():
            _enter(connection, name, theirs, wave[name], phases[name], now, chance)
    rows: dict[sa.Table, list[dict[str, Any]]] = {runs: [], images: [], disks: []}
    changes = []
    for place, server in enumerate(servers):
        job = control.jobs.put(_job(server, application[server], every))
        changes.append(_history(rows, place, server, job.id, phases[application[server]], now, every, chance))
    with engine.begin() as connection:
        for table, made in rows.items():
            connection.execute(sa.insert(table), made)
        change = sa.update(jobs).where(jobs.c.id == sa.bindparam("of"))
        connection.execute(
            change.values(
                {
                    name: sa.bindparam(f"new_{name}")
                    for name in (
                        "state",
                        "next_run_at",
                        "runs_made",
                        "last_run_id",
                        "latest_image_id",
                        "failures",
                        "held_by",
                    )
                }
            ),
            changes,
        )
    control.connectors.register(
        connector_id="connector-1", version="0.1.0", host="rack7", pid=7, sources=None, log_path="connector.log"
    )
    control.close()
    return Made(folder, url, servers, apps, waves)


def _job(server: str, application: str, every: timedelta) -> JobSpec:
    return JobSpec(
        STACK, server, "exports", {"type": "images", "path": "exports"}, {"path": f"{server}.raw"},
        {"every_seconds": int(every.total_seconds()), "keep_images": 3}, {"conversion": "register"}, {}, application,
    )  # fmt: skip


def _enter(
    connection: sa.Connection,
    name: str,
    servers: list[str],
    wave: str,
    phase: str,
    now: datetime,
    chance: random.Random,
) -> None:
    moments = {Phase.REPLICATE: now - timedelta(days=DAYS)}
    if phase != "replicate":
        moments[Phase.TEST] = now - timedelta(hours=chance.randrange(40, 90))
    if phase == "cutover":
        moments[Phase.CUTOVER] = now - timedelta(hours=chance.randrange(4, 30))
    before = None
    for entry, (each, at) in enumerate(moments.items(), start=1):
        connection.execute(
            sa.insert(application_phases).values(
                stack=STACK,
                name=name,
                entry=entry,
                from_phase=before,
                phase=each,
                entered_at=at,
                reached_at=at + timedelta(minutes=20),
            )
        )
        before = each
    last = max(moments.values())
    connection.execute(
        sa.insert(applications).values(
            stack=STACK, name=name, servers=servers, phase=phase, entry=len(moments), entered_at=last, reached_at=last + timedelta(minutes=20),
            reached=phase, wave=wave, attempt=int(phase == "cutover"), sources={}, final_runs={}, tested={},
            cut_at=last + timedelta(minutes=9) if phase == "cutover" else None,
            outage_started_at=last if phase == "cutover" else None, outage_ended_at=last + timedelta(minutes=14) if phase == "cutover" else None,
            launch_seconds=190.0 if phase != "replicate" else None, launched_phase=phase if phase != "replicate" else None,
        )
    )  # fmt: skip


def _history(
    rows: dict[sa.Table, list[dict[str, Any]]],
    place: int,
    server: str,
    job_id: str,
    phase: str,
    now: datetime,
    every: timedelta,
    chance: random.Random,
) -> dict[str, Any]:
    """The job's runs from the oldest on; what its row says at the end."""
    cause = CAUSES.get((place + 1) % 50) if phase != "cutover" else None
    count = int(timedelta(days=DAYS) / every)
    first = now - timedelta(days=DAYS) + timedelta(minutes=place % 200)
    good = last = None
    failures = 0
    for number in range(1, count + 1):
        at = first + (number - 1) * every
        if phase == "cutover" and at > now - timedelta(hours=4):
            break
        fails = (cause is not None and number > count - 3) or (number < count - 3 and chance.random() < 0.01)
        took = timedelta(minutes=95 if number == 1 else chance.randrange(2, 12))
        sent = 0 if fails else (40 << 30) if number == 1 else chance.randrange(20 << 20, 4 << 30)
        last = run_id = f"run-{place:06}{number:06}"
        image = None if fails else f"ami-{place:08x}{number:09x}"
        message = (cause or "AWS is out of reach: {server} is tried again").format(server=server) if fails else None
        rows[runs].append(
            {
                "id": run_id, "job_id": job_id, "token": f"automatic {number}", "kind": "AUTOMATIC", "state": "FAILED" if fails else "COMPLETED",
                "message": message, "scheduled_at": at, "started_at": at, "frozen_at": at, "completed_at": min(at + took, now),
                "image_id": image, "cancel_requested": False, "number": number, "sent_bytes": sent, "missed": 0,
            }
        )  # fmt: skip
        rows[disks].append(_disk(run_id, at, now, sent, whole=True))
        failures = failures + 1 if fails else 0
        if image:
            good = image
            rows[images].append(
                {
                    "image_id": image, "job_id": job_id, "run_id": run_id, "snapshot_ids": [f"snap-{place:08x}{number:09x}"],
                    "created_at": min(at + took, now), "taken_at": at, "number": number, "deleted_at": None if number > count - 3 else at + 4 * every,
                }
            )  # fmt: skip
    if place % 25 == 1 and cause is None and phase != "cutover":  # under way
        run_id, at = f"run-{place:06}{count + 1:06}", now - timedelta(minutes=3)
        rows[runs].append(
            {
                "id": run_id, "job_id": job_id, "token": "next", "kind": "AUTOMATIC", "state": "ACTIVE", "stage": "copy", "message": None, "scheduled_at": at, "connector_id": "connector-1",
                "started_at": at, "frozen_at": at, "completed_at": None, "image_id": None, "cancel_requested": False, "number": count + 1,
                "sent_bytes": None, "missed": 0,
            }
        )  # fmt: skip
        rows[disks].append(_disk(run_id, at, now, 900 << 20, whole=False))
    return {
        "of": job_id,
        "new_state": "PAUSED_ON_FAILURE" if cause else "FAILING" if failures else "ACTIVE",
        "new_next_run_at": None if cause or phase == "cutover" else now + timedelta(minutes=place % 200),
        "new_runs_made": count + 1,
        "new_last_run_id": last,
        "new_latest_image_id": good,
        "new_failures": failures,
        "new_held_by": STACK if phase == "cutover" else None,
    }


def _disk(run_id: str, at: datetime, now: datetime, sent: int, *, whole: bool) -> dict[str, Any]:
    blocks = max(1, sent // BLOCK_SIZE)
    return {
        "run_id": run_id, "index": 0, "key": "disk-1", "size": 64 << 30, "snapshot_id": "snap-0", "position": "{}",
        "allocated_bytes": 40 << 30, "read_bytes": sent, "sent_bytes": sent, "sent_blocks": blocks, "unchanged_blocks": 0, "zero_blocks": 0,
        "blocks_done": blocks, "blocks_total": blocks if whole else 2 * blocks, "completed_at": at + timedelta(minutes=2) if whole else None,
        "started_at": at, "updated_at": now, "rate": None if whole else 80 << 20,
    }  # fmt: skip
