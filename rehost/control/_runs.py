"""Runs: requested, claimed, leased, ended. Every transition is one guarded UPDATE, which says whether it landed.

PENDING --claim--> ACTIVE --complete--> COMPLETED
   |                 |  \\--fail------> FAILED
   |                 '--adopt--> ACTIVE (another connector, when nobody holds it any more)
   |--(it could not start in time)--> MISSED
   '--(job ended)--> FAILED
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

import sqlalchemy as sa

from rehost.blocks import BLOCK_SIZE
from rehost.control import _claims, _endings, _scheduler
from rehost.control._database import Database, patient
from rehost.control._errors import NothingToRetry, RunIsOpen, Unknown
from rehost.control._events import note
from rehost.control._jobs import job_of
from rehost.control._leases import LET_GO, LeaseWatch
from rehost.control._records import Image, JobState, Run, RunDisk, RunKind, RunState
from rehost.control._tables import Utc, disks, jobs, runs

_OPEN = runs.c.state.in_([RunState.PENDING, RunState.ACTIVE])
_LATEST = 0.3  # share of the latest piece in a copy's smoothed rate
_RUN = tuple(each.name for each in fields(Run))
_of_run, _of_disk = attrgetter(*_RUN), attrgetter(*(each.name for each in fields(RunDisk)))
_GAP = 120.0  # seconds without a piece: the copy was interrupted, and this says nothing of its rate


@patient
class Runs:
    def __init__(self, database: Database) -> None:
        self._db = database

    def request(self, job_id: str, *, token: str, kind: RunKind = RunKind.ON_DEMAND) -> Run:
        """Ask for a run now; the same token gives the same run, and a run that is open already is the one given.

        A FINAL run has to be of a later moment than the request. A scheduled run that has not begun becomes it; while
        another one is open it raises `RunIsOpen`. No blackout, schedule or pause holds it up.
        """
        for _ in range(3):
            try:
                with self._db.write() as connection:
                    known = sa.select(runs).where(runs.c.job_id == job_id, sa.or_(runs.c.token == token, _OPEN))
                    row = connection.execute(known.order_by(_OPEN)).first()
                    if row is not None and row.kind == RunKind.AUTOMATIC and row.state == RunState.PENDING:
                        # Somebody waits for it now: no blackout holds it up, and it does not become MISSED.
                        values: dict[str, Any] = {"kind": kind, "not_before": None, "start_by": None}
                        values |= {"token": token} if kind is RunKind.FINAL else {}
                        connection.execute(
                            sa.update(runs).where(runs.c.id == row.id, runs.c.state == RunState.PENDING).values(values)
                        )
                        row = connection.execute(sa.select(runs).where(runs.c.id == row.id)).one()
                    if row is not None and kind is RunKind.FINAL and row.token != token:
                        raise RunIsOpen(job=job_id, run=row.id)
                    if row is None:
                        state = connection.execute(
                            sa.select(jobs.c.state).where(jobs.c.id == job_id)
                        ).scalar_one_or_none()
                        if state is None or state in (JobState.DELETING, JobState.DELETED):
                            raise Unknown(kind="live job", id=job_id)
                        run_id = _scheduler.insert_run(connection, job_id, kind, self._db.now(), token=token)
                        row = connection.execute(sa.select(runs).where(runs.c.id == run_id)).one()
                    return run_of(row)
            except sa.exc.IntegrityError:
                continue  # the scheduler was quicker: its run is the one
        raise RunIsOpen(job=job_id, run="another")

    def retry(self, job_id: str, *, token: str) -> Run:
        """Ask for a run of a job that is in trouble; its tries begin anew. Raises `NothingToRetry`."""
        now = self._db.now()
        with self._db.write() as connection:
            row = connection.execute(sa.select(jobs).where(jobs.c.id == job_id).with_for_update()).one_or_none()
            if row is None:
                raise Unknown(kind="live job", id=job_id)
            job = job_of(row)
            last = connection.execute(sa.select(runs.c.state).where(runs.c.id == row.last_run_id)).scalar_one_or_none()
            if last != RunState.FAILED:
                raise NothingToRetry(server=job.spec.server)
            if job.state in (JobState.FAILING, JobState.PAUSED_ON_FAILURE, JobState.FAILED):
                state = JobState.ACTIVE if job.latest_image_id else JobState.PENDING
                connection.execute(
                    sa.update(jobs)
                    .where(jobs.c.id == job_id)
                    .values(state=state, failures=0, next_run_at=None, planned_at=now)
                )
                note(connection, now, "job-resumed", "a person asked for another try", job=job)
        return self.request(job_id, token=token)

    def schedule_due(self, sources: Collection[str] | None) -> int:
        """Make a PENDING run of every job that is due and has none open; returns how many.

        However long nobody looked, a job gets one run, its next moment lies ahead, and what passed is one MISSED run.
        """
        return _scheduler.schedule_due(self._db, sources)

    def claim(self, connector_id: str, sources: Collection[str] | None, *, lease_seconds: float) -> Run | None:
        """Take a PENDING run of these sources: PENDING -> ACTIVE for exactly one of those who try."""
        run_id = _claims.claim(self._db, connector_id, sources, lease_seconds=lease_seconds)
        return None if run_id is None else self.get(run_id)

    def orphans(self, sources: Collection[str] | None, watch: LeaseWatch) -> list[Run]:
        """ACTIVE runs that nobody holds any more, as far as `watch` has seen."""
        query = sa.select(runs).join(jobs, jobs.c.id == runs.c.job_id).where(runs.c.state == RunState.ACTIVE)
        if sources is not None:
            query = query.where(jobs.c.source_name.in_(sources))
        with self._db.read() as connection:
            return watch.orphans([run_of(row) for row in connection.execute(query)])

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
        return self._guarded(run_id, connector_id, lease_until=LET_GO)

    def let_go_all(self, connector_id: str) -> int:
        """The same for all runs of a connector that is known to be dead."""
        with self._db.write() as connection:
            return connection.execute(
                sa.update(runs)
                .where(runs.c.connector_id == connector_id, runs.c.state == RunState.ACTIVE)
                .values(lease_until=LET_GO)
            ).rowcount

    def held(self) -> dict[str, int]:
        """By connector, how many ACTIVE runs it has."""
        query = (
            sa.select(runs.c.connector_id, sa.func.count())
            .where(runs.c.state == RunState.ACTIVE)
            .group_by(runs.c.connector_id)
        )
        with self._db.read() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def stage(self, run_id: str, stage: str, message: str | None = None) -> None:
        """Where the run is. `stage_at` says since when, and stays while the stage does."""
        now = sa.literal(self._db.now(), Utc)
        since = sa.case((runs.c.stage == stage, sa.func.coalesce(runs.c.stage_at, now)), else_=now)
        self._update(run_id, stage=stage, message=message, stage_at=since)

    def frozen(self, run_id: str, token: str, consistency: str) -> None:
        self._update(run_id, freeze_token=token, consistency=consistency, frozen_at=self._db.now())

    def image_made(self, run_id: str, image_id: str) -> None:
        self._update(run_id, image_id=image_id)

    def put_disk(self, run_id: str, disk: RunDisk) -> None:
        """Record a disk whose snapshot has been started; a repeated call changes nothing."""
        with self._db.write() as connection:
            known = connection.execute(
                sa.select(disks.c.snapshot_id).where(disks.c.run_id == run_id, disks.c.index == disk.index)
            ).one_or_none()
            if known is None:
                now = self._db.now()
                values = {**asdict(disk), "started_at": disk.started_at or now, "updated_at": now}
                connection.execute(sa.insert(disks).values(run_id=run_id, **values))

    def update_disk(self, run_id: str, index: int, **figures: int | datetime) -> None:
        """Record figures of a copy; with `blocks_done` among them, its rate follows."""
        this = (disks.c.run_id == run_id, disks.c.index == index)
        with self._db.write() as connection:
            values: dict[str, Any] = dict(figures)
            if "blocks_done" in figures:
                now = self._db.now()
                row = connection.execute(
                    sa.select(disks.c.blocks_done, disks.c.updated_at, disks.c.rate).where(*this)
                ).one_or_none()
                values |= {"updated_at": now, **(_rate(row, values["blocks_done"], now) if row else {})}
            connection.execute(sa.update(disks).where(*this).values(**values))

    def disk_completed(self, run_id: str, index: int) -> None:
        self.update_disk(run_id, index, completed_at=self._db.now())

    def disk_verified(self, run_id: str, index: int) -> None:
        self.update_disk(run_id, index, verified_at=self._db.now())

    def complete(self, run_id: str, image: Image) -> None:
        """COMPLETED, with its image and the job's next plan, in one transaction; a repeated call changes nothing."""
        _endings.complete(self._db, run_id, image)

    def fail(self, run_id: str, message: str) -> None:
        """FAILED; the job tries again as its policy says, or waits for a person. A repeated call changes nothing."""
        _endings.fail(self._db, run_id, message)

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
            .order_by(runs.c.number.desc())
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
        query = sa.select(runs).where(runs.c.job_id == job_id).order_by(runs.c.number.desc()).limit(limit)
        with self._db.read() as connection:
            return [run_of(row) for row in connection.execute(query)]

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


def _rate(row: Any, blocks_done: int, now: datetime) -> dict[str, int]:
    """Bytes a second, smoothed over pieces."""
    seconds = (now - row.updated_at).total_seconds() if row.updated_at else 0.0
    if not 0 < seconds < _GAP or blocks_done <= row.blocks_done:
        return {}
    latest = (blocks_done - row.blocks_done) * BLOCK_SIZE / seconds
    return {"rate": round(latest if row.rate is None else _LATEST * latest + (1 - _LATEST) * row.rate)}


def run_of(row: Any) -> Run:
    found = dict(zip(_RUN, _of_run(row), strict=True))
    return Run(**found | {"kind": RunKind(row.kind), "state": RunState(row.state)})


def disk_of(row: Any) -> RunDisk:
    return RunDisk(*_of_disk(row))
