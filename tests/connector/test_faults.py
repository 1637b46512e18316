"""Faults, caused: processes killed at named points, an AWS that fails, a source that changes or vanishes."""

from __future__ import annotations

import signal
import time

import pytest

from rehost import faults
from rehost.control import RunState

from .conftest import BLOCK, Site

DATA = range(0, 640, 2)  # 320 blocks: two and a half pieces of 128
PIECE = 128
WORKERS = 8
#: In the name of every reflink clone, and so in the token of a freeze that has made some.
CLONED = ".rehost-"


@pytest.mark.parametrize(
    "point", [*(name for name in faults.POINTS if name != "copy-piece"), "copy-piece", "copy-piece@2"]
)
def test_a_killed_connector_is_carried_on_by_the_next(site: Site, point: str) -> None:
    site.write(range(max(DATA) + 1), size=512 * BLOCK * 2)
    site.write(DATA, size=512 * BLOCK * 2, seed=2)
    job = site.declare()
    before = site.sandbox.calls()
    assert site.work(f"{point}:kill") == -signal.SIGKILL
    assert site.work() == 0

    runs = site.control.runs.list(job.id)
    assert [run.state for run in runs] == [RunState.COMPLETED], runs[0].message
    site.assert_image_is_the_disk(job)
    assert (len(site.owned("image")), len(site.owned("snapshot"))) == (1, 1)
    after = site.sandbox.calls()
    puts = after["ebs.PutSnapshotBlock"] - before.get("ebs.PutSnapshotBlock", 0)
    (disk,) = site.control.runs.disks(runs[0].id)
    # No acknowledged block is sent again; what was in flight in the workers may be.
    assert disk.sent_blocks <= puts <= disk.sent_blocks + WORKERS


def test_a_kill_in_the_middle_of_an_import_starts_no_second_one(site: Site) -> None:
    site.write(range(4))
    job = site.declare(image={"conversion": "import", "encrypt": False, "architecture": "x86_64", "bootMode": "auto"})
    process = site.start()
    site.wait(lambda: bool(runs := site.control.runs.list(job.id)) and runs[0].stage == "image")
    process.kill()
    process.wait()
    assert site.work() == 0
    assert site.run(job).state is RunState.COMPLETED, site.run(job).message
    assert len(site.owned("image")) == 1
    site.assert_image_is_the_disk(job)


def test_a_source_that_changes_while_it_is_read_fails_the_run_and_leaves_nothing(site: Site) -> None:
    site.write(range(300))
    site.sandbox.fault(action="latency", service="ebs", operation="PutSnapshotBlock", seconds=0.05)
    job = site.declare()
    process = site.start()
    site.wait(lambda: bool(runs := site.control.runs.list(job.id)) and "copy" in (runs[0].stage or ""))
    site.write(range(3, 4), seed=9)
    assert process.wait(timeout=60) == 0
    run = site.run(job)
    if CLONED in (run.freeze_token or ""):  # a reflink clone was read: the change does not matter
        assert run.state is RunState.COMPLETED
        return
    assert run.state is RunState.FAILED
    assert "web-01.raw" in (run.message or "")
    assert site.owned("image") == site.owned("snapshot") == []
    assert list((site.folder / "state" / "manifests").iterdir()) == []


def test_a_source_that_vanishes_fails_the_run_with_its_name(site: Site) -> None:
    job = site.declare()
    assert site.work() == 0
    run = site.run(job)
    assert run.state is RunState.FAILED
    assert "web-01.raw" in (run.message or "")


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "error", "status": 500, "code": "InternalServerException"},
        {"action": "throttle"},
        {"action": "drop"},
    ],
    ids=["500", "throttle", "drop"],
)
def test_an_aws_that_fails_for_a_while_is_tried_again(site: Site, fault: dict[str, object]) -> None:
    site.write(range(60))
    site.sandbox.fault(service="ebs", operation="PutSnapshotBlock", count=25, **fault)
    site.sandbox.fault(service="ebs", operation="StartSnapshot", count=1, **fault)
    site.sandbox.fault(service="ebs", operation="CompleteSnapshot", count=1, **fault)
    job = site.declare()
    assert site.work() == 0
    assert all(each["hits"] == each["count"] for each in site.sandbox.faults())
    assert site.run(job).state is RunState.COMPLETED, site.run(job).message
    assert len(site.owned("snapshot")) == 1
    site.assert_image_is_the_disk(job)


def test_a_refusal_fails_the_run_at_once_with_the_words_of_aws(site: Site) -> None:
    site.write(range(4))
    site.sandbox.fault(
        action="error",
        service="ebs",
        operation="StartSnapshot",
        status=403,
        code="AccessDeniedException",
        message="no ebs:StartSnapshot",
    )
    job = site.declare()
    assert site.work() == 0
    run = site.run(job)
    assert run.state is RunState.FAILED
    assert "no ebs:StartSnapshot" in (run.message or "")
    assert "docs/security.md" in (run.message or "")
    site.sandbox.clear_faults()
    site.control.runs.request(job.id, token="again")
    site.work()
    assert site.run(job).state is RunState.COMPLETED


def test_two_connectors_at_once_carry_each_run_out_once(site: Site) -> None:
    site.write(range(30))
    jobs = [site.declare(server=f"web-{number:02}") for number in range(6)]
    processes = [site.start(idle=1.0) for _ in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    for job in jobs:
        (run,) = site.control.runs.list(job.id)
        assert run.state is RunState.COMPLETED, run.message
    assert (len(site.owned("image")), len(site.owned("snapshot"))) == (6, 6)


def test_a_terminated_connector_leaves_its_run_to_the_next_at_once(site: Site) -> None:
    site.write(range(200))
    site.sandbox.fault(action="latency", service="ebs", operation="PutSnapshotBlock", seconds=0.05)
    job = site.declare()
    process = site.start()
    site.wait(lambda: bool(runs := site.control.runs.list(job.id)) and "copy" in (runs[0].stage or ""))
    process.terminate()
    assert process.wait(timeout=30) == 0
    site.sandbox.clear_faults()
    started = time.monotonic()
    assert site.work() == 0
    assert time.monotonic() - started < 20  # not the 30 s of a lease
    assert site.run(job).state is RunState.COMPLETED, site.run(job).message
    site.assert_image_is_the_disk(job)
