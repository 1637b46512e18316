"""From due jobs to PENDING runs, and to MISSED ones where a moment passed without a run.

Each moment is taken by exactly one scheduler: the UPDATE that moves `next_run_at` on is guarded by its old value. However many
connectors look, and however long nobody did, a job gets one run.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from rehost.control._database import Database
from rehost.control._events import note
from rehost.control._ids import new_id
from rehost.control._jobs import job_of
from rehost.control._records import Job, JobState, RunKind, RunState
from rehost.control._schedule import MOST_COUNTED, Schedule
from rehost.control._tables import jobs, runs

#: A plan made so much later than now shows that the clock was set back since.
SET_BACK = timedelta(minutes=1)
_RUNS_BY_ITSELF = jobs.c.state.in_([JobState.PENDING, JobState.ACTIVE, JobState.FAILING])


def schedule_due(database: Database, sources: Collection[str] | None) -> int:
    """Make a PENDING run of every job that is due and has none open; returns how many."""
    now = database.now()
    open_run = sa.select(runs).where(runs.c.state.in_([RunState.PENDING, RunState.ACTIVE])).subquery()
    due = (
        sa.select(
            jobs,
            open_run.c.id.label("open_id"),
            open_run.c.state.label("open_state"),
            open_run.c.kind.label("open_kind"),
        )
        .outerjoin(open_run, open_run.c.job_id == jobs.c.id)
        .where(
            _RUNS_BY_ITSELF,
            jobs.c.paused_at.is_(None),
            jobs.c.held_by.is_(None),
            sa.or_(jobs.c.next_run_at <= now, jobs.c.planned_at > now + SET_BACK),
        )
    )
    late = (
        sa.select(runs.c.id, runs.c.scheduled_at, runs.c.job_id)
        .join(jobs, jobs.c.id == runs.c.job_id)
        .where(runs.c.state == RunState.PENDING, runs.c.kind == RunKind.AUTOMATIC, runs.c.start_by < now)
    )
    if sources is not None:
        due = due.where(jobs.c.source_name.in_(sources))
        late = late.where(jobs.c.source_name.in_(sources))
    with database.read() as connection:
        due_rows = connection.execute(due).all()
        late_rows = connection.execute(late).all()
    for row in late_rows:
        _too_late(database, row, now)
    return sum(_take_moment(database, row, now) for row in due_rows)


def _take_moment(database: Database, row: Any, now: datetime) -> bool:
    """Move the job on to its next moment; whether a run was made."""
    job = job_of(row)
    schedule, server, anchor = Schedule.of(job.spec.schedule), job.spec.server, job.anchor_at or job.created_at
    planned = row.next_run_at
    if planned is None or planned > now:
        following = _replanned(schedule, job, now)
    elif schedule.closed_until(now) is not None:
        following, planned = schedule.put_off(server, now), None
    else:
        following = schedule.next(server, now, anchor)
    try:
        with database.write() as connection:
            landed = connection.execute(
                sa.update(jobs)
                .where(jobs.c.id == job.id, jobs.c.next_run_at.is_not_distinct_from(row.next_run_at), _RUNS_BY_ITSELF)
                .where(jobs.c.paused_at.is_(None), jobs.c.held_by.is_(None))
                .values(next_run_at=following, planned_at=now)
            )
            if landed.rowcount != 1 or planned is None or planned > now:
                return False
            return _begin(connection, job, schedule, row, planned, now)
    except sa.exc.IntegrityError:
        return False  # a run was requested meanwhile: the next look finds it


def _begin(connection: sa.Connection, job: Job, schedule: Schedule, row: Any, planned: datetime, now: datetime) -> bool:
    server, anchor = job.spec.server, job.anchor_at or job.created_at
    passed = schedule.passed(server, planned, now, anchor)  # after the planned moment
    if row.open_id is not None:
        waits = row.open_state == RunState.PENDING and row.open_kind == RunKind.AUTOMATIC
        if not schedule.is_periodic:
            return False  # the open run is the one
        if not waits:
            # A retry's own moment is not one of the schedule.
            count = passed + (0 if job.failures else 1)
            if count:
                missed(connection, job, planned, now, count, f"run {row.open_id} was still under way")
            return False
        reason = "it was still waiting for a connector when the next one was due"
        missed(connection, job, planned, now, 1 + passed, reason, run_id=row.open_id)
    else:
        within = schedule.start_within
        if within is not None and now - planned > within and not schedule.passed(server, now - within, now, anchor):
            missed(connection, job, planned, now, 1 + passed, f"no run could start within {_span(within)}")
            return False
        if passed:
            missed(connection, job, planned, now, passed, f"no connector of {job.spec.source_name} looked for work")
    start_by = now + schedule.start_within if schedule.start_within is not None else None
    insert_run(connection, job.id, RunKind.AUTOMATIC, planned, start_by=start_by)
    return True


def _too_late(database: Database, row: Any, now: datetime) -> None:
    """A waiting run whose time to start is over. The schedule goes on without it."""
    with database.write() as connection:
        job = job_of(connection.execute(sa.select(jobs).where(jobs.c.id == row.job_id)).one())
        schedule = Schedule.of(job.spec.schedule)
        within = f" within {_span(schedule.start_within)}" if schedule.start_within else ""
        missed(connection, job, row.scheduled_at, now, 1, f"it could not start{within}", run_id=row.id)
        if not schedule.is_periodic:  # it was, when the run was made
            connection.execute(
                sa.update(jobs).where(jobs.c.id == job.id, jobs.c.next_run_at.is_(None)).values(next_run_at=now)
            )


def _replanned(schedule: Schedule, job: Job, now: datetime) -> datetime | None:
    """What was planned by a clock that was ahead is planned anew."""
    server, anchor = job.spec.server, job.anchor_at or job.created_at
    if job.next_run_at is None:
        return None
    if job.failures:
        return schedule.after_failure(server, job.failures, now, anchor)
    if schedule.is_periodic:
        return schedule.next(server, now, anchor)
    return schedule.put_off(server, max(schedule.seed, now) if schedule.seed else now)


def insert_run(
    connection: sa.Connection,
    job_id: str,
    kind: RunKind,
    scheduled_at: datetime,
    *,
    token: str | None = None,
    start_by: datetime | None = None,
    **values: Any,
) -> str:
    """A run, PENDING unless `values` say otherwise, with the job's next number. Raises IntegrityError where one is open."""
    number = connection.execute(
        sa.update(jobs).where(jobs.c.id == job_id).values(runs_made=jobs.c.runs_made + 1).returning(jobs.c.runs_made)
    ).scalar_one()
    run_id = new_id("run")
    row = {
        "id": run_id,
        "job_id": job_id,
        "token": token or f"{kind.value.lower()} {number}",
        "kind": kind,
        "state": RunState.PENDING,
        "scheduled_at": scheduled_at,
        "cancel_requested": False,
        "number": number,
        "start_by": start_by,
    }
    connection.execute(sa.insert(runs).values(row | values))
    return run_id


