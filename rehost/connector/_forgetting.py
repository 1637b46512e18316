"""What a source keeps for a difference that nobody will ask for: the base of a job that has ended."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import structlog

from rehost.control import ControlPlane, Job
from rehost.sources import ServerNotFound, SourceError, Tidy, open_source

log = structlog.get_logger("rehost.connector")


def forget_base(control: ControlPlane, job: Job, *, base: Path) -> str:
    """Let the source of a job that has ended go of what it keeps for a next run; what stays of it and why, or "".

    Relative paths of the source's entry are relative to `base`. Repeating it is harmless. Raises ControlError.
    """
    copy = control.whole_copies.last(job.id)
    if copy is None or copy.forgotten:
        return ""
    positions = {disk.key: disk.position for disk in control.runs.disks(copy.run_id)}
    try:
        source = open_source(job.spec.source, base=base)
        try:
            tidy: object = source
            if isinstance(tidy, Tidy):
                tidy.forget(job.spec.locator, positions)
        finally:
            source.close()
    except ServerNotFound:
        # A machine that was removed after its cutover took with it what was kept on it; what lies beside it goes without it.
        log.info("the server is gone from its source, and what was kept there too", server=job.spec.server)
    except SourceError as error:
        look = f"`rehost doctor {job.spec.source_name} {job.spec.server}` lists it"
        return f"what the source keeps to tell changes since {copy.run_id} stays there for now: {error}; {look}"
    control.whole_copies.forget(job.id)
    return ""


def forget_bases(control: ControlPlane, sources: Collection[str] | None, *, base: Path, told: set[str]) -> None:
    """The same for every job that has ended, of the sources that this connector serves. Raises ControlError.

    `told` has the jobs of which it was said that something stays, and gets more: once each will do, every ten minutes is noise.
    """
    for job_id in control.whole_copies.unneeded():
        job = control.jobs.get(job_id)
        if sources is not None and job.spec.source_name not in sources:
            continue
        trouble = forget_base(control, job, base=base)
        if trouble and job_id not in told:
            told.add(job_id)
            log.warning("a source keeps what nobody needs", server=job.spec.server, reason=trouble)
