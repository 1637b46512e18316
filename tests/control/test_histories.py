"""Random histories, and ninety days of two hundred servers: what status says is what is there, whatever happened."""

from __future__ import annotations

import random
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from rehost.control import JobState, NothingToRetry, RunState

from .world import World

DAY = 86400
SCHEDULES = (
    {"every_seconds": DAY, "keep_images": 2},
    {"cron": "0 2 * * *", "time_zone": "Europe/Berlin", "keep_images": 3},
    {"run_once": True, "keep_images": 1},
    {"continuous": True, "target_lag_seconds": 6 * 3600, "keep_images": 1, "retry": {"attempts": 3}},
    {"every_seconds": 3600, "keep_images": 1, "start_within_seconds": 600},
    {"every_seconds": 6 * 3600, "keep_images": 0, "blackouts": [{"from": "08:00", "to": "18:00"}]},
)
ACTIONS = (
    "work", "work", "work", "minutes", "hours", "day", "kill", "hang", "aws", "back", "ahead", "ask", "pause", "resume",
    "retry", "pin", "use", "redeclare", "remove", "prune",
)  # fmt: skip


def act(world: World, action: str, number: int) -> None:
    """One thing that happens to a world; `number` chooses where a choice is to be made."""
    control, jobs = world.control, [job for job in world.control.jobs.list() if job.is_live]
    job = jobs[number % len(jobs)] if jobs else None
    worker = world.workers[number % len(world.workers)]
    if action == "work":
        world.step()
        world.pass_time(5)
    elif action == "minutes":
        world.pass_time(60 * (1 + number % 30))
    elif action == "hours":
        world.pass_time(3600 * (1 + number % 12))
    elif action == "day":
        world.pass_time(DAY * (1 + number % 3))
    elif action == "kill":
        world.kill(worker)
    elif action == "hang":
        worker.hangs_until = world.elapsed + 20 * (1 + number % 20)
    elif action == "aws":
        world.aws.is_down = not world.aws.is_down
    elif action == "back":
        world.set_clock(-timedelta(hours=1 + number % 48))
    elif action == "ahead":
        world.set_clock(timedelta(hours=1 + number % 48))
    elif action == "redeclare":
        name = f"s{number % 3}"
        world.declare(name, dict(SCHEDULES[number % len(SCHEDULES)]), at_once=2)
    elif action == "prune":
        control.prune()
    elif job is None:
        return
    elif action == "ask":
        control.runs.request(job.id, token=f"{world.elapsed} {number}")
    elif action == "pause":
        control.jobs.pause(job.id)
    elif action == "resume":
        control.jobs.resume(job.id)
    elif action == "retry":
        try:
            control.runs.retry(job.id, token=f"{world.elapsed} {number}")
        except NothingToRetry:
            last = control.status(servers=[job.spec.server])[0].last_run
            assert last is None or last.state is not RunState.FAILED
    elif action == "remove":
        world.remove(job)
    elif images := control.images.list(job.id):
        image = images[number % len(images)].image_id
        if action == "pin":
            control.images.unpin(image, "spec") if image in control.images.pinned(job.id) else control.images.pin(
                image, "spec"
            )
        elif action == "use":
            world.aws.in_use ^= {image}


# Without shrinking: it takes minutes, and the seed and the history are told anyway.
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(
    seed=st.integers(0, 1 << 30),
    history=st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 10_000)), min_size=10, max_size=60),
)
@example(  # a connector wakes up after another one has seen its lease end, and is the second to look
    seed=504,
    history=[
        ("work", 2622), ("work", 9924), ("work", 616), ("ahead", 151), ("retry", 1068), ("redeclare", 1487), ("ask", 244), ("hang", 291),
        ("work", 2565), ("pause", 4801), ("prune", 0), ("minutes", 2657), ("retry", 126), ("minutes", 173), ("redeclare", 3814),
        ("ask", 1611), ("pause", 1752), ("pause", 2208), ("pin", 306), ("ahead", 83), ("pin", 0), ("pause", 3678), ("ask", 527), ("retry", 732),
    ],
)  # fmt: skip
def test_whatever_happens_status_says_what_is_there(seed: int, history: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), seed, fault_rate=0.05)
        try:
            for number in range(3):
                world.declare(f"s{number}", dict(SCHEDULES[number]), at_once=2)
            for action, number in history:
                act(world, action, number)
                world.check()
            world.settle()
            # An image that somebody uses stays when its job goes.
            assert [each for each in world.leftovers() if "ami" in each and each not in world.aws.in_use] == []
            assert world.leftovers() == [] or world.aws.in_use
        finally:
            world.close()


