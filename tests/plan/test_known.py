"""What is known of servers, from a real control plane: its clock goes by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from rehost.control import ControlPlane, Image, JobSpec, RunDisk
from rehost.plan import ask_control
from tests.plan.conftest import GIB, NOW, estate

MIB = 1 << 20


class Clock:
    def __init__(self) -> None:
        self.at = NOW

    def __call__(self) -> datetime:
        return self.at

    def go(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def control(tmp_path: Path, clock: Clock) -> Iterator[ControlPlane]:
    plane = ControlPlane.open(f"sqlite:///{tmp_path}/control.db", clock=clock)
    yield plane
    plane.close()


def _job(control: ControlPlane, server: str) -> str:
    spec = JobSpec(
        stack="prod",
        server=server,
        application="shop",
        source_name="dc1",
        source={"type": "images"},
        locator={"path": f"{server}.raw"},
        schedule={"every_seconds": 3600, "keep_images": 3},
        image={},
        aws={},
    )
    return control.jobs.put(spec).id


def _run(control: ControlPlane, clock: Clock, job_id: str, *, sent: int, seconds: float, parent: str | None) -> Image:
    """One run of one disk of 100 GiB with 40 allocated, whose copy takes so long; ten seconds before and after it."""
    run = control.runs.request(job_id, token=f"t-{clock.at.timestamp()}")
    claimed = control.runs.claim("connector", None, lease_seconds=10_000)
    assert claimed is not None
    assert claimed.id == run.id
    clock.go(10)
    began = clock.at
    disk = RunDisk(0, "a", 100 * GIB, f"snap-{run.id}", parent, "position", started_at=began)
    control.runs.put_disk(run.id, disk)
    clock.go(seconds)
    control.runs.update_disk(run.id, 0, allocated_bytes=40 * GIB, sent_bytes=sent, started_at=began)
    control.runs.disk_completed(run.id, 0)
    clock.go(10)
    image = Image(f"ami-{run.id}", job_id, run.id, (disk.snapshot_id,), clock.at)
    control.runs.complete(run.id, image)
    return image


def test_sizes_rates_and_images_come_from_the_runs(control: ControlPlane, clock: Clock, tmp_path: Path) -> None:
    job_id = _job(control, "db-01")
    first = _run(control, clock, job_id, sent=40 * GIB, seconds=640, parent=None)
    second = _run(control, clock, job_id, sent=GIB, seconds=16, parent=first.snapshot_ids[0])
    small = _run(control, clock, job_id, sent=4096, seconds=8, parent=second.snapshot_ids[0])
    control.images.pin(second.image_id, "prod/db-01")
    known = ask_control(control, "prod", estate(tmp_path))
    found = known.of("db-01")
    assert known.why is None
    assert (found.disks, found.full_bytes, found.sent_bytes) == ((100 * GIB,), 40 * GIB, 4096)
    assert found.run_seconds == 28.0
    assert [each.image_id for each in found.images] == [small.image_id, second.image_id, first.image_id]
    assert found.pinned == {second.image_id}
    assert known.rates == {"dc1": pytest.approx(41 * GIB / 656)}, "a run of a few kilobytes says nothing of the line"
    assert known.of("web-01").size is None
    assert ask_control(control, "another", estate(tmp_path)).of("db-01").size is None


def test_a_first_run_alone_says_nothing_of_what_changes(control: ControlPlane, clock: Clock, tmp_path: Path) -> None:
    _run(control, clock, _job(control, "db-01"), sent=40 * GIB, seconds=640, parent=None)
    found = ask_control(control, "prod", estate(tmp_path)).of("db-01")
    assert found.sent_bytes is None
    assert found.full_bytes == 40 * GIB


def test_the_catalog_fills_in_by_source_and_locator(control: ControlPlane, tmp_path: Path) -> None:
    control.catalogs.request("dc1", {"type": "images"})
    control.catalogs.take("someone", None)
    disks = [{"key": "a", "size": 10 * GIB, "allocated": None}, {"key": "b", "size": 2 * GIB}]
    control.catalogs.put(
        "dc1", "someone", [{"name": "an-export", "locator": {"path": "web-01.raw"}, "disks": disks, "facts": {}}]
    )
    found = ask_control(control, "prod", estate(tmp_path)).of("web-01")
    assert (found.size, found.full_bytes) == (12 * GIB, None)
