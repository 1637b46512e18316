"""A small world around a real control plane: an AWS, sources, connectors that work, die, hang and come back, and a clock.

Connectors do what the real ones do, step by step and in the same order, with every step repeatable; AWS is a model in memory. What
must never happen is asserted where it would happen.
"""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from rehost.control import (
    ControlPlane,
    Image,
    Job,
    JobSpec,
    JobState,
    LeaseWatch,
    NothingToRetry,
    Run,
    RunDisk,
    RunState,
    superseded,
)
from rehost.control._tables import runs

from .conftest import TestClock

LEASE = 30.0
FOREIGN = ("ami-foreign", "snap-foreign")


class AwsDown(Exception):
    """AWS answers nothing for now."""


@dataclass
class Snapshot:
    server: str
    run_id: str
    moment: str | None = None  # of the source; None until it is complete


@dataclass
class Ami:
    server: str
    run_id: str
    snapshots: tuple[str, ...]


@dataclass
class Aws:
    """What is there, by id. Deleting what must stay is an error of the test's subject."""

    snapshots: dict[str, Snapshot] = field(default_factory=lambda: {FOREIGN[1]: Snapshot("", "")})
    images: dict[str, Ami] = field(default_factory=lambda: {FOREIGN[0]: Ami("", "", ())})
    in_use: set[str] = field(default_factory=set)
    is_down: bool = False

    def ask(self) -> None:
        if self.is_down:
            raise AwsDown

    def deregister(self, image_id: str, kept: set[str]) -> None:
        self.ask()
        assert image_id not in kept, f"{image_id} had to stay"
        assert image_id not in self.in_use, f"{image_id} is in use"
        assert image_id not in FOREIGN
        self.images.pop(image_id, None)

    def delete_snapshot(self, snapshot_id: str) -> None:
        self.ask()
        assert snapshot_id not in FOREIGN
        holders = [image for image, ami in self.images.items() if snapshot_id in ami.snapshots]
        assert not holders, f"{snapshot_id} belongs to {holders}"
        self.snapshots.pop(snapshot_id, None)


@dataclass
class Worker:
    """A connector: the runs that it has in hand, each with the step that comes next."""

    id: str
    watch: LeaseWatch
    in_hand: dict[str, int] = field(default_factory=dict)
    hangs_until: float = 0.0
    signed_at: float = 0.0  # its last sign of life


