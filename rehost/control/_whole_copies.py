"""Whole copies: runs whose disks are all in completed snapshots of one point in time, whatever became of their image.

What was copied once is not copied again: the next run makes its image of it, or builds on its snapshots.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from rehost.control._database import Database
from rehost.control._jobs import job_of
from rehost.control._records import JobState, RunState
from rehost.control._tables import jobs, runs, whole_copies


@dataclass(frozen=True)
class WholeCopy:
    run_id: str
    job_id: str
    state: RunState  # of the run
    copied_at: datetime  # when the last disk was complete; a run that carries on with it keeps it
    taken_at: datetime  # its point in time
    image_id: str | None  # one that was made of it and is still to be offered
    image_key: str | None  # a digest of what the image was made with
    forgotten: bool = False  # its source keeps nothing any more to tell changes since it


class WholeCopies:
    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, run_id: str, *, copied_at: datetime, taken_at: datetime) -> None:
        """Record that every disk of the run is complete; a repeated call changes nothing."""
        with self._db.write() as connection:
            known = sa.select(whole_copies.c.run_id).where(whole_copies.c.run_id == run_id)
            if connection.execute(known).one_or_none() is None:
                connection.execute(
                    sa.insert(whole_copies).values(run_id=run_id, copied_at=copied_at, taken_at=taken_at)
                )

    def image(self, run_id: str, image_id: str | None, key: str | None) -> None:
        """Record the image of a run that is not recorded as COMPLETED yet, or that it has none (any more)."""
        with self._db.write() as connection:
            connection.execute(
                sa.update(whole_copies).where(whole_copies.c.run_id == run_id).values(image_id=image_id, image_key=key)
            )

    def find(self, run_id: str) -> WholeCopy | None:
        return self._first(runs.c.id == run_id)

    def last(self, job_id: str) -> WholeCopy | None:
        """The newest of a job among runs that have ended."""
        ended = runs.c.state.in_([RunState.COMPLETED, RunState.FAILED])
        return self._first(sa.and_(runs.c.job_id == job_id, ended))

    def unneeded(self) -> list[str]:
        """Jobs that have ended, and whose source has not been told so: ids."""
        known = sa.select(runs.c.job_id).join(whole_copies, whole_copies.c.run_id == runs.c.id)
        query = sa.select(jobs).where(jobs.c.id.in_(known.where(whole_copies.c.forgotten == sa.false())))
        with self._db.read() as connection:
            found = [job_of(row) for row in connection.execute(query)]
        return sorted(job.id for job in found if job.state is JobState.DELETED or job.spec.ended)

    def forget(self, job_id: str) -> None:
        """Record that the source keeps nothing any more for the job's runs so far. Repeating it is harmless."""
        of_job = sa.select(runs.c.id).where(runs.c.job_id == job_id)
        with self._db.write() as connection:
            connection.execute(sa.update(whole_copies).where(whole_copies.c.run_id.in_(of_job)).values(forgotten=True))

    def _first(self, condition: sa.ColumnElement[bool]) -> WholeCopy | None:
        query = (
            sa.select(whole_copies, runs.c.job_id, runs.c.state)
            .join(runs, runs.c.id == whole_copies.c.run_id)
            .where(condition)
            .order_by(whole_copies.c.copied_at.desc(), runs.c.id.desc())
            .limit(1)
        )
        with self._db.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        return WholeCopy(
            row.run_id,
            row.job_id,
            RunState(row.state),
            row.copied_at,
            row.taken_at,
            row.image_id,
            row.image_key,
            row.forgotten,
        )
