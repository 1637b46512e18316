"""Every pair of phases, and what the control plane keeps of an application's way; on both databases."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest

from rehost.control import (
    ApplicationHeld,
    ControlPlane,
    Job,
    JobState,
    Phase,
    PhaseRefused,
    RunKind,
    RunState,
    Standing,
    refusal,
    steps,
)

from .conftest import TestClock, spec
from .test_contract import completed

SERVERS = ("db-01", "web-01")
WHERE = ("dev", "shop")
#: From, to -> what it takes: "" nothing, or what makes it legal. What is not here is refused, whatever else there is.
LEGAL = {
    (None, Phase.REPLICATE): "",
    (None, Phase.TEST): "",
    (Phase.REPLICATE, Phase.REPLICATE): "",
    (Phase.REPLICATE, Phase.TEST): "",
    (Phase.REPLICATE, Phase.CUTOVER): "force",
    (Phase.TEST, Phase.REPLICATE): "",
    (Phase.TEST, Phase.TEST): "",
    (Phase.TEST, Phase.CUTOVER): "tested or force",
    (Phase.CUTOVER, Phase.REPLICATE): "",
    (Phase.CUTOVER, Phase.TEST): "",
    (Phase.CUTOVER, Phase.CUTOVER): "",
    (Phase.CUTOVER, Phase.COMPLETE): "reached",
    (Phase.COMPLETE, Phase.COMPLETE): "",
}
CASES = list(itertools.product([None, *Phase], Phase, (False, True), (False, True), (False, True)))


def met(condition: str, *, reached: bool, tested: bool, forced: bool) -> bool:
    return {
        "": True,
        "force": forced,
        "tested or force": forced or (reached and tested),
        "reached": reached,
    }[condition]


@pytest.mark.parametrize(("before", "to", "reached", "tested", "forced"), CASES)
def test_every_pair_of_phases(before: Phase | None, to: Phase, reached: bool, tested: bool, forced: bool) -> None:
    servers = frozenset(SERVERS)
    standing = Standing(before, reached, servers, servers if tested else frozenset()) if before else None
    problem = refusal(standing, to, servers=SERVERS, force="no test network" if forced else None)
    condition = LEGAL.get((before, to))
    assert (problem is None) == (
        condition is not None and met(condition, reached=reached, tested=tested, forced=forced)
    ), problem
    if problem is not None:
        assert f"from {before or 'nothing'}" in problem
        for legal in steps(standing):
            assert legal in problem, "the legal ones are named"


def test_what_a_refusal_says() -> None:
    at_test = Standing(Phase.TEST, True, frozenset(SERVERS), frozenset({"db-01"}))
    assert refusal(at_test, Phase.CUTOVER, servers=SERVERS, force=None) == (
        "it cannot go from test to cutover: web-01 was not in the test; from test it can go to replicate or cutover "
        "(once its test has come to a good end, or with `force: <reason>`)"
    )
    assert refusal(None, Phase.COMPLETE, servers=SERVERS, force=None) == (
        "it cannot go from nothing to complete; from nothing it can go to replicate or test"
    )


@pytest.mark.parametrize("phase", [Phase.CUTOVER, Phase.COMPLETE])
@pytest.mark.parametrize("servers", [("db-01",), ("db-01", "web-01", "web-02")])
def test_the_servers_of_what_is_cut_over_stay(phase: Phase, servers: tuple[str, ...]) -> None:
    standing = Standing(phase, True, frozenset(SERVERS), frozenset(SERVERS))
    assert "its servers cannot change" in (refusal(standing, phase, servers=servers, force=None) or "")
    assert refusal(standing, phase, servers=SERVERS, force=None) is None
    for other in (Phase.REPLICATE, Phase.TEST):
        assert refusal(Standing(other, True, frozenset(SERVERS)), other, servers=servers, force=None) is None


def enter(control: ControlPlane, phase: Phase, **more: str) -> None:
    control.applications.enter(*WHERE, phase, servers=SERVERS, force=more.get("force"), wave=more.get("wave"))


def declared(control: ControlPlane, **changes: object) -> dict[str, Job]:
    return {server: control.jobs.put(spec(server, application="shop", **changes)) for server in SERVERS}


def tested(control: ControlPlane) -> None:
    enter(control, Phase.TEST)
    images = {server: {"run": f"run-{server}", "image": f"ami-{server}"} for server in SERVERS}
    assert control.applications.reached(*WHERE, Phase.TEST, images=images)


def test_the_way_is_kept(control: ControlPlane, clock: TestClock) -> None:
    enter(control, Phase.REPLICATE)
    enter(control, Phase.REPLICATE)
    begin = clock.now
    clock.advance(minutes=1)
    tested(control)
    with pytest.raises(PhaseRefused, match=r"application shop: it cannot go from test to complete"):
        enter(control, Phase.COMPLETE)
    found = control.applications.get(*WHERE)
    assert (found.phase, found.entry, found.reached, found.is_reached) == (Phase.TEST, 2, "test", True)
    assert found.tested["web-01"] == {"run": "run-web-01", "image": "ami-web-01"}
    first, second = reversed(control.applications.history(*WHERE))
    assert (first.from_phase, first.phase, first.entered_at, first.reached_at) == (None, "replicate", begin, None)
    assert (second.from_phase, second.phase, second.reached_at) == ("replicate", "test", clock.now)
    control.applications.ended(*WHERE)
    assert control.applications.find(*WHERE) is None
    assert len(control.applications.history(*WHERE)) == 2
    enter(control, Phase.REPLICATE)


def test_a_good_end_of_another_phase_is_none(control: ControlPlane) -> None:
    enter(control, Phase.TEST)
    assert not control.applications.reached(*WHERE, Phase.CUTOVER, images={})
    assert not control.applications.get(*WHERE).is_reached
    assert not control.applications.reached("dev", "nothing", Phase.TEST, images={})


def test_a_test_that_was_left_counts_no_longer(control: ControlPlane) -> None:
    tested(control)
    enter(control, Phase.REPLICATE)
    enter(control, Phase.TEST)
    with pytest.raises(PhaseRefused, match="its test has not come to a good end"):
        enter(control, Phase.CUTOVER)
    enter(control, Phase.CUTOVER, force="the window closes")
    assert control.applications.history(*WHERE)[0].force == "the window closes"


def test_many_who_enter_at_once_make_one_entry(control: ControlPlane) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: enter(control, Phase.TEST), range(16)))
    assert control.applications.get(*WHERE).entry == 1
    assert len(control.applications.history(*WHERE)) == 1


def test_one_holds_it_until_it_lets_go_or_its_lease_ends(control: ControlPlane, clock: TestClock) -> None:
    tested(control)
    enter(control, Phase.CUTOVER)
    control.applications.lease(*WHERE, "anna", seconds=30)
    with pytest.raises(ApplicationHeld, match="shop is cut over by anna") as refused:
        control.applications.lease(*WHERE, "bert", seconds=30)
    assert refused.value.until == control.applications.get(*WHERE).lease_until
    with pytest.raises(ApplicationHeld):
        enter(control, Phase.TEST)
    enter(control, Phase.CUTOVER)  # to stay in it is no change
    clock.advance(seconds=20)
    control.applications.lease(*WHERE, "anna", seconds=30)
    clock.advance(seconds=29)
    with pytest.raises(ApplicationHeld):
        control.applications.lease(*WHERE, "bert", seconds=30)
    clock.advance(seconds=1)
    control.applications.lease(*WHERE, "bert", seconds=30)
    control.applications.release(*WHERE, "anna")
    assert control.applications.get(*WHERE).holder == "bert"
    control.applications.release(*WHERE, "bert")
    enter(control, Phase.TEST)


def test_only_one_of_many_gets_it(control: ControlPlane) -> None:
    tested(control)
    enter(control, Phase.CUTOVER)

    def take(name: str) -> bool:
        try:
            control.applications.lease(*WHERE, name, seconds=30)
        except ApplicationHeld:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, [f"person {number}" for number in range(12)])) == 1


def test_the_outage_begins_with_the_first_source_that_stands_still(control: ControlPlane, clock: TestClock) -> None:
    jobs = declared(control)
    tested(control)
    enter(control, Phase.CUTOVER)
    attempt = control.applications.get(*WHERE).attempt
    control.applications.touch_source(*WHERE, "db-01", job=jobs["db-01"].id, token="t")
    assert control.applications.get(*WHERE).outage_started_at is None
    begin = clock.now
    for server in SERVERS:
        control.applications.touch_source(*WHERE, server, job=jobs[server].id, token="t", action="off")
        clock.advance(minutes=1)
    control.applications.cut(*WHERE, attempt, {server: f"run-{server}" for server in SERVERS}, frozen_at=clock.now)
    clock.advance(minutes=3)
    assert control.applications.reached(*WHERE, Phase.CUTOVER, images={})
    found = control.applications.get(*WHERE)
    assert (found.outage_started_at, found.outage_seconds, found.launch_seconds) == (begin, 300.0, 180.0)
    assert found.sources["db-01"] == {"job": jobs["db-01"].id, "token": "t", "action": "off"}
    for server in SERVERS:
        control.applications.source_restored(*WHERE, server)
    assert control.applications.get(*WHERE).outage_seconds == 300.0


def test_a_cutover_that_was_given_up_begins_anew(control: ControlPlane) -> None:
    tested(control)
    enter(control, Phase.CUTOVER)
    control.applications.cut(*WHERE, 1, {"db-01": "run-1"}, frozen_at=None)
    control.applications.abandon(*WHERE, 1, "the disk was full")
    control.applications.abandon(*WHERE, 1, "a late answer")
    control.applications.cut(*WHERE, 1, {"db-01": "run-1"}, frozen_at=None)
    found = control.applications.get(*WHERE)
    assert (found.attempt, found.cut_at, found.final_runs, found.message) == (2, None, {}, "the disk was full")
    assert control.applications.history(*WHERE)[0].message == "the disk was full"


def test_the_channels_of_its_jobs_are_told(control: ControlPlane) -> None:
    channel = {"name": "ops", "topic": "arn:aws:sns:eu-central-1:111122223333:t"}
    declared(control, notify=({**channel, "events": ["phase-entered", "phase-reached", "phase-failed"]},))
    tested(control)
    enter(control, Phase.CUTOVER)
    for _ in range(2):
        control.applications.failed(*WHERE, "web-01 does not answer")
    told = [each.message for each in control.outbox.waiting()]
    assert sorted((each["event"], each["message"]) for each in told) == [
        ("phase-entered", "shop goes from test to cutover"),
        ("phase-entered", "shop goes to test"),
        ("phase-failed", "web-01 does not answer"),
        ("phase-reached", "shop has reached test"),
    ]
    assert {(each["application"], each["server"]) for each in told} == {("shop", None)}
    assert {each["details"]["phase"] for each in told} == {"test", "cutover"}


def test_a_job_that_a_cutover_holds_runs_only_for_it(control: ControlPlane, clock: TestClock) -> None:
    job = control.jobs.put(spec())
    completed(control, job, "first", "ami-1")
    clock.advance(hours=2)
    control.runs.schedule_due(None)
    control.jobs.hold(job.id, "shop")
    control.jobs.hold(job.id, "shop")
    assert control.runs.list(job.id)[0].state is RunState.MISSED
    clock.advance(hours=5)
    assert control.runs.schedule_due(None) == 0
    assert control.jobs.resume(job.id).next_run_at is None
    control.jobs.put(spec(schedule={"every_seconds": 60, "keep_images": 3}))
    assert control.runs.schedule_due(None) == 0
    final = control.runs.request(job.id, kind=RunKind.FINAL, token="cutover-1")
    run = control.runs.claim("c1", None, lease_seconds=30)
    assert run is not None
    assert run.id == final.id
    control.runs.fail(run.id, "the source went away")
    assert control.jobs.get(job.id).next_run_at is None
    control.jobs.release(job.id)
    control.jobs.release(job.id)
    assert control.jobs.get(job.id).next_run_at == clock.now
    assert control.runs.schedule_due(None) == 1


def test_a_release_leaves_a_pause_alone(control: ControlPlane) -> None:
    job = control.jobs.put(spec())
    control.jobs.pause(job.id)
    control.jobs.hold(job.id, "shop")
    control.jobs.release(job.id)
    assert control.jobs.get(job.id).next_run_at is None
    assert control.jobs.resume(job.id).next_run_at is not None


def test_a_job_that_has_ended_never_runs_again(control: ControlPlane, clock: TestClock) -> None:
    job = control.jobs.put(spec())
    completed(control, job, "first", "ami-1")
    ended = control.jobs.put(spec(ended=True, schedule={"every_seconds": 60, "keep_images": 3}))
    assert (ended.id, ended.state, ended.next_run_at) == (job.id, JobState.COMPLETED, None)
    clock.advance(days=1)
    assert control.runs.schedule_due(None) == 0
    assert control.jobs.resume(job.id).next_run_at is None
    assert control.jobs.put(spec("new", ended=True)).state is JobState.COMPLETED
    assert control.runs.schedule_due(None) == 0
