"""Runs: requested, claimed, leased, ended. Every transition is one guarded UPDATE, which says whether it landed.

PENDING --claim--> ACTIVE --complete--> COMPLETED
   |                 |  \\--fail------> FAILED
   |                 '--adopt--> ACTIVE (another connector, after the lease has run out)
   '--(job ended)--> FAILED
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from rehost.control._database import Database
from rehost.control._errors import RunIsOpen, Unknown
from rehost.control._events import note
from rehost.control._ids import new_id
from rehost.control._records import Image, JobState, Run, RunDisk, RunKind, RunState
from rehost.control._schedule import next_run, retry_at
from rehost.control._tables import disks, images, jobs, runs

#: Failures in a row after which a job waits for a person (SMS: PAUSED_ON_FAILURE).
MAX_FAILURES = 5
_OPEN = runs.c.state.in_([RunState.PENDING, RunState.ACTIVE])


class Runs:
    def __init__(self, database: Database) -> None:
        self._db = database

    def request(self, job_id: str, *, token: str) -> Run:
        """Ask for a run now; the same token gives the same run, and a run that is open already is the one given."""
        for _ in range(3):
            try:
                with self._db.write() as connection:
                    known = sa.select(runs).where(runs.c.job_id == job_id, sa.or_(runs.c.token == token, _OPEN))
                    row = connection.execute(known.order_by(_OPEN)).first()
                    if row is None:
                        state = connection.execute(
                            sa.select(jobs.c.state).where(jobs.c.id == job_id)
                        ).scalar_one_or_none()
                        if state is None or state in (JobState.DELETING, JobState.DELETED):
                            raise Unknown(kind="live job", id=job_id)
                        run_id = self._insert(connection, job_id, RunKind.ON_DEMAND, token, self._db.now())
                        row = connection.execute(sa.select(runs).where(runs.c.id == run_id)).one()
                    return run_of(row)
            except sa.exc.IntegrityError:
                continue  # the scheduler was quicker: its run is the one
        raise RunIsOpen(job=job_id, run="another")

    def schedule_due(self, sources: Collection[str] | None) -> int:
        """Make a PENDING run of every job that is due and has none open; returns how many.

        However long nobody looked, a job gets one run, and its next moment lies ahead.
        """
        now = self._db.now()
        due = sa.select(jobs).where(
            jobs.c.next_run_at <= now,
            jobs.c.state.in_([JobState.PENDING, JobState.ACTIVE]),
            ~sa.exists().where(runs.c.job_id == jobs.c.id, _OPEN),
        )
        if sources is not None:
            due = due.where(jobs.c.source_name.in_(sources))
        with self._db.read() as connection:
            rows = connection.execute(due).all()
        made = 0
        for row in rows:
            try:
                with self._db.write() as connection:
                    landed = connection.execute(
                        sa.update(jobs)
                        .where(jobs.c.id == row.id, jobs.c.next_run_at == row.next_run_at)
                        .values(next_run_at=next_run(row.spec["schedule"], row.next_run_at, now))
                    )
                    if landed.rowcount == 1:
                        self._insert(
                            connection, row.id, RunKind.AUTOMATIC, f"at {row.next_run_at.isoformat()}", row.next_run_at
                        )
                        made += 1
            except sa.exc.IntegrityError:
                continue  # one was requested meanwhile
        return made

    def claim(self, connector_id: str, sources: Collection[str] | None, *, lease_seconds: float) -> Run | None:
        """Take the oldest PENDING run of these sources: PENDING -> ACTIVE for exactly one of those who try."""
        candidates = (
            sa.select(runs.c.id)
            .join(jobs, jobs.c.id == runs.c.job_id)
            .where(runs.c.state == RunState.PENDING)
            .order_by(runs.c.scheduled_at, runs.c.id)
            .limit(16)
        )
        if sources is not None:
            candidates = candidates.where(jobs.c.source_name.in_(sources))
        with self._db.read() as connection:
            waiting = connection.execute(candidates).scalars().all()
        now = self._db.now()
        for run_id in waiting:
            with self._db.write() as connection:
                landed = connection.execute(
                    sa.update(runs)
                    .where(runs.c.id == run_id, runs.c.state == RunState.PENDING)
                    .values(
                        state=RunState.ACTIVE,
                        connector_id=connector_id,
                        lease_until=now + timedelta(seconds=lease_seconds),
                        started_at=now,
                    )
                )
            if landed.rowcount == 1:
                return self.get(run_id)
        return None

    def orphans(self, sources: Collection[str] | None) -> list[Run]:
        """ACTIVE runs whose lease has run out."""
        query = (
            sa.select(runs)
            .join(jobs, jobs.c.id == runs.c.job_id)
            .where(runs.c.state == RunState.ACTIVE, runs.c.lease_until < self._db.now())
        )
        if sources is not None:
            query = query.where(jobs.c.source_name.in_(sources))
        with self._db.read() as connection:
            return [run_of(row) for row in connection.execute(query)]

    def adopt(self, run: Run, connector_id: str, *, lease_seconds: float) -> bool:
        """Take over a run as it was seen in `orphans`; False where somebody else did, or its connector came back."""
        return self._guarded(
            run.id,
            run.connector_id,
            lease_until=self._db.now() + timedelta(seconds=lease_seconds),
            connector_id=connector_id,
            _also=runs.c.lease_until == run.lease_until,
        )

    def renew(self, run_id: str, connector_id: str, *, lease_seconds: float) -> bool:
        """Keep a run for longer; False where it is not this connector's any more, or has ended."""
        return self._guarded(run_id, connector_id, lease_until=self._db.now() + timedelta(seconds=lease_seconds))

    def let_go(self, run_id: str, connector_id: str) -> bool:
        """End the lease at once: another connector may take over."""
        return self._guarded(run_id, connector_id, lease_until=self._db.now() - timedelta(seconds=1))

    def let_go_all(self, connector_id: str) -> int:
        """The same for all runs of a connector that is known to be dead."""
        with self._db.write() as connection:
            return connection.execute(
                sa.update(runs)
                .where(runs.c.connector_id == connector_id, runs.c.state == RunState.ACTIVE)
                .values(lease_until=self._db.now() - timedelta(seconds=1))
            ).rowcount

    def stage(self, run_id: str, stage: str, message: str | None = None) -> None:
        self._update(run_id, stage=stage, message=message)

    def frozen(self, run_id: str, token: str, consistency: str) -> None:
        self._update(run_id, freeze_token=token, consistency=consistency)

    def image_made(self, run_id: str, image_id: str) -> None:
        self._update(run_id, image_id=image_id)

    def put_disk(self, run_id: str, disk: RunDisk) -> None:
        """Record a disk whose snapshot has been started; a repeated call changes nothing."""
        with self._db.write() as connection:
            known = connection.execute(
                sa.select(disks.c.snapshot_id).where(disks.c.run_id == run_id, disks.c.index == disk.index)
            ).one_or_none()
            if known is None:
                connection.execute(sa.insert(disks).values(run_id=run_id, **asdict(disk)))

    def update_disk(self, run_id: str, index: int, **figures: int | datetime) -> None:
        with self._db.write() as connection:
            connection.execute(
                sa.update(disks).where(disks.c.run_id == run_id, disks.c.index == index).values(**figures)
            )

    def disk_completed(self, run_id: str, index: int) -> None:
        self.update_disk(run_id, index, completed_at=self._db.now())

    def disk_verified(self, run_id: str, index: int) -> None:
        self.update_disk(run_id, index, verified_at=self._db.now())

    def complete(self, run_id: str, image: Image) -> None:
        """COMPLETED, with its image, in one transaction; a repeated call changes nothing."""
        now = self._db.now()
        with self._db.write() as connection:
            landed = connection.execute(
                sa.update(runs)
                .where(runs.c.id == run_id, runs.c.state == RunState.ACTIVE)
                .values(state=RunState.COMPLETED, stage=None, message=None, image_id=image.image_id, completed_at=now)
            )
            if landed.rowcount != 1:
                return
            connection.execute(sa.insert(images).values({**asdict(image), "snapshot_ids": list(image.snapshot_ids)}))
            connection.execute(
                sa.update(jobs)
                .where(jobs.c.id == image.job_id)
                .values(
                    latest_image_id=image.image_id,
                    failures=0,
                    state=sa.case(
                        (jobs.c.state.in_([JobState.PENDING, JobState.PAUSED_ON_FAILURE]), JobState.ACTIVE),
                        else_=jobs.c.state,
                    ),
                )
            )
            note(connection, now, "run-completed", f"image {image.image_id}", job_id=image.job_id, run_id=run_id)

    def fail(self, run_id: str, message: str) -> None:
        """FAILED; the job tries again with growing pauses, or waits for a person after MAX_FAILURES in a row."""
        now = self._db.now()
        with self._db.write() as connection:
            landed = connection.execute(
                sa.update(runs)
                .where(runs.c.id == run_id, _OPEN)
                .values(state=RunState.FAILED, message=message, completed_at=now)
                .returning(runs.c.job_id)
            ).one_or_none()
            if landed is None:
                return
            failures = connection.execute(sa.select(jobs.c.failures).where(jobs.c.id == landed.job_id)).scalar_one() + 1
            values: dict[str, Any] = {"failures": failures, "next_run_at": retry_at(failures, now)}
            if failures >= MAX_FAILURES:
                values |= {"state": JobState.PAUSED_ON_FAILURE, "next_run_at": None}
            connection.execute(
                sa.update(jobs)
                .where(jobs.c.id == landed.job_id, jobs.c.state.notin_([JobState.DELETING, JobState.DELETED]))
                .values(values)
            )
            note(connection, now, "run-failed", message, job_id=landed.job_id, run_id=run_id)

    def find(self, run_id: str) -> Run | None:
        with self._db.read() as connection:
            row = connection.execute(sa.select(runs).where(runs.c.id == run_id)).one_or_none()
        return run_of(row) if row else None

    def get(self, run_id: str) -> Run:
        """Raises `Unknown`."""
        run = self.find(run_id)
        if run is None:
            raise Unknown(kind="run", id=run_id)
        return run

    def token(self, run_id: str) -> str:
        """What the run was asked for with; it says why. Raises `Unknown`."""
        with self._db.read() as connection:
            found = connection.execute(sa.select(runs.c.token).where(runs.c.id == run_id)).scalar_one_or_none()
        if found is None:
            raise Unknown(kind="run", id=run_id)
        return str(found)

    def last_completed(self, job_id: str) -> Run | None:
        query = (
            sa.select(runs)
            .where(runs.c.job_id == job_id, runs.c.state == RunState.COMPLETED)
            .order_by(runs.c.completed_at.desc())
            .limit(1)
        )
        with self._db.read() as connection:
            row = connection.execute(query).one_or_none()
        return run_of(row) if row else None

    def disks(self, run_id: str) -> list[RunDisk]:
        """The root disk first."""
        query = sa.select(disks).where(disks.c.run_id == run_id).order_by(disks.c.index)
        with self._db.read() as connection:
            return [disk_of(row) for row in connection.execute(query)]

    def list(self, job_id: str, *, limit: int = 20) -> list[Run]:
        """Newest first."""
        query = sa.select(runs).where(runs.c.job_id == job_id).order_by(runs.c.id.desc()).limit(limit)
        with self._db.read() as connection:
            return [run_of(row) for row in connection.execute(query)]

    @staticmethod
    def _insert(connection: sa.Connection, job_id: str, kind: RunKind, token: str, scheduled_at: datetime) -> str:
        run_id = new_id("run")
        connection.execute(
            sa.insert(runs).values(
                id=run_id,
                job_id=job_id,
                token=token,
                kind=kind,
                state=RunState.PENDING,
                scheduled_at=scheduled_at,
                cancel_requested=False,
            )
        )
        return run_id

    def _update(self, run_id: str, **values: object) -> None:
        with self._db.write() as connection:
            connection.execute(sa.update(runs).where(runs.c.id == run_id).values(**values))

    def _guarded(
        self, run_id: str, owner: str | None, *, _also: sa.ColumnElement[bool] | None = None, **values: object
    ) -> bool:
        guard = [runs.c.id == run_id, runs.c.state == RunState.ACTIVE, runs.c.connector_id == owner]
        if _also is not None:
            guard.append(_also)
        with self._db.write() as connection:
            return connection.execute(sa.update(runs).where(*guard).values(**values)).rowcount == 1


def run_of(row: Any) -> Run:
    return Run(
        **{each.name: getattr(row, each.name) for each in fields(Run)}
        | {"kind": RunKind(row.kind), "state": RunState(row.state)}
    )


def disk_of(row: Any) -> RunDisk:
    return RunDisk(**{each.name: getattr(row, each.name) for each in fields(RunDisk)})
