"""The control plane: one object to hold on to, one store a noun."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Self

import sqlalchemy as sa

from rehost.control import _history
from rehost.control._applications import Applications
from rehost.control._catalog import Catalogs
from rehost.control._clock import Clock
from rehost.control._connectors import Connectors
from rehost.control._database import Database
from rehost.control._events import Events
from rehost.control._images import Images, image_of
from rehost.control._jobs import Jobs, job_of
from rehost.control._outbox import Outbox
from rehost.control._power import PowerRequests
from rehost.control._records import Image, JobState, JobStatus, Run, RunDisk
from rehost.control._runs import Runs, disk_of, run_of
from rehost.control._spreading import Spreading
from rehost.control._tables import disks, images, jobs, runs
from rehost.control._timeline import Timeline
from rehost.control._validations import Validations
from rehost.control._whole_copies import WholeCopies


class ControlPlane:
    """Jobs, runs, images, connectors and events, shared by `pulumi up` and connectors. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self.applications = Applications(database)
        self.jobs = Jobs(database)
        self.runs = Runs(database)
        self.images = Images(database)
        self.connectors = Connectors(database)
        self.events = Events(database)
        self.outbox = Outbox(database)
        self.catalogs = Catalogs(database)
        self.whole_copies = WholeCopies(database)
        self.spreading = Spreading(database)
        self.power = PowerRequests(database)
        self.validations = Validations(database)
        self.timeline = Timeline(database)

    @classmethod
    def open(cls, url: str, *, clock: Clock | None = None) -> Self:
        """Connect, and bring the tables to this version. Raises `ControlError`.

        `clock` is for tests: without it the database server's clock holds, or this machine's with SQLite.
        """
        database = Database(url, clock)
        try:
            database.migrate()
        except BaseException:
            database.close()
            raise
        return cls(database)

    def waiting(self, seconds: float) -> Self:
        """The same control plane, whose calls wait for so long while the database is away. Close only one of the two."""
        return type(self)(self._db.waiting(seconds))

    def close(self) -> None:
        self._db.close()

    def now(self) -> datetime:
        return self._db.now()

    def prune(self) -> int:
        """Remove history beyond its limits; returns how many runs went. Repeating it is harmless."""
        return _history.prune(self._db)

    def status(self, *, stack: str | None = None, servers: Collection[str] | None = None) -> list[JobStatus]:
        """Every job that has not ended, in five queries, however many there are; all of one moment."""
        wanted = jobs.c.state != JobState.DELETED
        if stack is not None:
            wanted &= jobs.c.stack == stack
        if servers is not None:
            wanted &= jobs.c.server.in_(servers)
        is_open = runs.c.state.in_(["PENDING", "ACTIVE"])
        with self._db.snapshot() as connection:
            found = [
                job_of(row)
                for row in connection.execute(sa.select(jobs).where(wanted).order_by(jobs.c.stack, jobs.c.server)).all()
            ]
            under_way = {
                row.job_id: run_of(row)
                for row in connection.execute(
                    sa.select(runs).join(jobs, jobs.c.id == runs.c.job_id).where(is_open, wanted)
                ).all()
            }
            ended = {
                row.job_id: run_of(row)
                for row in connection.execute(
                    sa.select(runs).join(jobs, jobs.c.last_run_id == runs.c.id).where(wanted)
                ).all()
            }
            latest = {
                row.job_id: image_of(row)
                for row in connection.execute(
                    sa.select(images).join(jobs, jobs.c.latest_image_id == images.c.image_id).where(wanted)
                ).all()
            }
            by_run: dict[str, list[RunDisk]] = {}
            for query in (
                sa.select(disks)
                .join(runs, runs.c.id == disks.c.run_id)
                .join(jobs, jobs.c.id == runs.c.job_id)
                .where(is_open),
                sa.select(disks).join(jobs, jobs.c.last_run_id == disks.c.run_id),
            ):
                for row in connection.execute(query.where(wanted).order_by(disks.c.run_id, disks.c.index)).all():
                    by_run.setdefault(row.run_id, []).append(disk_of(row))
        return [
            JobStatus(
                job,
                ended.get(job.id),
                under_way.get(job.id),
                latest.get(job.id),
                _disks(by_run, under_way, ended, job.id),
            )
            for job in found
        ]

    def history(self, job_ids: Collection[str], *, limit: int) -> dict[str, list[tuple[Run, list[RunDisk]]]]:
        """By job, its newest runs with their disks, newest first. `limit` is for each job."""
        by_job: dict[str, list[tuple[Run, list[RunDisk]]]] = {job_id: [] for job_id in job_ids}
        ids = list(by_job)
        with self._db.snapshot() as connection:
            for start in range(0, len(ids), 500):  # a statement takes a limited number of parameters
                place = sa.func.row_number().over(partition_by=runs.c.job_id, order_by=runs.c.number.desc())
                ranked = sa.select(runs.c.id, place.label("place")).where(runs.c.job_id.in_(ids[start : start + 500]))
                newest = ranked.subquery()
                shown = sa.select(newest.c.id).where(newest.c.place <= limit)
                of_run: dict[str, list[RunDisk]] = {}
                for row in connection.execute(
                    sa.select(disks).where(disks.c.run_id.in_(shown)).order_by(disks.c.index)
                ):
                    of_run.setdefault(row.run_id, []).append(disk_of(row))
                for row in connection.execute(
                    sa.select(runs).where(runs.c.id.in_(shown)).order_by(runs.c.number.desc())
                ):
                    by_job[row.job_id].append((run_of(row), of_run.get(row.id, [])))
        return by_job

    def standing_images(self, job_ids: Collection[str]) -> dict[str, list[Image]]:
        """By job, the images that exist, newest first."""
        by_job: dict[str, list[Image]] = {job_id: [] for job_id in job_ids}
        ids = list(by_job)
        with self._db.read() as connection:
            for start in range(0, len(ids), 500):
                query = sa.select(images).where(
                    images.c.job_id.in_(ids[start : start + 500]), images.c.deleted_at.is_(None)
                )
                for row in connection.execute(query.order_by(images.c.number.desc())):
                    by_job[row.job_id].append(image_of(row))
        return by_job


def _disks(
    by_run: dict[str, list[RunDisk]], under_way: dict[str, Run], ended: dict[str, Run], job_id: str
) -> tuple[RunDisk, ...]:
    shown = under_way.get(job_id) or ended.get(job_id)
    return tuple(by_run.get(shown.id, ())) if shown else ()
