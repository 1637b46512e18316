"""Jobs: declared, changed, ended."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from rehost.control._database import Database
from rehost.control._errors import Unknown
from rehost.control._ids import new_id
from rehost.control._records import Job, JobSpec, JobState
from rehost.control._tables import jobs, runs

_LIVE = jobs.c.state.notin_([JobState.DELETING, JobState.DELETED])


class Jobs:
    def __init__(self, database: Database) -> None:
        self._db = database

    def put(self, spec: JobSpec) -> Job:
        """Declare the replication of one server; a retry is safe.

        A job of this stack and server that has not ended is updated in place and keeps its history; without one, a new
        job is due at once.
        """
        for _ in range(3):
            try:
                return self._put(spec)
            except sa.exc.IntegrityError:
                continue  # somebody else declared it between our look and our insert
        return self._put(spec)

    def _put(self, spec: JobSpec) -> Job:
        now = self._db.now()
        with self._db.write() as connection:
            present = connection.execute(
                sa.select(jobs).where(jobs.c.stack == spec.stack, jobs.c.server == spec.server, _LIVE)
            ).one_or_none()
            if present is None:
                # What a killed destroy left half ended makes room: its history stays under its own id.
                connection.execute(
                    sa.update(jobs)
                    .where(jobs.c.stack == spec.stack, jobs.c.server == spec.server, jobs.c.state == JobState.DELETING)
                    .values(state=JobState.DELETED)
                )
                job_id = new_id("job")
                connection.execute(
                    sa.insert(jobs).values(
                        id=job_id,
                        stack=spec.stack,
                        server=spec.server,
                        source_name=spec.source_name,
                        spec=asdict(spec),
                        state=JobState.PENDING,
                        next_run_at=now,
                        failures=0,
                        created_at=now,
                    )
                )
            else:
                job_id = present.id
                changes: dict[str, Any] = {"spec": asdict(spec), "source_name": spec.source_name}
                if present.spec.get("schedule") != dict(spec.schedule):
                    changes["next_run_at"] = now  # the new rhythm begins with a run
                connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(changes))
            return job_of(connection.execute(sa.select(jobs).where(jobs.c.id == job_id)).one())

    def find(self, job_id: str) -> Job | None:
        with self._db.read() as connection:
            row = connection.execute(sa.select(jobs).where(jobs.c.id == job_id)).one_or_none()
        return job_of(row) if row else None

    def get(self, job_id: str) -> Job:
        """Raises `Unknown`."""
        job = self.find(job_id)
        if job is None:
            raise Unknown(kind="job", id=job_id)
        return job

    def list(self, *, stack: str | None = None) -> list[Job]:
        """Every job that has not ended, by stack and server."""
        query = sa.select(jobs).where(jobs.c.state != JobState.DELETED).order_by(jobs.c.stack, jobs.c.server)
        if stack is not None:
            query = query.where(jobs.c.stack == stack)
        with self._db.read() as connection:
            return [job_of(row) for row in connection.execute(query)]

    def begin_end(self, job_id: str) -> None:
        """DELETING: no run starts any more, and one under way is asked to stop. Repeating it is harmless."""
        with self._db.write() as connection:
            connection.execute(
                sa.update(jobs)
                .where(jobs.c.id == job_id, jobs.c.state != JobState.DELETED)
                .values(state=JobState.DELETING, next_run_at=None)
            )
            connection.execute(
                sa.update(runs)
                .where(runs.c.job_id == job_id, runs.c.state == "PENDING")
                .values(state="FAILED", message="its job was ended", completed_at=self._db.now())
            )
            connection.execute(
                sa.update(runs).where(runs.c.job_id == job_id, runs.c.state == "ACTIVE").values(cancel_requested=True)
            )

    def ended(self, job_id: str) -> None:
        """DELETED: everything it made is gone, or kept on purpose."""
        with self._db.write() as connection:
            connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(state=JobState.DELETED))


def job_of(row: Any) -> Job:
    return Job(
        id=row.id,
        spec=JobSpec(**row.spec),
        state=JobState(row.state),
        next_run_at=row.next_run_at,
        failures=row.failures,
        latest_image_id=row.latest_image_id,
        created_at=row.created_at,
    )
