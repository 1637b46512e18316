"""What both databases must do alike."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa

from rehost.control import MAX_FAILURES, ControlPlane, Image, Job, JobState, LeaseWatch, Run, RunDisk, RunState, Unknown

from .conftest import TestClock, spec

LEASE = 30.0


def a_watch() -> tuple[LeaseWatch, TestClock]:
    """A connector's view of leases, and the time that passes for it."""
    elapsed = TestClock()
    return LeaseWatch(LEASE, lambda: elapsed.now.timestamp()), elapsed


def completed(control: ControlPlane, job: Job, token: str, image: str) -> Run:
    """A run from its request to its image."""
    control.runs.request(job.id, token=token)
    run = control.runs.claim("c1", None, lease_seconds=LEASE)
    assert run is not None
    control.runs.put_disk(run.id, RunDisk(0, "root", 1 << 30, f"snap-{image}", None, "here"))
    control.runs.complete(run.id, Image(image, job.id, run.id, (f"snap-{image}",), control.now()))
    return control.runs.get(run.id)


def test_declaring_a_server_twice_is_one_job(control: ControlPlane) -> None:
    first = control.jobs.put(spec())
    again = control.jobs.put(spec(schedule={"every_seconds": 7200, "keep_images": 1}))
    assert again.id == first.id
    assert again.spec.schedule == {"every_seconds": 7200, "keep_images": 1}
    assert len(control.jobs.list()) == 1


def test_an_ended_job_makes_room_for_a_new_one(control: ControlPlane) -> None:
    first = control.jobs.put(spec())
    control.jobs.begin_end(first.id)
    control.jobs.ended(first.id)
    assert control.jobs.list() == []
    second = control.jobs.put(spec())
    assert second.id != first.id
    assert control.jobs.get(first.id).state is JobState.DELETED


def test_many_who_declare_at_once_get_one_job(control: ControlPlane) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = {job.id for job in pool.map(lambda _: control.jobs.put(spec()), range(16))}
    assert len(ids) == 1


def test_a_new_job_is_due_at_once_and_then_on_its_grid(control: ControlPlane, clock: TestClock) -> None:
    begin = clock.now
    job = control.jobs.put(spec())
    assert control.runs.schedule_due(None) == 1
    assert control.runs.schedule_due(None) == 0
    assert control.jobs.get(job.id).next_run_at == begin + timedelta(hours=1)


def test_a_connector_that_was_away_for_a_day_finds_one_run(control: ControlPlane, clock: TestClock) -> None:
    job = control.jobs.put(spec())
    completed(control, job, "first", "ami-1")
    clock.advance(days=1, minutes=10)
    assert control.runs.schedule_due(None) == 1
    assert control.runs.schedule_due(None) == 0
    following = control.jobs.get(job.id).next_run_at
    assert following is not None
    assert clock.now < following <= clock.now + timedelta(hours=1)


def test_a_job_never_has_two_open_runs(control: ControlPlane, url: str) -> None:
    job = control.jobs.put(spec())
    control.runs.schedule_due(None)
    open_run = control.runs.list(job.id)[0]
    assert control.runs.request(job.id, token="now").id == open_run.id
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    insert = sa.text(
        "INSERT INTO runs (id, job_id, token, kind, state, scheduled_at, cancel_requested) "
        "SELECT 'run-2', job_id, 'other', kind, state, scheduled_at, cancel_requested FROM runs"
    )
    with pytest.raises(sa.exc.IntegrityError), engine.begin() as connection:
        connection.execute(insert)
    engine.dispose()


def test_the_same_request_is_the_same_run(control: ControlPlane) -> None:
    job = control.jobs.put(spec())
    first = completed(control, job, "a", "ami-1")
    assert control.runs.request(job.id, token="a").id == first.id
    assert control.runs.request(job.id, token="b").id != first.id


def test_each_run_is_claimed_once_however_many_try(control: ControlPlane) -> None:
    for number in range(12):
        control.jobs.put(spec(f"web-{number:02}"))
    control.runs.schedule_due(None)
    claims: Counter[str] = Counter()
    lock = threading.Lock()

    def work(name: str) -> None:
        while (run := control.runs.claim(name, None, lease_seconds=LEASE)) is not None:
            with lock:
                claims[run.id] += 1

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, [f"c{number}" for number in range(6)]))
    assert len(claims) == 12
    assert set(claims.values()) == {1}


def test_a_connector_claims_only_runs_of_its_sources(control: ControlPlane) -> None:
    control.jobs.put(spec(source_name="dc1"))
    control.runs.schedule_due(None)
    assert control.runs.claim("c1", {"dc2"}, lease_seconds=LEASE) is None
    assert control.runs.claim("c1", {"dc1", "dc2"}, lease_seconds=LEASE) is not None


def test_a_lease_that_ran_out_is_adopted_by_exactly_one(control: ControlPlane, clock: TestClock) -> None:
    control.jobs.put(spec())
    control.runs.schedule_due(None)
    run = control.runs.claim("c1", None, lease_seconds=LEASE)
    assert run is not None
    watch, elapsed = a_watch()
    assert control.runs.orphans(None, watch) == []
    elapsed.advance(seconds=LEASE + 1)
    (orphan,) = control.runs.orphans(None, watch)
    with ThreadPoolExecutor(4) as pool:
        landed = list(pool.map(lambda name: control.runs.adopt(orphan, name, lease_seconds=LEASE), ["c2", "c3", "c4"]))
    assert landed.count(True) == 1
    assert not control.runs.renew(run.id, "c1", lease_seconds=LEASE)


