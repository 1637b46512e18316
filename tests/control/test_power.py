"""Power requests and final runs: asked for once, taken by one, in order, and what `on` restores; on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from rehost.control import (
    ControlPlane,
    Job,
    LeaseWatch,
    PowerAction,
    PowerRequest,
    PowerState,
    RunIsOpen,
    RunKind,
    RunState,
    Unknown,
)

from .conftest import TestClock, spec

LEASE = 30.0


@pytest.fixture
def job(control: ControlPlane) -> Job:
    return control.jobs.put(spec())


def asked(control: ControlPlane, clock: TestClock, job: Job, action: str, **more: object) -> str:
    """With a token of its own, a second after the one before."""
    clock.advance(seconds=1)
    return control.power.request(job.id, action, token=f"{action} {clock.now}", **more)  # type: ignore[arg-type]


def taken(control: ControlPlane, connector: str = "c1") -> PowerRequest:
    control.connectors.register(
        connector, version="1", host="h", pid=1, sources=None, log_path="x"
    )  # harmless where it is known
    [seen] = control.power.open(None)
    found = control.power.take(seen, connector, lease_seconds=LEASE)
    assert found is not None
    return found


def ended(control: ControlPlane, before: str, after: str, *, good: bool = True) -> PowerRequest:
    request = taken(control)
    control.power.found(request.id, "c1", before)
    end = control.power.done if good else lambda *args: control.power.failed(args[0], args[1], args[3], args[2])
    assert end(request.id, "c1", {"before": before, "after": after}, "said")
    return control.power.get(request.id)


def test_the_same_token_is_the_same_request(control: ControlPlane, job: Job) -> None:
    with ThreadPoolExecutor(4) as pool:
        ids = set(pool.map(lambda _: control.power.request(job.id, "off", token="cutover 1"), range(8)))
    assert len(ids) == 1
    request = control.power.get(ids.pop())
    assert (request.state, request.action, request.shutdown_seconds) == (PowerState.PENDING, PowerAction.OFF, 300.0)
    assert request.result == {}
    assert control.power.request(job.id, "off", token="cutover 2") != request.id
    with pytest.raises(ValueError, match="reboot"):
        control.power.request(job.id, "reboot", token="x")
    with pytest.raises(Unknown):
        control.power.request("job-none", "off", token="x")
    with pytest.raises(Unknown):
        control.power.get("power-none")


def test_one_takes_it_and_those_of_a_job_come_in_order(control: ControlPlane, clock: TestClock, job: Job) -> None:
    first = asked(control, clock, job, "off")
    second = asked(control, clock, job, "on")
    other = control.jobs.put(spec("db-01"))
    third = asked(control, clock, other, "look")
    seen = control.power.open(None)
    assert [each.id for each in seen] == [first, third], "the second waits for the first"
    assert [each.id for each in control.power.open(["elsewhere"])] == []
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda n: control.power.take(seen[0], f"c{n}", lease_seconds=LEASE), range(4)))
    assert [each is not None for each in got].count(True) == 1
    [winner] = [each for each in got if each is not None]
    owner = winner.connector_id or ""
    assert [each.id for each in control.power.open(None)] == [first, third]
    assert not control.power.done(first, "somebody else", {}, "x")
    assert control.power.done(first, owner, {"before": "on", "after": "off"}, "it is off")
    assert not control.power.done(first, owner, {}, "again"), "it has ended"
    assert [each.id for each in control.power.open(None)] == [second, third]
    found = control.power.get(first)
    assert (found.state, found.message, dict(found.result)) == (
        PowerState.DONE, "it is off", {"before": "on", "after": "off"},
    )  # fmt: skip
    assert [event.kind for event in control.events.newest(job.id)][:1] == ["power-off"]


def test_what_it_was_is_written_once_and_survives_whoever_wrote_it(
    control: ControlPlane, clock: TestClock, job: Job
) -> None:
    request_id = asked(control, clock, job, "off")
    watched = 0.0
    watch = LeaseWatch(LEASE, lambda: watched)
    request = taken(control)
    assert control.power.found(request.id, "c1", "on").before == "on"
    assert not watch.orphans(control.power.open(None))
    watched = LEASE + 1
    [orphan] = watch.orphans(control.power.open(None))
    adopted = control.power.take(orphan, "c2", lease_seconds=LEASE)
    assert adopted is not None
    assert adopted.started_at == request.started_at, "the time that the guest has does not begin anew"
    assert not control.power.renew(request_id, "c1", lease_seconds=LEASE)
    assert control.power.found(request_id, "c2", "off").before == "on"
    assert control.power.let_go_all("c2") == 1
    assert [each.id for each in LeaseWatch(LEASE).orphans(control.power.open(None))] == [request_id]


def test_a_holder_that_came_back_keeps_it(control: ControlPlane, clock: TestClock, job: Job) -> None:
    asked(control, clock, job, "off")
    taken(control)
    [seen] = control.power.open(None)
    clock.advance(seconds=1)
    assert control.power.renew(seen.id, "c1", lease_seconds=LEASE)
    assert control.power.take(seen, "c2", lease_seconds=LEASE) is None


def test_a_draining_connector_takes_none(control: ControlPlane, clock: TestClock, job: Job) -> None:
    asked(control, clock, job, "off")
    control.connectors.register("c1", version="1", host="h", pid=1, sources=None, log_path="x")
    control.connectors.drain("c1")
    [seen] = control.power.open(None)
    assert control.power.take(seen, "c1", lease_seconds=LEASE) is None


def test_what_on_restores_is_what_was_before_the_first_off(control: ControlPlane, clock: TestClock, job: Job) -> None:
    assert control.power.before(job.id) is None
    asked(control, clock, job, "off")
    ended(control, "on", "on", good=False)
    asked(control, clock, job, "off")
    ended(control, "off", "off")
    asked(control, clock, job, "look")
    ended(control, "off", "off")
    assert control.power.before(job.id) == "on", "the second attempt found what the first had done"
    asked(control, clock, job, "on")
    ended(control, "off", "off", good=False)
    assert control.power.before(job.id) == "on", "it was not restored"
    asked(control, clock, job, "on")
    ended(control, "off", "on")
    assert control.power.before(job.id) is None
    asked(control, clock, job, "quiesce")
    ended(control, "paused", "paused")
    assert control.power.before(job.id) == "paused"
    assert [each.action for each in control.power.list(job.id, limit=2)] == ["quiesce", "on"]


def test_failures_are_events_with_their_reason(control: ControlPlane, clock: TestClock, job: Job) -> None:
    asked(control, clock, job, "off")
    failed = ended(control, "on", "on", good=False)
    assert (failed.state, failed.message, failed.result["after"]) == (PowerState.FAILED, "said", "on")
    assert [(event.kind, event.message) for event in control.events.newest(job.id)][:1] == [("power-failed", "said")]


# Final runs


def test_a_final_run_is_not_held_up(control: ControlPlane, clock: TestClock) -> None:
    job = control.jobs.put(spec())
    control.runs.schedule_due(None)
    control.jobs.pause(job.id)
    run = control.runs.request(job.id, kind=RunKind.FINAL, token="cutover 1/web-01")
    assert (run.kind, run.state) == (RunKind.FINAL, RunState.PENDING)
    claimed = control.runs.claim("c1", None, lease_seconds=LEASE)
    assert claimed is not None
    assert claimed.id == run.id
    assert control.runs.request(job.id, kind=RunKind.FINAL, token="cutover 1/web-01").id == run.id
    with pytest.raises(RunIsOpen):
        control.runs.request(job.id, kind=RunKind.FINAL, token="cutover 2/web-01")
    control.runs.fail(run.id, "as the test asked for")
    assert control.runs.request(job.id, kind=RunKind.FINAL, token="cutover 1/web-01").state is RunState.FAILED
    assert control.runs.request(job.id, kind=RunKind.FINAL, token="cutover 2/web-01").id != run.id


def test_a_scheduled_run_that_waits_becomes_the_final_one(control: ControlPlane, clock: TestClock) -> None:
    """Or a blackout that holds it up would hold the cutover up as well: a job has one open run."""
    job = control.jobs.put(spec())
    control.runs.schedule_due(None)
    [waiting] = control.runs.list(job.id)
    final = control.runs.request(job.id, kind=RunKind.FINAL, token="cutover 1/web-01")
    assert (final.id, final.kind) == (waiting.id, RunKind.FINAL)
    assert control.runs.request(job.id, kind=RunKind.FINAL, token="cutover 1/web-01").id == final.id
    clock.advance(hours=30)
    control.runs.schedule_due(None)
    claimed = control.runs.claim("c1", None, lease_seconds=LEASE)
    assert claimed is not None
    assert claimed.id == final.id, "it did not become MISSED"
    assert clock.now - claimed.scheduled_at >= timedelta(hours=30)
