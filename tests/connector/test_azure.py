"""Whole runs from the stand-in for Azure: what moves, what is left in the subscription, and what is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rehost.connector import forget_base
from rehost.connector._forgetting import forget_bases
from rehost.control import Job, RunState
from rehost.sources import ServerNotFound, open_source
from rehost.sources.azure import AzureSource, _client, _pool
from sandbox.azure import AzureCloud, MachineHandle
from tests.sources.azure import SECRET, built, entry

from .conftest import MIB, Site
from .inprocess import FastPatience, Worker

SIZE = 64 * MIB


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureCloud]:
    with AzureCloud(tmp_path_factory.mktemp("azure"), built()) as running:
        yield running


@pytest.fixture
def machine(site: Site, cloud: AzureCloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[MachineHandle]:
    """Its disk is the site's file."""
    monkeypatch.setenv(SECRET, cloud.client_secret)
    monkeypatch.setattr(_client, "_BACKOFF", (0.01, 0.01, 0.01))
    monkeypatch.setattr(_client, "PATIENCE", 0.1)
    site.write(range(0, 128, 4), size=SIZE)
    made = cloud.add_machine(site.stack, [site.disk], size="Standard_D2s_v5")
    yield made
    cloud.faults.clear()
    made.delete()


def declare(site: Site, cloud: AzureCloud, machine: MachineHandle) -> Job:
    return site.declare(source_name="azure", source=entry(cloud), locator={"id": machine.id}, quiesce="none")


def left(cloud: AzureCloud, machine: MachineHandle) -> list[str]:
    """What of ours stands at the machine, and who may read it."""
    source = open_source(entry(cloud), base=Path())
    try:
        return [*source.remains({"id": machine.id}), *cloud.state()["access"]]  # type: ignore[attr-defined]
    finally:
        source.close()


def test_runs_keep_one_snapshot_for_the_next_difference(
    site: Site, cloud: AzureCloud, machine: MachineHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = declare(site, cloud, machine)
    worker = Worker(site, patience=FastPatience().patience(source=1.0))
    first = worker.carry_out(job)
    assert first.state is RunState.COMPLETED, first.message
    (disk,) = site.control.runs.disks(first.id)
    assert disk.sent_blocks == 32
    site.assert_image_is_the_disk(job)
    (kept,) = left(cloud, machine)
    assert kept.startswith("kept for the next difference: ")

    # One that fails takes its own snapshot along, and the base of the next difference stays.
    site.write(range(9, 10), size=SIZE, seed=4)
    fault = cloud.fault("error", call="storage/get", status=416, code="InvalidRange", after=1, count=None)
    failed = worker.carry_out(job, token="fails")
    assert failed.state is RunState.FAILED
    assert "InvalidRange" in str(failed.message)
    assert fault.hits
    cloud.faults.clear()
    assert left(cloud, machine) == [kept]

    site.write(range(5, 7), size=SIZE, seed=2)
    before = cloud.state()["sent"]
    second = worker.carry_out(job, token="again")
    assert second.state is RunState.COMPLETED, second.message
    (disk,) = site.control.runs.disks(second.id)
    assert (disk.sent_blocks, disk.parent_snapshot_id is not None) == (3, True)
    assert cloud.state()["sent"] - before < 2 * MIB
    site.assert_image_is_the_disk(job)
    (newer,) = left(cloud, machine)
    assert newer != kept

    # A job that has ended leaves nothing; where its source is away, that is said, and done later.
    site.control.jobs.begin_end(job.id)
    site.control.jobs.ended(job.id)
    ended = site.control.jobs.get(job.id)
    away = cloud.fault("error", call="Microsoft.Compute/snapshots/read", status=503, count=None)
    trouble = forget_base(site.control, ended, base=site.folder)
    assert "stays there for now" in trouble
    assert "rehost doctor azure web-01" in trouble
    assert away.hits
    cloud.faults.clear()
    with monkeypatch.context() as without:
        without.delenv(SECRET)
        _pool.close_idle()  # no login is left to be used again
        assert SECRET in forget_base(site.control, ended, base=site.folder)
    assert site.control.whole_copies.unneeded() == [job.id]
    told: set[str] = set()
    forget_bases(site.control, {"another"}, base=site.folder, told=told)
    assert left(cloud, machine) == [newer]
    away = cloud.fault("error", call="Microsoft.Compute/snapshots/read", status=503, count=None)
    forget_bases(site.control, {"azure"}, base=site.folder, told=told)
    assert away.hits
    assert told == {job.id}
    cloud.faults.clear()
    forget_bases(site.control, {"azure"}, base=site.folder, told=told)
    assert left(cloud, machine) == []
    assert site.control.whole_copies.unneeded() == []
    assert forget_base(site.control, ended, base=site.folder) == ""
    written = b"".join(path.read_bytes() for path in site.folder.rglob("*") if path.is_file() and path != site.disk)
    assert cloud.client_secret.encode() not in written
    assert b"sig=" not in written


def test_a_killed_connector_leaves_its_snapshot_to_the_next(
    site: Site, cloud: AzureCloud, machine: MachineHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = declare(site, cloud, machine)
    assert site.work("copy-piece:kill") != 0
    with site.disk.open("rb") as file:
        frozen = file.read()
    site.write(range(1, 60, 2), size=SIZE, seed=3)  # the guest goes on
    assert site.work() == 0
    run = site.run(job)
    assert run.state is RunState.COMPLETED, run.message
    assert len(left(cloud, machine)) == 1
    assert b"sig=" not in (site.folder / "connector.log").read_bytes()
    site.disk = site.folder / "then.raw"
    site.disk.write_bytes(frozen)
    site.assert_image_is_the_disk(job)

    # What a source keeps on a machine is gone with it, as on a Hyper-V host: nobody asks again.
    def gone(*_: object) -> None:
        raise ServerNotFound(name="web-01", place="rack1", hint="it was removed")

    site.control.jobs.begin_end(job.id)
    site.control.jobs.ended(job.id)
    monkeypatch.setattr(AzureSource, "forget", gone)
    assert forget_base(site.control, site.control.jobs.get(job.id), base=site.folder) == ""
    assert site.control.whole_copies.unneeded() == []
