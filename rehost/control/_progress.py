"""What can be said of a job: how far its run is, whether it is as it should be, and what to do if not. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from rehost.blocks import BLOCK_SIZE
from rehost.control._records import Connector, JobState, JobStatus, Progress, RunDisk, RunState
from rehost.control._schedule import Schedule

#: So long after its moment a run should have begun where a connector is there.
_GRACE = timedelta(minutes=1)


def progress_of(disks: Sequence[RunDisk], now: datetime) -> Progress:
    """From the figures of a run's disks. A disk whose copy has not begun is not in the total yet."""
    done = sum(disk.blocks_done for disk in disks) * BLOCK_SIZE
    total = sum(disk.blocks_total for disk in disks) * BLOCK_SIZE or None
    copying = next((disk for disk in disks if disk.completed_at is None and disk.blocks_total), None)
    rate = copying.rate if copying else None
    if copying is None or not rate or copying.updated_at is None:
        return Progress(done, total, rate, None)
    left = (copying.blocks_total - copying.blocks_done) * BLOCK_SIZE / rate
    return Progress(done, total, rate, max(0.0, left - (now - copying.updated_at).total_seconds()))


def lag_of(status: JobStatus, now: datetime) -> float | None:
    """Seconds since the point in time of the newest good image."""
    return max(0.0, (now - status.age_from).total_seconds()) if status.age_from else None


def advice(status: JobStatus, healthy: Collection[Connector], now: datetime) -> str | None:
    """The one thing to do about a job now; None where it is as it should be. `healthy`: the connectors that are."""
    job, run = status.job, status.open_run
    server, source = job.spec.server, job.spec.source_name
    served = any(each.serves(source) and each.draining_at is None for each in healthy)
    if job.state is JobState.DELETING:
        return "its end was interrupted: `pulumi up` (or `destroy`) again"
    if run is not None and run.state is RunState.ACTIVE and all(each.id != run.connector_id for each in healthy):
        return f"its connector gives no sign of life; another one takes over within a minute{_start(served, source)}"
    if job.spec.ended:
        return None
    if job.held_by is not None:
        return (
            None
            if job.state is not JobState.FAILING
            else f"held by the cutover of {job.held_by}, which goes on with `pulumi up`"
        )
    if job.paused_at is not None:
        return f"paused by a person: `rehost resume {server}` lets it go on"
    if job.state in (JobState.PAUSED_ON_FAILURE, JobState.FAILED):
        return f"its tries are used up: remove the cause, then `rehost retry {server}`"
    waits_since = run.scheduled_at if run is not None and run.state is RunState.PENDING else job.next_run_at
    if run is None or run.state is RunState.PENDING:
        late = waits_since is not None and now - waits_since > _GRACE
        if late and not served:
            return f"no connector serves {source}: start one there, `rehost connector run --source {source}`"
        if late and run is not None:
            return "it waits for a free connector: see maxConcurrentRuns and --max-runs"
    if job.state is JobState.FAILING:
        return "it tries again by itself"
    target = Schedule.of(job.spec.schedule).target_lag
    lag = lag_of(status, now)
    if target is not None and lag is not None and lag > 2 * target.total_seconds():
        return f"behind its target lag of {target.total_seconds():.0f} s: give it more of the connector or the line"
    return None


def _start(served: bool, source: str) -> str:
    return "" if served else f"; none is there for {source}: `rehost connector run --source {source}`"
