"""Jobs: declared, changed, ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from rehost.control._database import Database, patient
from rehost.control._errors import Unknown
from rehost.control._events import note
from rehost.control._ids import new_id
from rehost.control._records import Job, JobSpec, JobState, RunKind, RunState
from rehost.control._schedule import Schedule
from rehost.control._tables import jobs, runs

_LIVE = jobs.c.state.notin_([JobState.DELETING, JobState.DELETED])
#: What of a schedule says when; the rest of it (how many images stay, how often to retry) changes no moment.
_TIMING = ("every_seconds", "cron", "time_zone", "continuous", "run_once", "seed_at", "jitter_seconds", "blackouts")


@patient
class Jobs:
    def __init__(self, database: Database) -> None:
        self._db = database

    def put(self, spec: JobSpec) -> Job:
        """Declare the replication of one server; a retry is safe.

        A job of this stack and server that has not ended is updated in place and keeps its history; without one, a new
        job is due at its seed time, or at once. A changed rhythm begins with a run in the same way.
        """
        for _ in range(3):
            try:
                return self._put(spec)
            except sa.exc.IntegrityError:
                continue  # somebody else declared it between our look and our insert
        return self._put(spec)

    def _put(self, spec: JobSpec) -> Job:
        now = self._db.now()
        values: dict[str, Any] = {
            "spec": asdict(spec),
            "source_name": spec.source_name,
            "max_concurrent_runs": spec.max_concurrent_runs,
        }
        timing = {"next_run_at": Schedule.of(spec.schedule).first(spec.server, now), "planned_at": now}
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
                if spec.ended:
                    timing["next_run_at"] = None
                connection.execute(
                    sa.insert(jobs).values(
                        id=job_id,
                        stack=spec.stack,
                        server=spec.server,
                        state=JobState.COMPLETED if spec.ended else JobState.PENDING,
                        failures=0,
                        created_at=now,
                        anchor_at=timing["next_run_at"] or now,
                        **values,
                        **timing,
                    )
                )
            else:
                job_id = present.id
                if _timing(present.spec["schedule"]) != _timing(spec.schedule):
                    values |= {**timing, "anchor_at": timing["next_run_at"] or now, "missed": 0}
                    if present.state in (JobState.COMPLETED, JobState.FAILED):
                        values |= {"state": JobState.ACTIVE if present.latest_image_id else JobState.PENDING}
                    if job_of(present).is_held or present.state == JobState.PAUSED_ON_FAILURE:
                        values["next_run_at"] = None  # `resume` or `release` plans it
                if spec.ended:
                    values |= {"state": JobState.COMPLETED, "next_run_at": None, "failures": 0, "missed": 0}
                connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(values))
            return job_of(connection.execute(sa.select(jobs).where(jobs.c.id == job_id)).one())

    def pause(self, job_id: str) -> Job:
        """No run starts by itself until `resume`; one under way goes on. Repeating it is harmless. Raises `Unknown`."""
        now = self._db.now()
        with self._db.write() as connection:
            job = self._live(connection, job_id)
            if job.paused_at is None:
                _stop(connection, job_id, now, "its job was paused before it began", paused_at=now)
                note(connection, now, "job-paused", "paused by a person", job=job)
        return self.get(job_id)

    def hold(self, job_id: str, application: str) -> Job:
        """As `pause`, for a cutover: until `release`, whatever a person pauses or resumes. Raises `Unknown`."""
        now = self._db.now()
        with self._db.write() as connection:
            job = self._live(connection, job_id)
            if job.held_by is None:
                reason = f"application {application} is cut over"
                _stop(connection, job_id, now, reason, held_by=application)
        return self.get(job_id)

    def release(self, job_id: str) -> None:
        """End a hold; it is due at once unless a person paused it. Repeating it is harmless, and so is a job that ended."""
        now = self._db.now()
        with self._db.write() as connection:
            row = connection.execute(sa.select(jobs).where(jobs.c.id == job_id, _LIVE).with_for_update()).one_or_none()
            if row is None or row.held_by is None:
                return
            job = job_of(row)
            values: dict[str, Any] = {"held_by": None, "planned_at": now}
            waits = job.state in (JobState.PAUSED_ON_FAILURE, JobState.FAILED, JobState.COMPLETED)
            if job.paused_at is None and not waits:
                values["next_run_at"] = Schedule.of(job.spec.schedule).put_off(job.spec.server, now)
            connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(values))

    def resume(self, job_id: str) -> Job:
        """End a pause, by a person or after failures: its tries begin anew, and it is due at once. Raises `Unknown`."""
        now = self._db.now()
        with self._db.write() as connection:
            job = self._live(connection, job_id)
            waits = job.state in (JobState.PAUSED_ON_FAILURE, JobState.FAILED)
            if job.paused_at is not None or waits:
                values: dict[str, Any] = {"paused_at": None, "planned_at": now}
                if waits or job.failures:
                    values |= {"failures": 0, "state": JobState.ACTIVE if job.latest_image_id else JobState.PENDING}
                if job.state is not JobState.COMPLETED and job.held_by is None:
                    schedule = Schedule.of(job.spec.schedule)
                    begin = max(schedule.seed, now) if schedule.seed else now
                    values["next_run_at"] = schedule.put_off(job.spec.server, begin)
                connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(values))
                note(connection, now, "job-resumed", "resumed by a person", job=job)
        return self.get(job_id)

    def _live(self, connection: sa.Connection, job_id: str) -> Job:
        row = connection.execute(sa.select(jobs).where(jobs.c.id == job_id, _LIVE).with_for_update()).one_or_none()
        if row is None:
            raise Unknown(kind="live job", id=job_id)
        return job_of(row)

    def find(self, job_id: str) -> Job | None:
        with self._db.read() as connection:
            row = connection.execute(sa.select(jobs).where(jobs.c.id == job_id)).one_or_none()
        return job_of(row) if row else None

    def is_held(self, stack: str, server: str) -> bool:
        """Whether the live job of that server is held by a cutover."""
        query = sa.select(jobs.c.id).where(
            jobs.c.stack == stack, jobs.c.server == server, _LIVE, jobs.c.held_by.is_not(None)
        )
        with self._db.read() as connection:
            return connection.execute(query).first() is not None

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
            _cancel(connection, job_id, "its job was ended", self._db.now())

    def stop_runs(self, job_id: str, reason: str) -> None:
        """End a run that waits, and ask one that is under way to stop. Repeating it is harmless."""
        with self._db.write() as connection:
            _cancel(connection, job_id, reason, self._db.now())

    def ended(self, job_id: str) -> None:
        """DELETED: everything it made is gone, or kept on purpose. Repeating it is harmless."""
        with self._db.write() as connection:
            row = connection.execute(
                sa.update(jobs)
                .where(jobs.c.id == job_id, jobs.c.state != JobState.DELETED)
                .values(state=JobState.DELETED)
                .returning(*jobs.c)
            ).one_or_none()
            if row is not None:
                note(connection, self._db.now(), "job-deleted", "the job has ended", job=job_of(row))


def _stop(connection: sa.Connection, job_id: str, now: datetime, reason: str, **values: Any) -> None:
    """No run starts by itself any more, and one that waits to does not begin."""
    connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(next_run_at=None, planned_at=now, **values))
    connection.execute(
        sa.update(runs)
        .where(runs.c.job_id == job_id, runs.c.state == RunState.PENDING, runs.c.kind == RunKind.AUTOMATIC)
        .values(state=RunState.MISSED, message=reason, missed=1, completed_at=now)
    )


def _cancel(connection: sa.Connection, job_id: str, reason: str, now: datetime) -> None:
    connection.execute(
        sa.update(runs)
        .where(runs.c.job_id == job_id, runs.c.state == RunState.PENDING)
        .values(state=RunState.FAILED, message=reason, completed_at=now)
    )
    connection.execute(
        sa.update(runs).where(runs.c.job_id == job_id, runs.c.state == RunState.ACTIVE).values(cancel_requested=True)
    )


def _timing(schedule: Mapping[str, Any]) -> dict[str, Any]:
    return {key: schedule[key] for key in _TIMING if schedule.get(key)}


def job_of(row: Any) -> Job:
    return Job(
        id=row.id,
        spec=JobSpec(**row.spec),
        state=JobState(row.state),
        next_run_at=row.next_run_at,
        failures=row.failures,
        latest_image_id=row.latest_image_id,
        created_at=row.created_at,
        anchor_at=row.anchor_at,
        paused_at=row.paused_at,
        missed=row.missed,
        lag_seconds=row.lag_seconds,
        held_by=row.held_by,
    )
