"""What may go from the database, so that it stays bounded however long a migration takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

import sqlalchemy as sa

from rehost.control._database import Database
from rehost.control._records import JobState, RunState
from rehost.control._tables import catalog_servers, disks, events, images, jobs, outbox, pins, runs

#: Of each job: runs that stay in the history, and those of them whose disks do. A run whose image stands keeps both.
RUNS_KEPT = 200
DISKS_KEPT = 30
EVENTS_KEPT = 200
ENDED_KEPT = timedelta(days=90)  # a job that ended, with all of its history
DELIVERED_KEPT = timedelta(days=7)
_JOBS_AT_ONCE = 50  # in a transaction


def prune(database: Database) -> int:
    """Remove what is older than the limits; returns how many runs went. Repeating it, and doing it at once, is harmless.

    Run by run it removes what nothing refers to: no run that is open, whose image stands, or that failed after the last
    good one (what it left in AWS is found by way of its row).
    """
    now = database.now()
    with database.read() as connection:
        over = (
            sa.select(jobs.c.id)
            .where(sa.or_(jobs.c.runs_made > DISKS_KEPT, jobs.c.state == JobState.DELETED))
            .order_by(jobs.c.id)
        )
        ids = list(connection.execute(over).scalars())
    gone = 0
    for some in _lists(ids, _JOBS_AT_ONCE):
        with database.write() as connection:
            thin: list[str] = []
            old: list[str] = []
            for job_id in some:
                _over(connection, job_id, thin, old)
            for few in _lists(thin):
                connection.execute(sa.delete(disks).where(disks.c.run_id.in_(few)))
            _remove_runs(connection, old)
        gone += len(old)
    with database.write() as connection:
        newest = sa.select(
            events.c.id,
            sa.func.row_number().over(partition_by=events.c.job_id, order_by=events.c.id.desc()).label("place"),
        ).subquery()
        connection.execute(
            sa.delete(events).where(events.c.id.in_(sa.select(newest.c.id).where(newest.c.place > EVENTS_KEPT)))
        )
        connection.execute(
            sa.delete(outbox).where(outbox.c.next_try_at.is_(None), outbox.c.created_at < now - DELIVERED_KEPT)
        )
        connection.execute(sa.delete(catalog_servers).where(catalog_servers.c.gone_at < now - ENDED_KEPT))
        gone += _remove_ended_jobs(connection, now - ENDED_KEPT)
    return gone


def _over(connection: sa.Connection, job_id: str, thin: list[str], old: list[str]) -> None:
    """Add the job's runs that lose their disks to `thin`, and those that go to `old`.

    A query a job, by its index: for many jobs in one query PostgreSQL reads all runs, images and disks each time.
    """
    good = sa.select(images.c.number).where(images.c.image_id == jobs.c.latest_image_id).scalar_subquery()
    job = connection.execute(
        sa.select(jobs.c.runs_made, jobs.c.last_run_id, good.label("good")).where(jobs.c.id == job_id)
    ).one_or_none()
    if job is None:
        return
    stands = sa.exists().where(images.c.run_id == runs.c.id, images.c.deleted_at.is_(None))
    has_disks = sa.exists().where(disks.c.run_id == runs.c.id)
    last_old = job.runs_made - RUNS_KEPT
    query = sa.select(runs.c.id, runs.c.state, runs.c.number).where(
        runs.c.job_id == job_id,
        runs.c.number <= job.runs_made - DISKS_KEPT,
        sa.or_(runs.c.number <= last_old, has_disks),
        runs.c.state.notin_([RunState.PENDING, RunState.ACTIVE]),
        runs.c.id != (job.last_run_id or ""),
        ~stands,
    )
    for run in connection.execute(query):
        needed = run.state == RunState.FAILED and (job.good is None or run.number >= job.good)
        (old if run.number <= last_old and not needed else thin).append(run.id)


def _remove_ended_jobs(connection: sa.Connection, before: object) -> int:
    """Jobs DELETED whose last sign is older, unless an image of theirs stands: somebody's instance used it."""
    standing = sa.exists().where(images.c.job_id == jobs.c.id, images.c.deleted_at.is_(None))
    late = sa.exists().where(events.c.job_id == jobs.c.id, events.c.at >= before)
    ended = list(
        connection.execute(
            sa.select(jobs.c.id).where(
                jobs.c.state == JobState.DELETED,
                jobs.c.created_at < before,
                ~standing,
                ~late,
            )
        ).scalars()
    )
    gone = 0
    for job_id in ended:
        theirs = list(connection.execute(sa.select(runs.c.id).where(runs.c.job_id == job_id)).scalars())
        _remove_runs(connection, theirs)
        gone += len(theirs)
        connection.execute(sa.delete(events).where(events.c.job_id == job_id))
        connection.execute(sa.delete(jobs).where(jobs.c.id == job_id))
    return gone


def _remove_runs(connection: sa.Connection, ids: Sequence[str]) -> None:
    for some in _lists(ids):
        theirs = sa.select(images.c.image_id).where(images.c.run_id.in_(some))
        connection.execute(sa.delete(pins).where(pins.c.image_id.in_(theirs)))
        connection.execute(sa.delete(images).where(images.c.run_id.in_(some)))
        connection.execute(sa.delete(disks).where(disks.c.run_id.in_(some)))
        connection.execute(sa.delete(runs).where(runs.c.id.in_(some)))


def _lists(ids: Sequence[str], length: int = 500) -> Iterator[Sequence[str]]:
    """All of them, in lists that a statement takes as parameters."""
    for start in range(0, len(ids), length):
        yield ids[start : start + length]
