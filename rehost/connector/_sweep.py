"""Leftovers of failed runs, found between runs: a job that waits for a person must not pay for snapshots meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Collection

import structlog

from rehost.aws import Aws, AwsError
from rehost.connector._retention import retire_images
from rehost.control import ControlPlane, Job

log = structlog.get_logger("rehost.connector")

#: Seconds between two looks. What a failed run copied is kept for a day (`_retention.HOLD`), so minutes do not matter.
SWEEP_SECONDS = 600.0


def sweep(control: ControlPlane, aws_for: Callable[[Job], Aws], sources: Collection[str] | None) -> list[str]:
    """Carry out retention for jobs whose last run failed and that have none under way; returns the snapshots that went.

    Each connector does so for the sources it serves; two at once are harmless. Raises ControlError.
    """
    gone: list[str] = []
    for job in control.jobs.list():
        if not job.is_live or not job.failures or (sources is not None and job.spec.source_name not in sources):
            continue
        if any(run.state.is_open for run in control.runs.list(job.id, limit=1)):
            continue  # its own last step does it
        try:
            gone += retire_images(control, aws_for(job), job)
        except AwsError as error:
            log.warning("leftovers could not be looked for", server=job.spec.server, error=str(error))
    return gone