class World:
    """`step` lets everybody do one thing; `pass_time` moves both clocks; `check` compares what is said with what is."""

    def __init__(self, folder: Path, seed: int, *, workers: int = 2, at_once: int = 4, fault_rate: float = 0.0) -> None:
        self.clock = TestClock()
        self.elapsed = 0.0
        self.scheduled_at = -1.0
        self.control = ControlPlane.open(f"sqlite:///{folder / 'world.db'}", clock=self.clock)
        engine = self.control._db.engine
        sa.event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF").close())
        engine.dispose()
        self.aws = Aws()
        self.chance = random.Random(seed)
        self.fault_rate = fault_rate
        self.at_once = at_once
        self.content: dict[str, int] = {}
        self.workers = [self._worker() for _ in range(workers)]
        self.jobs: dict[str, Job] = {}  # for their spec alone
        self.completed: dict[str, str] = {}  # job -> its newest good image, as this world saw it
        self.counts: dict[str, int] = {}

    def close(self) -> None:
        self.control.close()

    def _worker(self) -> Worker:
        number = self.counts_up("connectors") if hasattr(self, "counts") else 0
        return Worker(f"c{number}-{self.chance.randrange(1 << 30)}", LeaseWatch(LEASE, lambda: self.elapsed))

    def counts_up(self, what: str, by: int = 1) -> int:
        self.counts[what] = self.counts.get(what, 0) + by
        return self.counts[what]

    # What people do.

    def declare(self, server: str, schedule: dict[str, Any], *, source: str = "dc1", at_once: int | None = None) -> Job:
        self.content.setdefault(server, 0)
        job = self.control.jobs.put(
            JobSpec("dev", server, source, {}, {"path": server}, schedule, {}, {}, max_concurrent_runs=at_once)
        )
        self.jobs[job.id] = job
        return job

    def remove(self, job: Job) -> None:
        """As `pulumi destroy` does it, with the connectors' help where a run is under way."""
        self.control.jobs.begin_end(job.id)
        for run in self.control.runs.list(job.id):
            if run.state is RunState.ACTIVE:
                for worker in self.workers:
                    worker.in_hand.pop(run.id, None)
                self.control.runs.fail(run.id, "its job was ended")
        self.aws.is_down = False
        for image in self.control.images.list(job.id):
            if image.image_id not in self.aws.in_use:
                self._remove_image(image, set())
        self._reap(job)
        self.control.jobs.ended(job.id)
        self.completed.pop(job.id, None)

    def kill(self, worker: Worker) -> None:
        """`kill -9`: what it had in hand is forgotten; another one takes its place, and its death is noticed or not."""
        self.workers.remove(worker)
        self.workers.append(self._worker())
        if self.chance.random() < 0.5:
            self.control.runs.let_go_all(worker.id)
        self.counts_up("kills")

    # What time does.

    def pass_time(self, seconds: float) -> None:
        self.elapsed += seconds
        self.clock.advance(seconds=seconds)

    def set_clock(self, by: timedelta) -> None:
        """Somebody sets the clock; no time passes."""
        self.clock.now += by

    @property
    def busy(self) -> bool:
        return any(worker.in_hand for worker in self.workers) or any(
            status.open_run for status in self.control.status()
        )

    def next_moment(self) -> datetime | None:
        moments = [job.next_run_at for job in self.control.jobs.list() if job.next_run_at is not None]
        return min(moments, default=None)

    # What connectors do.

    def step(self) -> None:
        """Each connector gives a sign of life, looks for work, and takes each of its runs one step further."""
        for worker in list(self.workers):
            if worker.hangs_until > self.elapsed:
                continue
            worker.signed_at = self.elapsed
            for run_id in list(worker.in_hand):
                held = self.control.runs.renew(run_id, worker.id, lease_seconds=LEASE)
                if not held and worker.in_hand[run_id] < len(STEPS) - 1:
                    del worker.in_hand[run_id]  # lost while it hung: it ends at once, and a new one comes
            self._look_for_work(worker)
            for run_id in list(worker.in_hand):
                if worker in self.workers:
                    self._advance(worker, run_id)

    def _look_for_work(self, worker: Worker) -> None:
        if len(worker.in_hand) >= self.at_once:
            return
        store = self.control.runs
        if self.scheduled_at != self.elapsed:  # one of them is enough; that two do no harm, other tests hold
            self.scheduled_at = self.elapsed
            self.counts_up("scheduled", store.schedule_due(None))
        for orphan in store.orphans(None, worker.watch):
            if orphan.id in worker.in_hand or len(worker.in_hand) >= self.at_once:
                continue
            if store.adopt(orphan, worker.id, lease_seconds=LEASE):
                self._take(worker, orphan)
                self.counts_up("adopted")
        while len(worker.in_hand) < self.at_once:
            run = store.claim(worker.id, None, lease_seconds=LEASE)
            if run is None:
                return
            self._take(worker, run)

    def _take(self, worker: Worker, run: Run) -> None:
        # One that hung longer than its lease, and has not found out yet, has lost it.
        others = [each.id for each in self.workers if run.id in each.in_hand and self.elapsed - each.signed_at < LEASE]
        assert not others, f"{run.id} is in the hands of {others} already"
        worker.in_hand[run.id] = 0

    def _advance(self, worker: Worker, run_id: str) -> None:
        step = worker.in_hand[run_id]
        if self.chance.random() < self.fault_rate / 2:
            self.kill(worker)
            return
        run = self.control.runs.get(run_id)
        job = self.jobs.get(run.job_id) or self.control.jobs.get(run.job_id)
        self.jobs[run.job_id] = job
        assert run.state is RunState.ACTIVE or step >= len(STEPS) - 1, (run, step)
        try:
            if run.cancel_requested or self.chance.random() < self.fault_rate:
                raise AwsDown
            STEPS[step](self, job, run)
        except AwsDown:
            self._abandon(job, run)
            del worker.in_hand[run_id]
            return
        if worker in self.workers:
            worker.in_hand[run_id] = step + 1
            if step + 1 == len(STEPS):
                del worker.in_hand[run_id]

    def _freeze(self, job: Job, run: Run) -> None:
        if run.freeze_token is None:
            self.control.runs.frozen(run.id, f"{job.spec.server}@{self.content[job.spec.server]}", "crash")
        self.aws.ask()
        for index in range(2):
            snapshot_id = f"snap-{run.id}-{index}"  # by its client token: the same when repeated
            self.aws.snapshots.setdefault(snapshot_id, Snapshot(job.spec.server, run.id))
            self.control.runs.put_disk(run.id, RunDisk(index, f"disk-{index}", 1 << 30, snapshot_id, None, "p"))

    def _copy(self, job: Job, run: Run) -> None:
        self.aws.ask()
        self.content[job.spec.server] += 1  # the server goes on changing while it is copied
        for index in range(2):
            self.control.runs.update_disk(run.id, index, blocks_done=8, blocks_total=8, sent_bytes=8 << 19)

    def _complete(self, job: Job, run: Run) -> None:
        self.aws.ask()
        for disk in self.control.runs.disks(run.id):
            self.aws.snapshots[disk.snapshot_id].moment = run.freeze_token
            self.control.runs.disk_completed(run.id, disk.index)

    def _make_image(self, job: Job, run: Run) -> None:
        self.aws.ask()
        snapshots = tuple(disk.snapshot_id for disk in self.control.runs.disks(run.id))
        moments = {self.aws.snapshots[each].moment for each in snapshots}
        assert moments == {run.freeze_token}, "an image of two moments"
        image_id = f"ami-{run.id}"
        self.aws.images.setdefault(image_id, Ami(job.spec.server, run.id, snapshots))
        self.control.runs.image_made(run.id, image_id)

    def _record(self, job: Job, run: Run) -> None:
        assert run.image_id is not None
        snapshots = self.aws.images[run.image_id].snapshots
        self.control.runs.complete(run.id, Image(run.image_id, job.id, run.id, snapshots, self.clock.now))
        self.completed[job.id] = run.image_id
        recorded = self.control.jobs.get(job.id)
        assert (recorded.latest_image_id, recorded.failures, recorded.missed) == (run.image_id, 0, 0)
        self.counts_up("completed")

    def _retire(self, job: Job, run: Run) -> None:
        with contextlib.suppress(AwsDown):  # the next run tries again
            self.retire(job)

    def retire(self, job: Job) -> None:
        standing = self.control.images.list(job.id)
        pinned = self.control.images.pinned(job.id)
        going = superseded(standing, keep=job.spec.schedule["keep_images"], protected=pinned | self.aws.in_use)
        kept = pinned | {self.completed.get(job.id, "")}
        for image in going:
            self._remove_image(image, kept)
            if self.chance.random() < self.fault_rate:
                return  # killed in the middle
        self._reap(job)

    def _remove_image(self, image: Image, kept: set[str]) -> None:
        self.aws.deregister(image.image_id, kept)
        for snapshot_id in image.snapshot_ids:
            self.aws.delete_snapshot(snapshot_id)
        self.control.images.gone(image.image_id)

    def _reap(self, job: Job) -> None:
        """What failed runs of this server left: by tags, and only what a run of this job explains."""
        self.aws.ask()
        for things, remove in (
            (self.aws.images, lambda each: self.aws.deregister(each, set())),
            (self.aws.snapshots, self.aws.delete_snapshot),
        ):
            left: dict[str, list[str]] = {}
            for key, each in things.items():
                if each.server == job.spec.server:
                    left.setdefault(each.run_id, []).append(key)
            for run_id, theirs in left.items():
                run = self.control.runs.find(run_id)
                if run is not None and run.job_id == job.id and run.state is RunState.FAILED:
                    for key in theirs:
                        remove(key)

    def _abandon(self, job: Job, run: Run) -> None:
        if run.state is not RunState.ACTIVE:
            return
        image_id, disks = f"ami-{run.id}", self.control.runs.disks(run.id)
        if not self.aws.is_down and self.chance.random() > self.fault_rate:
            self.aws.deregister(image_id, set())
            for disk in disks:
                self.aws.delete_snapshot(disk.snapshot_id)
        self.control.runs.fail(run.id, "AWS was away")
        self.counts_up("failed")

    # What is true.

    def check(self) -> None:
        """What status says is what is there."""
        for status in self.control.status():
            job, image = status.job, status.latest_image
            expected = self.completed.get(job.id)
            assert job.latest_image_id == expected, (job.spec.server, job.latest_image_id, expected)
            if expected is not None:
                assert expected in self.aws.images
                assert image is not None
                assert image.image_id == expected
                assert set(image.snapshot_ids) <= self.aws.snapshots.keys()
            in_hand = [worker for worker in self.workers if status.open_run and status.open_run.id in worker.in_hand]
            if in_hand:
                assert status.open_run is not None
                assert status.open_run.state is RunState.ACTIVE
            if job.state is JobState.COMPLETED:
                assert expected is not None
            if job.state in (JobState.FAILING, JobState.PAUSED_ON_FAILURE, JobState.FAILED):
                assert status.last_run is not None
                assert status.last_run.state is RunState.FAILED
            if job.next_run_at is None and status.open_run is None:
                waits = (JobState.PAUSED_ON_FAILURE, JobState.FAILED, JobState.COMPLETED, JobState.DELETING)
                assert job.paused_at is not None or job.state in waits, f"{job} would never run again"
        with self.control._db.read() as connection:
            known = set(connection.execute(sa.select(runs.c.id)).scalars())
        for image_id, ami in self.aws.images.items():
            assert set(ami.snapshots) <= self.aws.snapshots.keys(), f"{image_id} has lost a snapshot"
            if image_id not in FOREIGN:
                assert ami.run_id in known, f"{image_id} is of no run that is known"
        assert set(FOREIGN) <= self.aws.images.keys() | self.aws.snapshots.keys()

    def settle(self) -> None:
        """Without further faults: let everything come to rest, each job after one more good run."""
        self.fault_rate = 0.0
        self.aws.is_down = False
        for worker in self.workers:
            worker.hangs_until = 0.0
        for job in self.control.jobs.list():
            if job.is_live:
                self.control.jobs.resume(job.id)
                try:
                    self.control.runs.retry(job.id, token=f"settle {self.elapsed}")
                except NothingToRetry:
                    self.control.runs.request(job.id, token=f"settle {self.elapsed}")
        for _ in range(2000):
            self.step()
            self.pass_time(7)
            if not any(worker.in_hand for worker in self.workers) and not any(
                status.open_run for status in self.control.status()
            ):
                break
        else:
            raise AssertionError("it does not come to rest")
        self.check()

    def leftovers(self) -> list[str]:
        """What is in AWS and belongs to no image on record."""
        owned: set[str] = set(FOREIGN)
        for images in self.control.standing_images([job.id for job in self.control.jobs.list()]).values():
            for image in images:
                owned |= {image.image_id, *image.snapshot_ids}
        return sorted((self.aws.images.keys() | self.aws.snapshots.keys()) - owned)


STEPS = (
    World._freeze,
    World._copy,
    World._complete,
    World._make_image,
    World._record,
    World._retire,
)
