"""What happened, for people and for later questions."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from rehost.control._database import Database
from rehost.control._records import Event
from rehost.control._tables import events


def note(
    connection: sa.Connection,
    at: datetime,
    kind: str,
    message: str,
    *,
    job_id: str | None = None,
    run_id: str | None = None,
) -> None:
    """Write an event in the transaction of what it tells of: neither is there without the other."""
    connection.execute(sa.insert(events).values(at=at, kind=kind, job_id=job_id, run_id=run_id, message=message))


class Events:
    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, kind: str, message: str, *, job_id: str | None = None, run_id: str | None = None) -> None:
        with self._db.write() as connection:
            note(connection, self._db.now(), kind, message, job_id=job_id, run_id=run_id)

    def list(self, *, job_id: str | None = None, after: int = 0, limit: int = 100) -> list[Event]:
        """Oldest first, from the one after `after` on."""
        query = sa.select(events).where(events.c.id > after).order_by(events.c.id).limit(limit)
        if job_id is not None:
            query = query.where(events.c.job_id == job_id)
        with self._db.read() as connection:
            return [
                Event(row.id, row.at, row.kind, row.job_id, row.run_id, row.message)
                for row in connection.execute(query)
            ]