def missed(
    connection: sa.Connection,
    job: Job,
    at: datetime,
    now: datetime,
    count: int,
    reason: str,
    *,
    run_id: str | None = None,
) -> None:
    """Record `count` moments from `at` on as MISSED: those that follow each other are one row, and one notification.

    `run_id` is a PENDING run that turns MISSED; one that is no longer PENDING is left alone.
    """
    newest = connection.execute(
        sa.select(runs.c.id, runs.c.state, runs.c.missed)
        .where(runs.c.job_id == job.id, *((runs.c.id != run_id,) if run_id else ()))
        .order_by(runs.c.number.desc())
        .limit(1)
    ).one_or_none()
    goes_on = newest is not None and newest.state == RunState.MISSED and newest.missed
    if run_id is not None:
        waiting = (runs.c.id == run_id, runs.c.state == RunState.PENDING)
        change = (
            sa.delete(runs).where(*waiting)
            if goes_on
            else sa.update(runs)
            .where(*waiting)
            .values(state=RunState.MISSED, message=reason, missed=count, missed_until=now, completed_at=now)
        )
        if connection.execute(change).rowcount != 1:
            return
    if goes_on and newest is not None:
        total = min(newest.missed + count, 1_000_000)
        connection.execute(
            sa.update(runs)
            .where(runs.c.id == newest.id)
            .values(missed=total, missed_until=now, message=_missed_text(total, reason), completed_at=now)
        )
    elif run_id is None:
        run_id = insert_run(
            connection,
            job.id,
            RunKind.AUTOMATIC,
            at,
            state=RunState.MISSED,
            message=_missed_text(count, reason),
            missed=count,
            missed_until=now,
            completed_at=now,
        )
    connection.execute(sa.update(jobs).where(jobs.c.id == job.id).values(missed=jobs.c.missed + count))
    if not goes_on:
        note(connection, now, "run-missed", _missed_text(count, reason), job=job, run_id=run_id, missed=count)


def _missed_text(count: int, reason: str) -> str:
    more = " or more" if count >= MOST_COUNTED else ""
    return reason if count == 1 else f"{count}{more} moments passed: {reason}"


def _span(length: timedelta) -> str:
    minutes = length.total_seconds() / 60
    return f"{minutes / 60:g} h" if minutes >= 60 else f"{minutes:g} min"