@pytest.mark.timeout(900)
def test_ninety_days_of_two_hundred_servers(tmp_path: Path) -> None:
    """With a fault of some kind almost every day; invariants are checked after each event."""
    begun = time.process_time()
    chance = random.Random(7)
    world = World(tmp_path, 7, workers=2, at_once=16, fault_rate=0.004)
    slow: list[dict[str, Any]] = [{"every_seconds": days * DAY, "keep_images": 2} for days in (14, 30)]
    kinds: list[dict[str, Any]] = slow * 6 + [
        {"cron": "0 2 * * sun", "time_zone": "Europe/Berlin", "keep_images": 3},
        {"cron": "0 2 * * wed", "time_zone": "America/New_York", "keep_images": 1},
        {"every_seconds": 2 * DAY, "keep_images": 2},
        {"every_seconds": 7 * DAY, "keep_images": 1, "blackouts": [{"days": ["mon"], "from": "06:00", "to": "23:00"}]},
        {"run_once": True, "keep_images": 1},
        {"continuous": True, "target_lag_seconds": 7 * DAY, "keep_images": 1},
        {"every_seconds": 7 * DAY, "keep_images": 0, "jitter_seconds": 60},
        {"every_seconds": 10 * DAY, "keep_images": 2, "start_within_seconds": 7200},
    ]
    jobs = {f"server-{number:03}": kinds[number % len(kinds)] for number in range(200)}
    try:
        for server, schedule in jobs.items():
            world.declare(server, dict(schedule), source=f"dc{server[-1]}", at_once=8)
        end = world.elapsed + 90 * DAY
        tomorrow = 0.0
        while world.elapsed < end:
            if world.elapsed >= tomorrow:
                tomorrow += DAY
                _something_happens(world, chance)
                world.check()
                _no_storm(world)
            world.step()
            if any(worker.in_hand for worker in world.workers):
                world.pass_time(20)
                continue
            moment = world.next_moment()
            ahead = (moment - world.clock.now).total_seconds() if moment else DAY
            world.pass_time(min(max(ahead, 20.0), tomorrow - world.elapsed + 1, DAY))
        world.control.prune()
        world.settle()
        assert world.leftovers() == []
        statuses = world.control.status()
        assert len(statuses) == 200
        assert {status.job.state for status in statuses} <= {JobState.ACTIVE, JobState.COMPLETED}
        for status in statuses:
            kept = len(world.control.images.list(status.job.id))
            keep = status.job.spec.schedule["keep_images"]
            assert kept <= keep or keep == 0
        assert world.counts["completed"] > 1200
        assert min(world.counts[each] for each in ("failed", "kills", "adopted")) > 10
        # Of processor time, which a busy machine does not change much.
        assert time.process_time() - begun < 60
    finally:
        world.close()


def _something_happens(world: World, chance: random.Random) -> None:
    kind = chance.choice(["nothing", "kill", "hang", "aws", "away", "back", "ahead", "night", "pause"])
    if kind == "kill":
        world.kill(chance.choice(world.workers))
    elif kind == "hang":
        chance.choice(world.workers).hangs_until = world.elapsed + 600
    elif kind == "aws":
        world.aws.is_down = True
        for _ in range(5):
            world.step()
            world.pass_time(60)
        world.aws.is_down = False
    elif kind == "away":
        world.pass_time(DAY)  # no connector looks
    elif kind == "back":
        world.set_clock(-timedelta(hours=3))
    elif kind == "ahead":
        world.set_clock(timedelta(hours=30))
    elif kind == "night":
        world.control.prune()
    elif kind == "pause":
        job = chance.choice(world.control.jobs.list())
        world.control.jobs.pause(job.id)
        world.pass_time(3600)
        world.control.jobs.resume(job.id)


def _no_storm(world: World) -> None:
    """However long nobody looked, a job has at most one run that waits, and its next moment lies ahead."""
    for _ in range(2):  # after a clock was set back, the first look plans anew, and the second may begin
        world.scheduled_at = -1.0
        world.step()
    for status in world.control.status():
        if status.job.next_run_at is not None and status.open_run is None and status.job.paused_at is None:
            assert status.job.next_run_at > world.clock.now or all(
                len(worker.in_hand) >= world.at_once or worker.hangs_until > world.elapsed for worker in world.workers
            )
