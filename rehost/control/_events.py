"""What happened: for people, for later questions, and for the channels that a spec names."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from rehost.control._database import Database, patient
from rehost.control._messages import message_of
from rehost.control._records import Event, Job
from rehost.control._tables import events, outbox


def note(
    connection: sa.Connection,
    at: datetime,
    kind: str,
    message: str,
    *,
    job: Job | None = None,
    run_id: str | None = None,
    **details: Any,
) -> None:
    """Write an event in the transaction of what it tells of, with a delivery for each channel that wants it: none of them
    is there without the others. `details` go into the messages alone.
    """
    row = {"at": at, "kind": kind, "job_id": job.id if job else None, "run_id": run_id, "message": message}
    number = connection.execute(sa.insert(events).values(row).returning(events.c.id)).scalar_one()
    for channel in job.spec.notify if job else ():
        if job is None or kind not in channel["events"]:
            continue
        event_id = f"{number}-{job.id.removeprefix('job-')}"
        connection.execute(
            sa.insert(outbox).values(
                id=f"{event_id}/{channel['name']}",
                source_name=job.spec.source_name,
                channel=dict(channel),
                message=message_of(event_id, at, kind, message, job, run_id, details),
                aws=dict(job.spec.aws),
                created_at=at,
                attempts=0,
                next_try_at=at,
            )
        )


@patient
class Events:
    def __init__(self, database: Database) -> None:
        self._db = database

    def add(
        self, kind: str, message: str, *, job: Job | None = None, run_id: str | None = None, **details: Any
    ) -> None:
        with self._db.write() as connection:
            note(connection, self._db.now(), kind, message, job=job, run_id=run_id, **details)

    def list(self, *, job_id: str | None = None, after: int = 0, limit: int = 100) -> list[Event]:
        """Oldest first, from the one after `after` on."""
        query = sa.select(events).where(events.c.id > after).order_by(events.c.id).limit(limit)
        if job_id is not None:
            query = query.where(events.c.job_id == job_id)
        with self._db.read() as connection:
            return [event_of(row) for row in connection.execute(query)]

    def newest(self, job_id: str, *, limit: int = 20) -> Sequence[Event]:
        """Newest first."""
        query = sa.select(events).where(events.c.job_id == job_id).order_by(events.c.id.desc()).limit(limit)
        with self._db.read() as connection:
            return [event_of(row) for row in connection.execute(query)]


def event_of(row: Any) -> Event:
    return Event(row.id, row.at, row.kind, row.job_id, row.run_id, row.message)
