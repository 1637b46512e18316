"""One cell of the fault matrix: a run, a named point of it, a fault there, and what comes of it.

The steps are the connector's own, in its own order, carried out in this process (or, where it is to be killed, in a forked
one). DBOS's record of the steps is not part of it: after a fault every step is repeated from the first one on, which asks
more of them. `tests/connector/test_faults.py` kills whole connectors at each point, DBOS included.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rehost import faults
from rehost.aws import Aws
from rehost.connector import remove_job
from rehost.control import ControlPlane, Job, LeaseWatch, Run, RunState
from rehost.control._errors import DatabaseUnreachable
from sandbox import Sandbox
from tests.connector.conftest import BLOCK, MIB, Site
from tests.connector.inprocess import FastPatience, Worker

FAULTS = ("kill -9", "exception", "database lost", "AWS 500", "AWS throttling")
BLOCKS = 8
IN_FLIGHT = 1  # blocks at once, so that what can be sent twice is as little as can be
PIECE = 4  # blocks between two checkpoints, so that the point in the copy is in its middle
#: Refused calls in a row: more than the SDK's own retries of two calls, so that the step itself has to be tried again.
REFUSALS = 15
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.reliability.matrix"])


@dataclass
class Cell:
    """What was seen. `left` and `again` are counted in AWS, not taken from our own records."""

    point: str
    fault: str
    left: str = ""
    then: str = ""
    sent_again: int = 0  # bytes
    leftovers: int = 0
    states: list[str] = field(default_factory=list)

    @property
    def dies_in_flight(self) -> bool:
        return (self.point, self.fault) == ("copy-piece", "kill -9")

    def row(self) -> str:
        # How much is in flight when a copy is broken off is chance; whether anything is sent twice is not, but for a process
        # that dies between the service's answer and its own record of it.
        again = f"up to {BLOCKS * BLOCK // MIB} MiB" if self.sent_again else "0"
        if self.dies_in_flight:
            again = f"at most {IN_FLIGHT * BLOCK // 1024} KiB: what was in flight"
        return f"| `{self.point}` | {self.fault} | {self.left} | {self.then} | {again} | {self.leftovers} |"


def probe(point: str, fault: str, folder: Path, sandbox: Sandbox, aws: Aws, patch: pytest.MonkeyPatch) -> Cell:
    """Carry a run to the point, cause the fault, go on as a connector would, then end the job and count what is left.

    `aws` is shared by all cells: its clients take longer to make than a cell takes.
    """
    site = Site(folder, sandbox)
    site.aws = aws
    try:
        site.write(range(BLOCKS), size=16 * MIB)
        job = site.declare()
        before = _puts(sandbox)
        cell = Cell(point, fault)
        site.control.runs.schedule_due(None)
        run = site.control.runs.claim("first", None, lease_seconds=600)
        assert run is not None
        _cause(site, run, cell, patch)
        sandbox.clear_faults()
        cell.states = [site.control.runs.get(run.id).state.value]
        _describe(site, job, run, cell)
        site.assert_image_is_the_disk(job)
        cell.sent_again = (_puts(sandbox) - before - BLOCKS) * BLOCK
        remove_job(site.control, site.aws, job.id, on_progress=lambda _: None)
        made_at_source = [path for path in site.disk.parent.iterdir() if path != site.disk]
        cell.leftovers = len(site.aws.list_owned(site.stack)) + len(made_at_source)
        return cell
    finally:
        sandbox.clear_faults()
        site.close()


def _cause(site: Site, run: Run, cell: Cell, patch: pytest.MonkeyPatch) -> None:
    if cell.fault == "kill -9":
        child = _FORKS.Process(
            target=_die_at, args=(cell.point, site.folder, site.stack, site.sandbox.endpoint, run.id)
        )
        child.start()
        child.join(timeout=120)
        assert child.exitcode == -signal.SIGKILL, f"the process ended with {child.exitcode}"
        cell.left = _left(site)
        return
    causes: dict[str, Callable[[], None]] = {
        "exception": _raise(cell.point),
        "database lost": lambda: _lose_database(site.control, 5),
        "AWS 500": lambda: site.sandbox.fault(
            action="error", status=500, code="InternalError", message="injected", count=REFUSALS
        ),
        "AWS throttling": lambda: site.sandbox.fault(action="throttle", count=REFUSALS),
    }
    with _at(cell.point, causes[cell.fault], patch):
        _carry(site, run)
    cell.left = _left(site)


def _describe(site: Site, job: Job, run: Run, cell: Cell) -> None:
    """Start again, where there is something to do, and say what that did."""
    control, state = site.control, site.control.runs.get(run.id).state
    if state is RunState.COMPLETED:
        cell.then = "nothing: the run waited, and was completed" if cell.fault not in ("kill -9", "exception") else ""
        if not cell.then:
            cell.then = "nothing: the run was recorded already"
        return
    if state is RunState.ACTIVE:  # its connector is gone: the next one takes it over
        assert control.runs.let_go(run.id, "first")
        (orphan,) = [each for each in control.runs.orphans(None, LeaseWatch(30.0)) if each.id == run.id]
        assert control.runs.adopt(orphan, "second", lease_seconds=600)
        done = _worker(site).go_on(control.runs.get(run.id))
        cell.then = "went on with the same run"
    else:
        kept = {disk.snapshot_id for disk in control.runs.disks(run.id)}
        copy = control.whole_copies.find(run.id)
        done = _worker(site).carry_out(job, f"retry {run.id}")
        if copy is not None and done.image_id == copy.image_id:
            cell.then = "a new run took the image over"
        elif kept and kept == {disk.snapshot_id for disk in control.runs.disks(done.id)}:
            cell.then = "a new run made an image of the copy"
        else:
            cell.then = "a new run copied"
    assert done.state is RunState.COMPLETED, done.message


def _worker(site: Site) -> Worker:
    worker = Worker(site, FastPatience().patience(), in_flight=IN_FLIGHT)
    worker.steps._aws[site.aws.session.settings] = site.aws
    return worker


def _carry(site: Site, run: Run) -> None:
    """What a connector does with a run that it has claimed; an exception there ends it."""
    try:
        faults.point("run-claimed")
    except faults.InjectedFault:
        return
    _worker(site).go_on(run)


def _die_at(point: str, folder: Path, stack: str, endpoint: str, run_id: str) -> None:
    """In a process of its own: carry the run on until the point kills it."""
    from unittest import mock

    from rehost.connector import _copy

    sandbox = mock.Mock(endpoint=endpoint)
    site = Site(folder, sandbox, stack)
    with (
        mock.patch.object(faults, "_armed", {point: (1, "kill")}),
        mock.patch.object(_copy, "PIECE_BLOCKS", PIECE),
    ):
        _carry(site, site.control.runs.get(run_id))


@contextmanager
def _at(point: str, cause: Callable[[], None], patch: pytest.MonkeyPatch) -> Any:
    """Let `cause` happen the first time that the point is passed."""
    passed: list[str] = []

    def pass_(name: str) -> None:
        if name == point and not passed:
            passed.append(name)
            cause()

    with patch.context() as here:
        here.setattr(faults, "point", pass_)
        yield
    assert passed, f"the run did not pass {point}"


def _raise(point: str) -> Callable[[], None]:
    def cause() -> None:
        raise faults.InjectedFault(point=point)

    return cause


def _lose_database(control: ControlPlane, times: int) -> None:
    """The next so many transactions fail as they do when the server is away."""
    database: Any = control._db
    left = [times]

    def losing(method: Any) -> Any:
        def call() -> Any:
            if left[0] > 0:
                left[0] -= 1
                raise DatabaseUnreachable(database=database.name, reason="injected")
            return method()

        return call

    database.read, database.write = (
        losing(type(database).read.__get__(database)),
        losing(type(database).write.__get__(database)),
    )


def _puts(sandbox: Sandbox) -> int:
    """Blocks that EBS has taken."""
    return sandbox.bytes_received() // BLOCK


def _left(site: Site) -> str:
    kinds = [each.kind for each in _unfailing(site)]
    found = [f"{kinds.count(kind)} {kind}" for kind in ("snapshot", "image") if kind in kinds]
    return " and ".join(found) or "nothing"


def _unfailing(site: Site) -> list[Any]:
    site.sandbox.clear_faults()
    return site.aws.list_owned(site.stack)
