"""Whole runs from a simulated vCenter, by a connector process: what moves, what a kill costs, what is left, and what is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rehost.control import Job, RunState
from sandbox import SimulatedMachine, VSphere
from sandbox._vsphere import PASSWORD
from tests.sources.vcenter import SECRETS, built, entry

from .conftest import MIB, Site

SIZE = 64 * MIB


@pytest.fixture(scope="module")
def vcenter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VSphere]:
    with VSphere(tmp_path_factory.mktemp("vcenter"), built()) as simulated:
        yield simulated


@pytest.fixture
def machine(site: Site, vcenter: VSphere, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedMachine]:
    """Its flat file is the site's disk."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    site.write(range(0, 128, 4), size=SIZE)
    made = vcenter.add(site.stack, [site.disk], tools=True)
    site.disk = made.flats[0]
    yield made
    vcenter.clear_faults()
    vcenter.change(made.moref, "power-off")
    vcenter.change(made.moref, "destroy")


def declare(site: Site, vcenter: VSphere, machine: SimulatedMachine) -> Job:
    source = entry(vcenter, enableChangeTracking=True)
    return site.declare(source_name="dc1", source=source, locator={"moref": machine.moref})


def left(vcenter: VSphere, machine: SimulatedMachine) -> list[str]:
    return list(vcenter.state()["snapshots"].get(machine.moref) or [])


def everything_written(folder: Path) -> bytes:
    """All that the run put on this machine: control plane, DBOS's record, manifests, logs."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file() and "exports" not in path.parts)


def test_the_second_run_reads_and_sends_what_changed(site: Site, vcenter: VSphere, machine: SimulatedMachine) -> None:
    job = declare(site, vcenter, machine)
    assert site.work() == 0
    first = site.run(job)
    assert first.state is RunState.COMPLETED, first.message
    (disk,) = site.control.runs.disks(first.id)
    assert disk.sent_blocks == 32
    assert str(first.consistency) == "filesystem"
    site.assert_image_is_the_disk(job)
    site.write(range(5, 7), size=SIZE, seed=2)
    site.control.runs.request(job.id, token="again")
    before = vcenter.state()["sentBytes"]
    site.work()
    (disk,) = site.control.runs.disks(site.run(job).id)
    assert (disk.sent_blocks, disk.parent_snapshot_id is not None) == (2, True)
    assert vcenter.state()["sentBytes"] - before < 2 * MIB
    site.assert_image_is_the_disk(job)
    assert left(vcenter, machine) == []
    assert PASSWORD.encode() not in everything_written(site.folder)


@pytest.mark.parametrize("fault", ["frozen:kill", "copy-piece:kill", "copied:kill", "snapshot-complete:kill"])
def test_a_killed_connector_leaves_its_snapshot_to_the_next(
    site: Site, vcenter: VSphere, machine: SimulatedMachine, fault: str
) -> None:
    job = declare(site, vcenter, machine)
    assert site.work(fault) != 0
    assert left(vcenter, machine) == [f"rehost-{site.run(job).id}"]
    with site.disk.open("rb") as file:
        frozen = file.read()
    site.write(range(1, 60, 2), size=SIZE, seed=3)  # the guest goes on
    assert site.work() == 0
    run = site.run(job)
    assert run.state is RunState.COMPLETED, run.message
    assert left(vcenter, machine) == []
    site.disk = site.folder / "then.raw"
    site.disk.write_bytes(frozen)
    site.assert_image_is_the_disk(job)


def test_a_wrong_password_fails_the_run_and_says_so(
    site: Site, vcenter: VSphere, machine: SimulatedMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = declare(site, vcenter, machine)
    monkeypatch.setenv("TEST_VC_PASSWORD", "hunter2-wrong")
    site.work()
    run = site.run(job)
    assert run.state is RunState.FAILED
    assert "its password is wrong" in str(run.message)
    assert b"hunter2-wrong" not in everything_written(site.folder)
    monkeypatch.setenv("TEST_VC_PASSWORD", PASSWORD)
    succeeds(site, vcenter, machine, job)


def test_a_snapshot_removed_behind_our_back_fails_the_run(
    site: Site, vcenter: VSphere, machine: SimulatedMachine
) -> None:
    job = declare(site, vcenter, machine)
    site.work("copied:kill")
    vcenter.change(machine.moref, "remove-snapshots")
    site.work()
    run = site.run(job)
    assert run.state is RunState.FAILED
    assert "was removed" in str(run.message)
    assert site.owned("image") == []
    succeeds(site, vcenter, machine, job)


def test_a_snapshot_that_fails_fails_the_run(site: Site, vcenter: VSphere, machine: SimulatedMachine) -> None:
    job = declare(site, vcenter, machine)
    vcenter.task_fault("CreateSnapshot_Task", fault="GenericVmConfigFault", reason="no space on the datastore", count=9)
    site.work()
    run = site.run(job)
    assert run.state is RunState.FAILED
    assert "no space on the datastore" in str(run.message)
    assert left(vcenter, machine) == []
    vcenter.clear_faults()
    succeeds(site, vcenter, machine, job)


def test_sessions_end_and_connections_break_in_the_middle(
    site: Site, vcenter: VSphere, machine: SimulatedMachine
) -> None:
    job = declare(site, vcenter, machine)
    for skip in (3, 9, 15):
        vcenter.http_fault(path="-flat.vmdk", status=503, skip=skip)
        vcenter.http_fault(path="-flat.vmdk", drop=1000, skip=skip + 2)
    connector = site.start()
    while connector.poll() is None:
        vcenter.set(expire=True)
        time.sleep(0.5)  # on a busy machine, a session has to live long enough to be used
    run = site.run(job)
    assert run.state is RunState.COMPLETED, f"{run.message}\n{site.log()[-3000:]}"
    site.assert_image_is_the_disk(job)
    assert left(vcenter, machine) == []


def succeeds(site: Site, vcenter: VSphere, machine: SimulatedMachine, job: Job) -> None:
    site.control.runs.request(job.id, token="following")
    site.work()
    run = site.run(job)
    assert run.state is RunState.COMPLETED, f"{run.message}\n{site.log()[-3000:]}"
    site.assert_image_is_the_disk(job)
    assert left(vcenter, machine) == []
