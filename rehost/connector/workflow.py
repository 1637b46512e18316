"""One DBOS workflow a run: the order of the steps, and what happens when one fails.

DBOS records each step's result. After a crash the workflow is started again, by this connector or another, and goes through the
same steps: recorded ones answer from the record, the interrupted one runs again. So each step may be repeated, and whatever it
creates in AWS carries a client token (or a unique name) derived from the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from dbos import DBOS

from rehost.errors import RehostError

if TYPE_CHECKING:
    from rehost.connector._steps import RunSteps

#: DBOS's own default is a hash of the source code, and a changed one strands pending work. Raised only when the order or
#: the meaning of steps changes; runs of an older version are then finished by connectors of that version.
APPLICATION_VERSION = "1"

log = structlog.get_logger("rehost.connector")

_steps: RunSteps | None = None


def serve(steps: RunSteps) -> None:
    """Set what the steps of this process work with; called before DBOS is launched."""
    global _steps
    _steps = steps


def steps() -> RunSteps:
    if _steps is None:
        raise RehostError(detail="no connector runs in this process")
    return _steps


@DBOS.workflow(name="replication_run")
def replication_run(run_id: str) -> None:
    """Carry run `run_id` through to COMPLETED or FAILED. Never raises what a user could cause."""
    try:
        disks = freeze(run_id)
        for index in range(disks):
            start_snapshot(run_id, index)
            copy(run_id, index)
            complete_snapshot(run_id, index)
        release(
            run_id
        )  # the bytes are safe: an import may take an hour, and nobody wants a frozen source for that long
        make_image(run_id)
        record(run_id)
    except Exception as error:
        log.warning("run failed", run=run_id, error=str(error), exc_info=not isinstance(error, RehostError))
        reason = str(error) if isinstance(error, RehostError) else f"{type(error).__name__}: {error}"
        release(run_id)
        abandon(run_id, reason)
    retire(run_id)


@DBOS.step(name="freeze")
def freeze(run_id: str) -> int:
    return steps().freeze(run_id)


@DBOS.step(name="start_snapshot")
def start_snapshot(run_id: str, index: int) -> None:
    steps().start_snapshot(run_id, index)


@DBOS.step(name="copy")
def copy(run_id: str, index: int) -> None:
    steps().copy(run_id, index)


@DBOS.step(name="complete_snapshot")
def complete_snapshot(run_id: str, index: int) -> None:
    steps().complete_snapshot(run_id, index)


@DBOS.step(name="make_image")
def make_image(run_id: str) -> None:
    steps().make_image(run_id)


@DBOS.step(name="record")
def record(run_id: str) -> None:
    steps().record(run_id)


@DBOS.step(name="abandon")
def abandon(run_id: str, reason: str) -> None:
    steps().abandon(run_id, reason)


@DBOS.step(name="release")
def release(run_id: str) -> None:
    steps().release(run_id)


@DBOS.step(name="retire")
def retire(run_id: str) -> None:
    steps().retire(run_id)