def test_a_renewed_lease_is_not_adopted(control: ControlPlane, clock: TestClock) -> None:
    control.jobs.put(spec())
    control.runs.schedule_due(None)
    run = control.runs.claim("c1", None, lease_seconds=LEASE)
    assert run is not None
    watch, elapsed = a_watch()
    control.runs.orphans(None, watch)
    elapsed.advance(seconds=LEASE + 1)
    clock.advance(seconds=1)
    (orphan,) = control.runs.orphans(None, watch)
    assert control.runs.renew(run.id, "c1", lease_seconds=LEASE)
    assert not control.runs.adopt(orphan, "c2", lease_seconds=LEASE)


def test_completing_twice_is_one_image_and_one_event(control: ControlPlane) -> None:
    job = control.jobs.put(spec())
    run = completed(control, job, "a", "ami-1")
    control.runs.complete(run.id, Image("ami-2", job.id, run.id, (), control.now()))
    assert [image.image_id for image in control.images.list(job.id)] == ["ami-1"]
    assert [event.kind for event in control.events.list(job_id=job.id)] == ["run-completed"]
    found = control.jobs.get(job.id)
    assert (found.state, found.latest_image_id, found.failures) == (JobState.ACTIVE, "ami-1", 0)


def test_a_completed_run_cannot_fail(control: ControlPlane) -> None:
    job = control.jobs.put(spec())
    run = completed(control, job, "a", "ami-1")
    control.runs.fail(run.id, "too late")
    assert control.runs.get(run.id).state is RunState.COMPLETED


def test_failures_are_tried_again_later_and_later_and_then_wait_for_a_person(
    control: ControlPlane, clock: TestClock
) -> None:
    job = control.jobs.put(spec())
    pauses = []
    for number in range(MAX_FAILURES):
        control.runs.request(job.id, token=str(number))
        run = control.runs.claim("c1", None, lease_seconds=LEASE)
        assert run is not None
        control.runs.fail(run.id, "no luck")
        found = control.jobs.get(job.id)
        if found.next_run_at is not None:
            pauses.append(found.next_run_at - clock.now)
    assert pauses == sorted(pauses)
    assert len(set(pauses)) == len(pauses) == MAX_FAILURES - 1
    assert control.jobs.get(job.id).state is JobState.PAUSED_ON_FAILURE
    completed(control, job, "by hand", "ami-1")
    assert control.jobs.get(job.id).state is JobState.ACTIVE


def test_ending_a_job_ends_its_waiting_run_and_asks_the_active_one_to_stop(control: ControlPlane) -> None:
    waiting, active = control.jobs.put(spec("a")), control.jobs.put(spec("b"))
    control.runs.request(active.id, token="x")
    run = control.runs.claim("c1", None, lease_seconds=LEASE)
    control.runs.request(waiting.id, token="x")
    control.jobs.begin_end(waiting.id)
    control.jobs.begin_end(active.id)
    assert run is not None
    assert control.runs.list(waiting.id)[0].state is RunState.FAILED
    assert control.runs.get(run.id).cancel_requested
    assert control.runs.schedule_due(None) == 0
    with pytest.raises(Unknown):
        control.runs.request(waiting.id, token="y")


def test_a_pinned_image_can_be_let_go_and_a_gone_one_cannot_be_pinned(control: ControlPlane) -> None:
    job = control.jobs.put(spec())
    completed(control, job, "a", "ami-1")
    completed(control, job, "b", "ami-2")
    control.images.pin("ami-1", "shop")
    control.images.pin("ami-1", "shop")
    assert control.images.pinned(job.id) == {"ami-1"}
    control.images.unpin("ami-1", "shop")
    assert control.images.pinned(job.id) == set()
    control.images.gone("ami-2")
    assert control.jobs.get(job.id).latest_image_id == "ami-1"
    with pytest.raises(Unknown):
        control.images.pin("ami-2", "shop")


def test_status_shows_each_job_with_its_runs_and_image(control: ControlPlane) -> None:
    first, second = control.jobs.put(spec("a")), control.jobs.put(spec("b"))
    completed(control, first, "x", "ami-1")
    control.runs.request(second.id, token="x")
    by_server = {each.job.spec.server: each for each in control.status(stack="dev")}
    image, last = by_server["a"].latest_image, by_server["a"].last_run
    assert image is not None
    assert last is not None
    assert (image.image_id, last.state, by_server["a"].open_run) == ("ami-1", RunState.COMPLETED, None)
    assert [disk.key for disk in by_server["a"].disks] == ["root"]
    waiting = by_server["b"].open_run
    assert waiting is not None
    assert (waiting.state, by_server["b"].last_run, by_server["b"].latest_image) == (RunState.PENDING, None, None)
    assert control.status(stack="other") == []


def test_a_connector_that_fell_silent_is_not_live(control: ControlPlane, clock: TestClock) -> None:
    control.connectors.register("c1", version="1", host="elsewhere", pid=1, sources=["dc1"], log_path="log")
    assert [each.id for each in control.connectors.live(source="dc1")] == ["c1"]
    assert control.connectors.live(source="dc2") == []
    clock.advance(seconds=30)
    assert control.connectors.live() == []
    control.connectors.heartbeat("c1")
    assert [each.id for each in control.connectors.live()] == ["c1"]
    clock.advance(minutes=10)
    assert control.connectors.dead() == []  # of another machine's processes nothing is known
    assert control.connectors.forget(timedelta(minutes=5)) == 1
    assert control.connectors.heartbeat("c1") is None


def test_two_processes_that_open_an_empty_database_at_once_both_find_tables(url: str) -> None:
    barrier = threading.Barrier(4)

    def open_it(_: int) -> int:
        barrier.wait()
        control = ControlPlane.open(url)
        try:
            return len(control.jobs.list())
        finally:
            control.close()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(open_it, range(4))) == [0, 0, 0, 0]
