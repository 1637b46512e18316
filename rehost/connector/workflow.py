"""One DBOS workflow a run: the order of the steps, and what happens when one fails.

DBOS records each step's result. After a crash the workflow is started again, by this connector or another, and goes through the
same steps: recorded ones answer from the record, the interrupted one runs again. So each step may be repeated, and whatever it
creates in AWS carries a client token (or a unique name) derived from the run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import structlog
from dbos import DBOS

from rehost.connector._patience import Patience
from rehost.errors import RehostError
from rehost.sources import SourceError

if TYPE_CHECKING:
    from rehost.connector._spreading import Copied
    from rehost.connector._steps import RunSteps

T = TypeVar("T")

#: DBOS's own default is a hash of the source code, and a changed one strands pending work. Raised only when the order or
#: the meaning of steps changes; runs of an older version are then finished by connectors of that version.
APPLICATION_VERSION = "2"

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
        try:
            _to_completion(run_id)
        except Exception as error:
            log.warning("run failed", run=run_id, error=str(error), exc_info=not isinstance(error, RehostError))
            reason = str(error) if isinstance(error, RehostError) else f"{type(error).__name__}: {error}"
            abandon(run_id, reason + _released(run_id))
        retire(run_id)
    except Exception as error:
        # Whatever it is, a run that nobody works on must not look as if somebody did.
        log.error("run could not be ended in order", run=run_id, error=str(error), exc_info=True)
        steps().control.runs.fail(run_id, f"it could not be ended in order: {error}")
    finally:
        steps().leave(run_id)


def _to_completion(run_id: str) -> None:
    disks = freeze(run_id)
    for index in range(disks):
        start_snapshot(run_id, index)
        copy(run_id, index)
        complete_snapshot(run_id, index)
    # The bytes are safe: an import may take an hour, and nobody wants a frozen source for that long.
    if trouble := _released(run_id):
        log.warning("the source was not released", run=run_id, reason=trouble)
    make_image(run_id)
    record(run_id, spread(run_id))


def _released(run_id: str) -> str:
    """Release the source; what kept it from that, as the end of a message."""
    try:
        release(run_id)
    except SourceError as error:
        return f". Its point in time could not be given up: {error}"
    return ""


def _patiently(name: str, run_id: str, step: Callable[[], T], patience: Patience | None = None) -> T:
    here = steps()
    return (patience or here.settings.patience).call(
        step, name=name, run=run_id, stop=here.stop_of(run_id), say=lambda text: here.say(run_id, text)
    )


@DBOS.step(name="freeze")
def freeze(run_id: str) -> int:
    # Nothing is copied yet: a source that refuses fails the run, which makes room for others, and the job tries again in a minute.
    patience = replace(steps().settings.patience, source=0.0)
    return _patiently("freeze", run_id, lambda: steps().freeze(run_id), patience)


@DBOS.step(name="start_snapshot")
def start_snapshot(run_id: str, index: int) -> None:
    _patiently("start_snapshot", run_id, lambda: steps().start_snapshot(run_id, index))


@DBOS.step(name="copy")
def copy(run_id: str, index: int) -> None:
    _patiently("copy", run_id, lambda: steps().copy(run_id, index))


@DBOS.step(name="complete_snapshot")
def complete_snapshot(run_id: str, index: int) -> None:
    _patiently("complete_snapshot", run_id, lambda: steps().complete_snapshot(run_id, index))


@DBOS.step(name="release")
def release(run_id: str) -> None:
    _patiently("release", run_id, lambda: steps().release(run_id))


@DBOS.step(name="make_image")
def make_image(run_id: str) -> None:
    _patiently("make_image", run_id, lambda: steps().make_image(run_id))


@DBOS.step(name="spread")
def spread(run_id: str) -> Copied:
    return _patiently("spread", run_id, lambda: steps().spread(run_id))


@DBOS.step(name="record")
def record(run_id: str, copied: Copied) -> None:
    _patiently("record", run_id, lambda: steps().record(run_id, copied))


@DBOS.step(name="abandon")
def abandon(run_id: str, reason: str) -> None:
    _patiently("abandon", run_id, lambda: steps().abandon(run_id, reason))


@DBOS.step(name="retire")
def retire(run_id: str) -> None:
    _patiently("retire", run_id, lambda: steps().retire(run_id))
