"""The control plane: one object to hold on to, one store a noun."""

from __future__ import annotations

from datetime import datetime
from typing import Self

import sqlalchemy as sa

from rehost.control._connectors import Connectors
from rehost.control._database import Clock, Database, utc_now
from rehost.control._events import Events
from rehost.control._images import Images, image_of
from rehost.control._jobs import Jobs, job_of
from rehost.control._records import JobState, JobStatus, RunDisk
from rehost.control._runs import Runs, disk_of, run_of
from rehost.control._spreading import Spreading
from rehost.control._tables import disks, images, jobs, runs
from rehost.control._whole_copies import WholeCopies


class ControlPlane:
    """Jobs, runs, images, connectors and events, shared by `pulumi up` and connectors. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self.jobs = Jobs(database)
        self.runs = Runs(database)
        self.images = Images(database)
        self.connectors = Connectors(database)
        self.events = Events(database)
        self.whole_copies = WholeCopies(database)
        self.spreading = Spreading(database)

    @classmethod
    def open(cls, url: str, *, clock: Clock = utc_now) -> Self:
        """Connect, and bring the tables to this version. Raises `ControlError`."""
        database = Database(url, clock)
        try:
            database.migrate()
        except BaseException:
            database.close()
            raise
        return cls(database)

    def close(self) -> None:
        self._db.close()

    def now(self) -> datetime:
        return self._db.now()

    def status(self, *, stack: str | None = None) -> list[JobStatus]:
        """Every job that has not ended, in a fixed number of queries, however many there are."""
        wanted = jobs.c.state != JobState.DELETED
        if stack is not None:
            wanted &= jobs.c.stack == stack
        is_open = runs.c.state.in_(["PENDING", "ACTIVE"])
        newest = (
            sa.select(runs.c.job_id, sa.func.max(runs.c.id).label("id"))
            .where(~is_open)
            .group_by(runs.c.job_id)
            .subquery()
        )
        with self._db.read() as connection:
            found = [
                job_of(row)
                for row in connection.execute(sa.select(jobs).where(wanted).order_by(jobs.c.stack, jobs.c.server))
            ]
            mine = sa.select(jobs.c.id).where(wanted)
            under_way = {
                row.job_id: run_of(row)
                for row in connection.execute(sa.select(runs).where(is_open, runs.c.job_id.in_(mine)))
            }
            ended = {
                row.job_id: run_of(row)
                for row in connection.execute(
                    sa.select(runs).join(newest, newest.c.id == runs.c.id).where(runs.c.job_id.in_(mine))
                )
            }
            latest = {
                row.job_id: image_of(row)
                for row in connection.execute(
                    sa.select(images).join(jobs, jobs.c.latest_image_id == images.c.image_id).where(wanted)
                )
            }
            shown = {job_id: run.id for job_id, run in {**ended, **under_way}.items()}
            by_run: dict[str, list[RunDisk]] = {}
            # In slices: a statement takes a limited number of parameters.
            ids = list(shown.values())
            for start in range(0, len(ids), 500):
                query = sa.select(disks).where(disks.c.run_id.in_(ids[start : start + 500])).order_by(disks.c.index)
                for row in connection.execute(query):
                    by_run.setdefault(row.run_id, []).append(disk_of(row))
        return [
            JobStatus(
                job,
                ended.get(job.id),
                under_way.get(job.id),
                latest.get(job.id),
                tuple(by_run.get(shown.get(job.id, ""), ())),
            )
            for job in found
        ]
