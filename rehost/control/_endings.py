"""How a run ends, and what becomes of its job: one transaction, with its image, its events and the next plan."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from rehost.control._database import Database
from rehost.control._events import note
from rehost.control._jobs import job_of
from rehost.control._records import Image, Job, JobState, RunKind, RunState
from rehost.control._schedule import Schedule
from rehost.control._tables import disks, images, jobs, runs

_OPEN = runs.c.state.in_([RunState.PENDING, RunState.ACTIVE])
_TROUBLED = (JobState.FAILING, JobState.PAUSED_ON_FAILURE, JobState.FAILED)


def complete(database: Database, run_id: str, image: Image) -> None:
    """COMPLETED, with its image; a repeated call changes nothing."""
    now = database.now()
    with database.write() as connection:
        found = _locked(connection, run_id)
        if found is None:
            return
        run, job = found
        landed = connection.execute(
            sa.update(runs)
            .where(runs.c.id == run_id, runs.c.state == RunState.ACTIVE)
            .values(
                state=RunState.COMPLETED,
                image_id=image.image_id,
                stage=None,
                message=None,
                completed_at=now,
                sent_bytes=_sent(connection, run_id),
            )
        )
        if landed.rowcount != 1:
            return
        taken = image.taken_at or run.frozen_at or image.created_at
        row = {**asdict(image), "snapshot_ids": list(image.snapshot_ids), "number": run.number, "taken_at": taken}
        lag = _lag(connection, job, now)
        connection.execute(sa.insert(images).values(row))
        values = {
            "latest_image_id": image.image_id,
            "last_run_id": run_id,
            "failures": 0,
            "missed": 0,
            "lag_seconds": lag,
        }
        if job.is_live and not job.spec.ended:
            values |= {"state": JobState.ACTIVE, **_planned(job, run, taken, now)}
        connection.execute(sa.update(jobs).where(jobs.c.id == job.id).values(values))
        _tell_completed(connection, now, job, run, image, lag)


def fail(database: Database, run_id: str, message: str) -> None:
    """FAILED; the job tries again as its policy says, or waits for a person. A repeated call changes nothing."""
    now = database.now()
    with database.write() as connection:
        found = _locked(connection, run_id)
        if found is None:
            return
        run, job = found
        landed = connection.execute(
            sa.update(runs)
            .where(runs.c.id == run_id, _OPEN)
            # Its stage stays: that is where it failed.
            .values(state=RunState.FAILED, message=message, completed_at=now, sent_bytes=_sent(connection, run_id))
        )
        if landed.rowcount != 1:
            return
        failures = job.failures + 1
        values: dict[str, Any] = {"last_run_id": run_id, "failures": failures}
        # A job that runs once and has done so is not troubled by what was asked for later; nor does a failed final run,
        # whose cutover knows what to do, start one by itself.
        counts = job.is_live and job.state is not JobState.COMPLETED and run.kind != RunKind.FINAL
        if counts:
            values |= _tried(job, failures, now)
        connection.execute(sa.update(jobs).where(jobs.c.id == job.id).values(values))
        note(connection, now, "run-failed", message, job=job, run_id=run_id, failures=failures, stage=run.stage)
        if counts and values["state"] != JobState.FAILING and job.state not in _GIVEN_UP:
            text = f"{failures} runs in a row have failed; after the cause is removed: rehost retry {job.spec.server}"
            note(connection, now, "job-paused-on-failure", text, job=job, run_id=run_id, failures=failures)


_GIVEN_UP = (JobState.PAUSED_ON_FAILURE, JobState.FAILED)


def _locked(connection: sa.Connection, run_id: str) -> tuple[Any, Job] | None:
    """The run and its job, whose row nobody else changes now. The job comes first everywhere, or two could wait for each
    other."""
    job_id = connection.execute(sa.select(runs.c.job_id).where(runs.c.id == run_id)).scalar_one_or_none()
    if job_id is None:
        return None
    job = connection.execute(sa.select(jobs).where(jobs.c.id == job_id).with_for_update()).one()
    return connection.execute(sa.select(runs).where(runs.c.id == run_id)).one(), job_of(job)


def _sent(connection: sa.Connection, run_id: str) -> int | None:
    total = connection.execute(sa.select(sa.func.sum(disks.c.sent_bytes)).where(disks.c.run_id == run_id)).scalar_one()
    return None if total is None else int(total)


def _planned(job: Job, run: Any, taken: datetime, now: datetime) -> dict[str, Any]:
    """State and next moment of a live job after a good run."""
    schedule = Schedule.of(job.spec.schedule)
    if schedule.run_once:
        return {"state": JobState.COMPLETED, "next_run_at": None, "planned_at": now}
    if job.is_held:
        return {}
    server, anchor = job.spec.server, job.anchor_at or job.created_at
    if schedule.continuous:
        took = max(now - (run.started_at or now), timedelta())
        return {"next_run_at": schedule.after_completion(server, taken, took, now), "planned_at": now}
    if job.failures or job.next_run_at is None:  # a retry was planned, or nothing
        return {"next_run_at": schedule.next(server, now, anchor), "planned_at": now}
    return {}


def _tried(job: Job, failures: int, now: datetime) -> dict[str, Any]:
    """State and next moment of a live job after a failed run."""
    schedule = Schedule.of(job.spec.schedule)
    if failures >= schedule.retry.attempts or job.state in _GIVEN_UP:
        gave_up = JobState.FAILED if schedule.run_once and job.latest_image_id is None else JobState.PAUSED_ON_FAILURE
        return {"state": gave_up, "next_run_at": None, "planned_at": now}
    anchor = job.anchor_at or job.created_at
    again = None if job.is_held else schedule.after_failure(job.spec.server, failures, now, anchor)
    return {"state": JobState.FAILING, "next_run_at": again, "planned_at": now}


def _lag(connection: sa.Connection, job: Job, now: datetime) -> int | None:
    """Seconds: how old the newest image had become by now, when its successor is there."""
    if job.latest_image_id is None:
        return None
    row = connection.execute(
        sa.select(images.c.taken_at, images.c.created_at).where(images.c.image_id == job.latest_image_id)
    ).one_or_none()
    return None if row is None else max(0, round((now - (row.taken_at or row.created_at)).total_seconds()))


def _tell_completed(
    connection: sa.Connection, now: datetime, job: Job, run: Any, image: Image, lag: int | None
) -> None:
    details = {"image": image.image_id, "lag_seconds": lag}
    note(connection, now, "run-completed", f"image {image.image_id}", job=job, run_id=run.id, **details)
    if job.state in _TROUBLED:
        text = f"image {image.image_id}, after {job.failures} failures"
        note(connection, now, "job-recovered", text, job=job, run_id=run.id, **details, failures=job.failures)
    schedule = Schedule.of(job.spec.schedule)
    if schedule.run_once and job.state is not JobState.COMPLETED:
        note(connection, now, "job-completed", f"image {image.image_id}", job=job, run_id=run.id, **details)
    if schedule.target_lag is not None and lag is not None:
        target = schedule.target_lag.total_seconds()
        if lag > target >= (job.lag_seconds or 0):  # once, not with each run that stays behind
            text = f"the newest image had become {lag} s old; the target is {target:.0f} s"
            note(connection, now, "lag-exceeded", text, job=job, run_id=run.id, **details, target_lag_seconds=target)
