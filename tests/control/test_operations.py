"""Pausing, retrying, missing, claiming in turn, connectors, catalog, outbox and history, on both databases."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import jsonschema
import pytest

from rehost import spec as language
from rehost.control import (
    NOTIFIABLE,
    CatalogState,
    ControlPlane,
    Image,
    Job,
    JobState,
    LeaseWatch,
    NothingToRetry,
    Retry,
    Run,
    RunDisk,
    RunIsOpen,
    RunKind,
    RunState,
    Unknown,
    advice,
    notification_schema,
    progress_of,
)
from rehost.control import _history as history

from .conftest import TestClock, spec
from .test_contract import completed

LEASE = 30.0
HOUR = timedelta(hours=1)
CHANNEL = {"name": "operations", "topic": "arn:aws:sns:eu-central-1:111122223333:t", "events": list(NOTIFIABLE)}


def scheduled(control: ControlPlane, **schedule: Any) -> Job:
    return control.jobs.put(spec(schedule={"keep_images": 3, **schedule}, notify=(CHANNEL,)))


def claimed(control: ControlPlane, connector: str = "c1") -> Run:
    run = control.runs.claim(connector, None, lease_seconds=LEASE)
    assert run is not None
    return run


def good_run(control: ControlPlane, job: Job, image: str) -> Run:
    run = claimed(control)
    control.runs.frozen(run.id, "here", "crash")
    control.runs.complete(run.id, Image(image, job.id, run.id, (), control.now()))
    return control.runs.get(run.id)


def told(control: ControlPlane) -> list[str]:
    return [each.message["event"] for each in control.outbox.waiting()]


def test_a_moment_during_a_run_passes_and_is_recorded(control: ControlPlane, clock: TestClock) -> None:
    job = scheduled(control, every_seconds=3600)
    control.runs.schedule_due(None)
    run = claimed(control)
    clock.advance(hours=1, minutes=1)
    assert control.runs.schedule_due(None) == 0
    clock.advance(hours=2)
    assert control.runs.schedule_due(None) == 0
    missed, first = control.runs.list(job.id)
    assert (missed.state, missed.missed) == (RunState.MISSED, 3)  # one row for all that follow each other
    assert run.id in (missed.message or "")
    assert first.id == run.id
    assert told(control) == ["run-missed"]
    found = control.jobs.get(job.id)
    assert found.missed == 3
    assert found.next_run_at == job.created_at + 4 * HOUR


def test_after_a_day_without_a_connector_there_is_one_run_and_one_entry(
    control: ControlPlane, clock: TestClock
) -> None:
    job = scheduled(control, every_seconds=3600)
    control.runs.schedule_due(None)
    good_run(control, job, "ami-1")
    clock.advance(days=1, minutes=10)
    assert control.runs.schedule_due(None) == 1
    assert control.runs.schedule_due(None) == 0
    waiting, missed, _ = control.runs.list(job.id)
    assert (waiting.state, missed.state, missed.missed) == (RunState.PENDING, RunState.MISSED, 23)
    good_run(control, job, "ami-2")
    assert control.jobs.get(job.id).missed == 0


def test_a_run_that_cannot_start_in_time_is_missed_and_not_made_up_for(control: ControlPlane, clock: TestClock) -> None:
    job = scheduled(control, every_seconds=86400, start_within_seconds=3600)
    control.runs.schedule_due(None)
    clock.advance(hours=1, minutes=1)
    assert control.runs.schedule_due(None) == 0
    assert control.runs.list(job.id)[0].state is RunState.MISSED
    assert control.runs.claim("c1", None, lease_seconds=LEASE) is None
    clock.advance(days=3)
    assert control.runs.schedule_due(None) == 0
    clock.advance(hours=23)
    assert control.runs.schedule_due(None) == 1


@pytest.mark.parametrize("hours", [-100, -3, 3, 100])
def test_a_clock_that_is_set_makes_no_storm_and_no_standstill(
    control: ControlPlane, clock: TestClock, hours: int
) -> None:
    job = scheduled(control, every_seconds=3600)
    control.runs.schedule_due(None)
    good_run(control, job, "ami-1")
    clock.advance(hours=hours)
    made = 0
    for number in range(12):
        made += control.runs.schedule_due(None)
        if control.runs.list(job.id)[0].state is RunState.PENDING:
            good_run(control, job, f"ami-{hours}-{number}")
        clock.advance(minutes=15)
    assert 2 <= made <= 4
    following = control.jobs.get(job.id).next_run_at
    assert following is not None
    assert following <= clock.now + HOUR
    newest = control.images.list(job.id)[0]
    assert newest.image_id == control.jobs.get(job.id).latest_image_id  # by the order of runs, not of the clock


def test_a_blackout_holds_up_what_waits_but_not_what_somebody_asked_for(
    control: ControlPlane, clock: TestClock
) -> None:
    job = scheduled(control, every_seconds=3600, blackouts=[{"from": "22:30", "to": "23:45"}])
    control.runs.schedule_due(None)
    clock.advance(minutes=40)
    assert control.runs.claim("c1", None, lease_seconds=LEASE) is None
    clock.advance(minutes=70)
    good_run(control, job, "ami-1")
    clock.advance(days=1, minutes=-45)  # 23:05: within it
    assert control.runs.schedule_due(None) == 0
    run = control.runs.request(job.id, token="now")
    assert claimed(control).id == run.id


def test_a_run_that_somebody_waits_for_is_no_longer_automatic(control: ControlPlane) -> None:
    job = scheduled(control, every_seconds=3600, start_within_seconds=60)
    control.runs.schedule_due(None)
    run = control.runs.request(job.id, token="me")
    assert run.kind is RunKind.ON_DEMAND


def test_a_final_run_is_of_a_later_moment_than_its_request(control: ControlPlane) -> None:
    job = scheduled(control, every_seconds=3600)
    control.runs.schedule_due(None)
    begun = claimed(control)
    with pytest.raises(RunIsOpen):
        control.runs.request(job.id, token="final", kind=RunKind.FINAL)
    control.runs.frozen(begun.id, "here", "crash")
    control.runs.complete(begun.id, Image("ami-1", job.id, begun.id, (), control.now()))
    run = control.runs.request(job.id, token="final", kind=RunKind.FINAL)
    assert control.runs.request(job.id, token="final", kind=RunKind.FINAL).id == run.id
    claimed(control)
    control.runs.fail(run.id, "no")
    assert control.jobs.get(job.id).state is JobState.ACTIVE  # the cutover knows what to do


def test_tries_are_used_up_and_begin_anew(control: ControlPlane, clock: TestClock) -> None:
    job = scheduled(control, run_once=True, retry={"attempts": 2, "first_seconds": 60, "longest_seconds": 60})
    states = []
    for _ in range(2):
        control.runs.schedule_due(None)
        control.runs.fail(claimed(control).id, "no luck")
        states.append(control.jobs.get(job.id).state)
        clock.advance(minutes=2)
    assert states == [JobState.FAILING, JobState.FAILED]
    assert control.runs.schedule_due(None) == 0
    assert "rehost retry web-01" in (advice(control.status()[0], (), clock.now) or "")
    run = control.runs.retry(job.id, token="again")
    assert (control.jobs.get(job.id).state, control.jobs.get(job.id).failures) == (JobState.PENDING, 0)
    assert claimed(control).id == run.id
    control.runs.complete(run.id, Image("ami-1", job.id, run.id, (), clock.now))
    assert control.jobs.get(job.id).state is JobState.COMPLETED
    with pytest.raises(NothingToRetry, match="rehost run web-01"):
        control.runs.retry(job.id, token="once more")
    assert told(control) == [
        "run-failed", "run-failed", "job-paused-on-failure", "job-resumed", "run-completed", "job-completed",
    ]  # fmt: skip


def test_a_job_recovers_by_itself(control: ControlPlane, clock: TestClock) -> None:
    job = scheduled(control, every_seconds=3600)
    control.runs.schedule_due(None)
    control.runs.fail(claimed(control).id, "no luck")
    clock.advance(minutes=2)
    assert control.runs.schedule_due(None) == 1
    good_run(control, job, "ami-1")
    found = control.jobs.get(job.id)
    assert (found.state, found.failures) == (JobState.ACTIVE, 0)
    assert found.next_run_at == job.created_at + HOUR  # on its grid, whatever retries there were
    assert told(control)[-1] == "job-recovered"


def test_a_paused_job_starts_nothing_by_itself(control: ControlPlane, clock: TestClock) -> None:
    job = scheduled(control, every_seconds=3600)
    control.runs.schedule_due(None)
    assert control.jobs.pause(job.id).paused_at == clock.now
    control.jobs.pause(job.id)
    assert control.runs.claim("c1", None, lease_seconds=LEASE) is None
    clock.advance(days=2)
    assert control.runs.schedule_due(None) == 0
    control.runs.request(job.id, token="by hand")
    good_run(control, job, "ami-1")
    assert control.runs.schedule_due(None) == 0
    assert control.jobs.resume(job.id).paused_at is None
    assert control.runs.schedule_due(None) == 1
    assert [each for each in told(control) if each.startswith("job")] == ["job-paused", "job-resumed"]
    control.jobs.begin_end(job.id)
    with pytest.raises(Unknown):
        control.jobs.pause(job.id)


def test_what_changes_no_moment_starts_no_run(control: ControlPlane, clock: TestClock) -> None:
    job = scheduled(control, every_seconds=3600)
    control.runs.schedule_due(None)
    good_run(control, job, "ami-1")
    planned = control.jobs.get(job.id).next_run_at
    assert scheduled(control, every_seconds=3600, retry={"attempts": 9}).next_run_at == planned
    seed = clock.now + timedelta(days=2)
    assert scheduled(control, every_seconds=3600, seed_at=seed.isoformat()).next_run_at == seed


def test_continuous_runs_aim_at_their_lag_and_say_when_they_miss_it(control: ControlPlane, clock: TestClock) -> None:
    job = scheduled(control, continuous=True, target_lag_seconds=600)
    control.runs.schedule_due(None)
    run = claimed(control)
    control.runs.frozen(run.id, "here", "crash")
    clock.advance(minutes=2)
    control.runs.complete(run.id, Image("ami-1", job.id, run.id, (), clock.now))
    following = control.jobs.get(job.id).next_run_at
    assert following == clock.now + timedelta(
        minutes=5
    )  # 10 minutes after its moment, less half as long again as it took
    assert control.jobs.get(job.id).lag_seconds is None
    for minutes, image in ((20, "ami-2"), (20, "ami-3"), (1, "ami-4")):
        clock.advance(minutes=11)
        control.runs.schedule_due(None)
        clock.advance(minutes=minutes - 1)
        good_run(control, job, image)
    assert control.jobs.get(job.id).lag_seconds == 11 * 60
    assert told(control).count("lag-exceeded") == 1


def test_the_source_bears_no_more_than_the_spec_says(control: ControlPlane) -> None:
    for number in range(12):
        control.jobs.put(spec(f"web-{number:02}", max_concurrent_runs=3))
    control.jobs.put(spec("db-01", source_name="other"))
    control.runs.schedule_due(None)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda each: control.runs.claim(f"c{each}", None, lease_seconds=LEASE), range(12)))
    taken = [control.jobs.get(run.job_id).spec.source_name for run in found if run]
    assert (taken.count("exports"), taken.count("other")) == (3, 1)
    (first, *_) = [run for run in found if run and control.jobs.get(run.job_id).spec.source_name == "exports"]
    control.runs.fail(first.id, "room for another")
    assert control.runs.claim("c1", None, lease_seconds=LEASE) is not None


def test_jobs_take_turns_and_a_person_goes_first(control: ControlPlane, clock: TestClock) -> None:
    for name in ("a", "b", "c"):
        control.jobs.put(spec(name))
    served = []
    for _ in range(3):
        control.runs.schedule_due(None)
        for _ in range(3):
            run = claimed(control)
            served.append(control.jobs.get(run.job_id).spec.server)
            control.runs.complete(run.id, Image(f"ami-{run.id}", run.job_id, run.id, (), clock.now))
            clock.advance(seconds=1)
        clock.advance(hours=1)
    assert served[:3] == served[3:6] == served[6:]
    assert sorted(served[:3]) == ["a", "b", "c"]
    control.runs.schedule_due(None)
    asked = control.jobs.put(spec("d", schedule={"every_seconds": 86400, "seed_at": "2030-01-01T00:00:00Z"}))
    run = control.runs.request(asked.id, token="me")
    assert claimed(control).id == run.id


def test_a_draining_connector_takes_nothing_and_a_disassociated_one_gives_up(
    control: ControlPlane, clock: TestClock
) -> None:
    def sign_on(name: str) -> None:
        control.connectors.register(
            name, version="1", host="elsewhere", pid=1, sources=None, log_path="", addresses=["10.0.0.1"], max_runs=2
        )

    sign_on("c1")
    sign_on("c1")
    control.jobs.put(spec("a"))
    control.jobs.put(spec("b"))
    control.runs.schedule_due(None)
    run = claimed(control)
    control.connectors.drain("c1")
    assert control.runs.claim("c1", None, lease_seconds=LEASE) is None
    assert control.connectors.live() == []
    assert [each.id for each in control.connectors.healthy()] == ["c1"]
    assert control.runs.held() == {"c1": 1}
    watch = LeaseWatch(LEASE, lambda: 0.0)
    assert control.connectors.disassociate("c1") == 1
    assert control.runs.orphans(None, watch) == []  # it is alive: it lets go by itself
    heard = control.connectors.heartbeat("c1")
    assert heard is not None
    assert heard.disassociated_at is not None
    clock.advance(minutes=1)
    assert control.connectors.disassociate("c1") == 1
    assert [each.id for each in control.runs.orphans(None, watch)] == [run.id]
    with pytest.raises(Unknown):
        control.connectors.drain("c2")


def test_progress_has_a_rate_and_an_end(control: ControlPlane, clock: TestClock) -> None:
    job = control.jobs.put(spec())
    control.runs.schedule_due(None)
    run = claimed(control)
    control.runs.put_disk(run.id, RunDisk(0, "root", 1 << 30, "snap-1", None, "p"))
    assert progress_of(control.runs.disks(run.id), clock.now).eta_seconds is None
    for done in (100, 200, 300):
        clock.advance(seconds=10)
        control.runs.update_disk(run.id, 0, blocks_done=done, blocks_total=1000)
    progress = progress_of(control.status()[0].disks, clock.now)
    assert progress.rate == 10 * 512 * 1024
    assert progress.eta_seconds == pytest.approx(70)
    assert progress.share == pytest.approx(0.3)
    clock.advance(minutes=10)  # the connector died meanwhile, and another one goes on
    control.runs.update_disk(run.id, 0, blocks_done=310, blocks_total=1000)
    assert control.runs.disks(run.id)[0].rate == progress.rate
    control.runs.stage(run.id, "copy root")
    since = control.runs.get(run.id).stage_at
    clock.advance(seconds=5)
    control.runs.stage(run.id, "copy root", "half of it")
    assert control.runs.get(run.id).stage_at == since
    assert control.history([job.id], limit=5)[job.id][0][0].id == run.id


def test_a_message_is_delivered_at_least_once_and_later_and_later(control: ControlPlane, clock: TestClock) -> None:
    job = scheduled(control, every_seconds=3600)
    control.runs.schedule_due(None)
    control.runs.fail(claimed(control).id, "no luck")
    assert control.outbox.take({"elsewhere"}) == []
    with ThreadPoolExecutor(4) as pool:
        taken = [each for found in pool.map(lambda _: control.outbox.take({"exports"}), range(4)) for each in found]
    (delivery,) = taken
    jsonschema.Draft202012Validator(notification_schema()).validate(delivery.message)
    assert delivery.message["server"] == "web-01"
    assert delivery.message["details"] == {"failures": 1, "stage": None}
    clock.advance(seconds=61)  # whoever took it died
    (again,) = control.outbox.take(None)
    assert (again.id, again.message["id"], again.attempts) == (delivery.id, delivery.message["id"], 2)
    pauses = []
    while (planned := control.outbox.failed(again, "no answer")) is not None:
        pauses.append(planned - clock.now)
        clock.now = planned
        (again,) = control.outbox.take(None)
    assert pauses[0] < pauses[3] < pauses[6]
    assert clock.now - job.created_at > timedelta(days=2)
    assert control.outbox.take(None) == []
    assert control.outbox.waiting()[0].last_error == "no answer"
    control.outbox.delivered(again)
    assert control.outbox.waiting() == []


def test_what_the_spec_and_the_control_plane_say_of_events_and_retries_is_one() -> None:
    definitions = language.schema()["$defs"]
    assert definitions["notification"]["properties"]["events"]["items"]["enum"] == list(NOTIFIABLE)
    assert notification_schema()["properties"]["event"]["enum"] == list(NOTIFIABLE)
    assert definitions["retry"]["properties"]["attempts"]["default"] == Retry.attempts
    assert (Retry.first, Retry.longest) == (timedelta(minutes=1), timedelta(hours=1))


def test_a_catalog_goes_through_its_states(control: ControlPlane, clock: TestClock) -> None:
    def state() -> str:
        return control.catalogs.list()[0].state

    def server(name: str) -> dict[str, Any]:
        return {"name": name, "locator": {"path": name}, "disks": [{"key": "0", "size": 1}], "facts": {}}

    control.catalogs.request("exports", {"type": "images", "path": "exports"})
    assert state() == CatalogState.NOT_IMPORTED
    assert control.catalogs.take("c1", {"elsewhere"}) is None
    taken = [control.catalogs.take(name, None) for name in ("c1", "c2")]
    assert taken == [("exports", {"type": "images", "path": "exports"}), None]
    assert state() == CatalogState.IMPORTING
    assert control.catalogs.put("exports", "c1", [server("a"), server("b")])
    assert (state(), control.catalogs.list()[0].servers) == (CatalogState.AVAILABLE, 2)
    clock.advance(days=2)
    assert state() == CatalogState.EXPIRED
    control.catalogs.request("exports", {"type": "images", "path": "exports"})
    control.catalogs.take("c1", None)
    clock.advance(hours=1)  # c1 died
    assert control.catalogs.take("c2", None) is not None
    assert not control.catalogs.put("exports", "c1", [])
    assert control.catalogs.put("exports", "c2", [server("b"), server("c")])
    assert [(each.name, each.gone_at is None) for each in control.catalogs.servers("exports")] == [
        ("a", False), ("b", True), ("c", True),
    ]  # fmt: skip
    control.catalogs.request("exports", {})
    control.catalogs.take("c1", None)
    control.catalogs.failed("exports", "c1", "no such folder")
    assert (state(), control.catalogs.list()[0].message) == (CatalogState.AVAILABLE, "no such folder")
    control.catalogs.delete("exports")
    assert (state(), control.catalogs.servers()) == (CatalogState.DELETED, [])


def test_history_is_bounded_and_keeps_what_is_needed(
    control: ControlPlane, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "RUNS_KEPT", 6)
    monkeypatch.setattr(history, "DISKS_KEPT", 3)
    monkeypatch.setattr(history, "EVENTS_KEPT", 5)
    job = control.jobs.put(spec())
    for number in range(12):
        run = completed(control, job, str(number), f"ami-{number}")
        if 0 < number < 11:
            control.images.gone(f"ami-{number}")
    control.runs.request(job.id, token="open")
    assert control.prune() == 6
    assert control.prune() == 0
    left = control.history([job.id], limit=100)[job.id]
    assert [each.number for each, _ in left] == [13, 12, 11, 10, 9, 8, 1]
    assert [each.number for each, disks in left if disks] == [12, 11, 1]
    assert len(control.events.list(job_id=job.id)) == 5
    status = control.status()[0]
    assert status.latest_image is not None
    assert (status.latest_image.image_id, status.latest_image.run_id) == ("ami-11", run.id)
    assert status.open_run is not None
    other = control.jobs.put(spec("gone"))
    completed(control, other, "x", "ami-x")
    control.jobs.begin_end(other.id)
    control.images.gone("ami-x")
    control.jobs.ended(other.id)
    clock.advance(days=100)
    assert control.prune() == 1
    assert control.jobs.find(other.id) is None


def test_two_who_end_a_run_and_pause_its_job_do_not_wait_for_each_other(control: ControlPlane) -> None:
    jobs = [control.jobs.put(spec(f"s{number}")) for number in range(8)]
    control.runs.schedule_due(None)
    runs = [claimed(control) for _ in jobs]
    barrier = threading.Barrier(3)

    def each(act: Any) -> None:
        barrier.wait()
        for run in runs:
            act(run)

    with ThreadPoolExecutor(3) as pool:
        list(
            pool.map(
                each,
                (
                    lambda run: control.runs.fail(run.id, "no"),
                    lambda run: control.jobs.pause(run.job_id),
                    lambda run: control.runs.request(run.job_id, token="x"),
                ),
            )
        )
    assert {control.runs.get(run.id).state for run in runs} == {RunState.FAILED}
