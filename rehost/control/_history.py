"""What may go from the database, so that it stays bounded however long a migration takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
    for start in range(0, len(ids), _JOBS_AT_ONCE):
        some = ids[start : start + _JOBS_AT_ONCE]
        with database.write() as connection:
            # NOT EXISTS and lists of ids: what PostgreSQL made of NOT IN and of one DELETE with joins took half a second.
            standing = sa.exists().where(images.c.run_id == runs.c.id, images.c.deleted_at.is_(None))
            ended = sa.and_(
                runs.c.job_id == jobs.c.id,
                jobs.c.id.in_(some),
                runs.c.state.notin_([RunState.PENDING, RunState.ACTIVE]),
                ~standing,
                sa.func.coalesce(jobs.c.last_run_id, "") != runs.c.id,
            )
            has_disks = sa.exists().where(disks.c.run_id == runs.c.id)
            thin = sa.select(runs.c.id).where(ended, has_disks, runs.c.number <= jobs.c.runs_made - DISKS_KEPT)
            for few in _lists(connection.execute(thin).scalars()):
                connection.execute(sa.delete(disks).where(disks.c.run_id.in_(few)))
            good = sa.select(images.c.number).where(images.c.image_id == jobs.c.latest_image_id).scalar_subquery()
            unneeded = sa.or_(runs.c.state != RunState.FAILED, runs.c.number < good)
            old = sa.select(runs.c.id).where(ended, unneeded, runs.c.number <= jobs.c.runs_made - RUNS_KEPT)
            gone += _remove_runs(connection, old)
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
        gone += _remove_runs(connection, sa.select(runs.c.id).where(runs.c.job_id == job_id))
        connection.execute(sa.delete(events).where(events.c.job_id == job_id))
        connection.execute(sa.delete(jobs).where(jobs.c.id == job_id))
    return gone


def _remove_runs(connection: sa.Connection, which: sa.Select[tuple[str]]) -> int:
    gone = 0
    for some in _lists(connection.execute(which).scalars()):
        theirs = sa.select(images.c.image_id).where(images.c.run_id.in_(some))
        connection.execute(sa.delete(pins).where(pins.c.image_id.in_(theirs)))
        connection.execute(sa.delete(images).where(images.c.run_id.in_(some)))
        connection.execute(sa.delete(disks).where(disks.c.run_id.in_(some)))
        connection.execute(sa.delete(runs).where(runs.c.id.in_(some)))
        gone += len(some)
    return gone


def _lists(found: Iterable[str]) -> Iterator[list[str]]:
    """All of them, in lists that a statement takes as parameters."""
    ids = list(found)
    for start in range(0, len(ids), 500):
        yield ids[start : start + 500]
