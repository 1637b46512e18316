"""Which waiting run a connector takes next: a fair share for each job, and never more at once than a source can bear."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from rehost.control._database import Database
from rehost.control._records import RunKind, RunState
from rehost.control._schedule import Schedule
from rehost.control._tables import connectors, jobs, runs

_AT_ONCE = 16  # candidates looked at for one claim

#: A person waits for the first two. Among equals the job goes first that was served longest ago: whoever waits moves up with
#: each run of another, so that nobody starves.
_RANK = sa.case({RunKind.FINAL: 0, RunKind.ON_DEMAND: 1}, value=runs.c.kind, else_=2)


def claim(
    database: Database, connector_id: str, sources: Collection[str] | None, *, lease_seconds: float
) -> str | None:
    """The id of a run that was PENDING and now is this connector's; None where there is none for it."""
    now = database.now()
    with database.read() as connection:
        if refused(connection, connector_id):
            return None
        full = _full_sources(connection)
        query = (
            sa.select(runs.c.id, runs.c.kind, jobs.c.id.label("job_id"), jobs.c.source_name, jobs.c.server)
            .add_columns(jobs.c.max_concurrent_runs, jobs.c.spec)
            .join(jobs, jobs.c.id == runs.c.job_id)
            .where(runs.c.state == RunState.PENDING, sa.or_(runs.c.not_before.is_(None), runs.c.not_before <= now))
            .order_by(_RANK, jobs.c.last_started_at.asc().nulls_first(), runs.c.scheduled_at, runs.c.id)
            .limit(_AT_ONCE)
        )
        if sources is not None:
            query = query.where(jobs.c.source_name.in_(sources))
        if full:
            query = query.where(jobs.c.source_name.notin_(full))
        waiting = connection.execute(query).all()
    for row in waiting:
        if row.kind == RunKind.AUTOMATIC and _put_off(database, row, now):
            continue
        if _take(database, row, connector_id, now, lease_seconds):
            found: str = row.id
            return found
    return None


def refused(connection: sa.Connection, connector_id: str) -> bool:
    """Whether the connector is draining or was disassociated."""
    row = connection.execute(
        sa.select(connectors.c.draining_at, connectors.c.disassociated_at).where(connectors.c.id == connector_id)
    ).one_or_none()
    return row is not None and (row.draining_at is not None or row.disassociated_at is not None)


def _full_sources(connection: sa.Connection) -> list[str]:
    active = sa.func.count()
    query = (
        sa.select(jobs.c.source_name)
        .join(runs, runs.c.job_id == jobs.c.id)
        .where(runs.c.state == RunState.ACTIVE)
        .group_by(jobs.c.source_name)
        .having(active >= sa.func.min(jobs.c.max_concurrent_runs))
    )
    return list(connection.execute(query).scalars())


def _put_off(database: Database, row: Any, now: datetime) -> bool:
    """A blackout may have begun while the run waited: then it waits for the end of it."""
    if not row.spec["schedule"].get("blackouts"):
        return False
    schedule = Schedule.of(row.spec["schedule"])
    if schedule.closed_until(now) is None:
        return False
    with database.write() as connection:
        connection.execute(
            sa.update(runs)
            .where(runs.c.id == row.id, runs.c.state == RunState.PENDING)
            .values(not_before=schedule.put_off(row.server, now))
        )
    return True


def _take(database: Database, row: Any, connector_id: str, now: datetime, lease_seconds: float) -> bool:
    with database.write() as connection:
        if row.max_concurrent_runs is not None:
            # Counting and taking must be one step, or two connectors would both find the last free place.
            database.alone(connection, _key(row.source_name))
            active = (
                sa.select(sa.func.count())
                .select_from(runs.join(jobs, jobs.c.id == runs.c.job_id))
                .where(runs.c.state == RunState.ACTIVE, jobs.c.source_name == row.source_name)
            )
            if connection.execute(active).scalar_one() >= row.max_concurrent_runs:
                return False
        landed = connection.execute(
            sa.update(runs)
            .where(runs.c.id == row.id, runs.c.state == RunState.PENDING)
            .values(
                state=RunState.ACTIVE,
                connector_id=connector_id,
                lease_until=now + timedelta(seconds=lease_seconds),
                started_at=now,
                stage_at=now,
            )
        )
        if landed.rowcount != 1:
            return False
        connection.execute(sa.update(jobs).where(jobs.c.id == row.job_id).values(last_started_at=now))
        return True


def _key(source: str) -> int:
    """Of PostgreSQL's advisory lock: a signed 64-bit number."""
    return int.from_bytes(hashlib.sha256(f"rehost source {source}".encode()).digest()[:8], signed=True)
