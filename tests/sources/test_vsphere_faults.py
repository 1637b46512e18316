"""What goes wrong with a vCenter, caused on the simulated one: a retry, or a clear error; no snapshot left; and a next run that succeeds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from rehost.sources import (
    CertificateRefused,
    ChangesUnknown,
    Consistency,
    CredentialsRefused,
    DiskUnsuitable,
    FreezeFailed,
    FreezeLost,
    Quiesce,
    QuiesceImpossible,
    ReadFailed,
    ServerNotFound,
    ServerUnsuitable,
    SourceChanged,
    SourceConfigInvalid,
    SourceError,
    SourceUnavailable,
    open_source,
)
from rehost.sources.vsphere import VSphereSource, _folder, _snapshots
from sandbox import VSphere
from sandbox._vsphere import PASSWORD
from tests.sources.harness import INITIAL, KIB, MIB, restored, whole
from tests.sources.vcenter import CREDENTIALS, VCenterHarness, built, entry, opened


@pytest.fixture(scope="module")
def vcenter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VSphere]:
    with VSphere(tmp_path_factory.mktemp("vcenter"), built()) as simulated:
        yield simulated


@pytest.fixture
def site(tmp_path: Path, vcenter: VSphere, monkeypatch: pytest.MonkeyPatch) -> Iterator[VCenterHarness]:
    monkeypatch.setattr(_snapshots, "REMOVE_DELAYS", (0.01, 0.01))
    harness = VCenterHarness(tmp_path, vcenter)
    yield harness
    vcenter.set(denied=[], leaveDisks=False)
    harness.close()


def succeeds(site: VCenterHarness, run: str = "run-next") -> None:
    """A following run reads all of both disks, and leaves nothing."""
    frozen = site.source.freeze(site.locator, quiesce=Quiesce.TRY, run=run)
    assert [whole(disk) for disk in frozen.disks] == [site.content(0), site.content(1)]
    frozen.check()
    frozen.release()
    assert site.made() == []


# Getting in


def test_a_wrong_password_is_refused_once_and_not_repeated(
    site: VCenterHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_VC_WRONG", "hunter2")
    credentials = {**CREDENTIALS, "password": {"env": "TEST_VC_WRONG"}}
    before = site.vcenter.state()["calls"].get("Login", 0)
    source = open_source(entry(site.vcenter) | {"credentials": credentials}, base=Path())
    with structlog.testing.capture_logs() as logs, pytest.raises(CredentialsRefused) as refused:
        source.inspect(site.locator)
    source.close()
    assert "administrator@vsphere.local" in str(refused.value)
    assert "hunter2" not in f"{refused.value!r}{refused.value}{logs}"
    # Accounts are locked for a few wrong ones.
    assert site.vcenter.state()["calls"]["Login"] == before + 1


def test_a_secret_that_is_not_there(site: VCenterHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_VC_ABSENT", raising=False)
    credentials = {**CREDENTIALS, "password": {"env": "TEST_VC_ABSENT"}}
    source = open_source(entry(site.vcenter) | {"credentials": credentials}, base=Path())
    with pytest.raises(SourceConfigInvalid, match=r"\{env: TEST_VC_ABSENT\} cannot be had: the environment variable"):
        source.inspect(site.locator)
    source.close()


def test_a_certificate_nobody_vouches_for(site: VCenterHarness) -> None:
    source = open_source(entry(site.vcenter) | {"tls": {}}, base=Path())
    with pytest.raises(CertificateRefused, match=r"tls: \{caFile"):
        source.inspect(site.locator)
    source.close()


def test_a_pinned_certificate(site: VCenterHarness) -> None:
    source = open_source(entry(site.vcenter) | {"tls": {"thumbprint": site.vcenter.thumbprint}}, base=Path())
    frozen = source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    assert whole(frozen.disks[1]) == INITIAL[1]
    frozen.release()
    source.close()


def test_another_certificate_than_the_pinned_one(site: VCenterHarness) -> None:
    source = open_source(entry(site.vcenter) | {"tls": {"thumbprint": "ab" * 32}}, base=Path())
    before = site.vcenter.state()["calls"].get("Login")
    with pytest.raises(CertificateRefused, match=site.vcenter.thumbprint) as refused:
        source.inspect(site.locator)
    source.close()
    assert "AB:AB" in str(refused.value)
    assert site.vcenter.state()["calls"].get("Login") == before


def test_nobody_answers() -> None:
    source = open_source({"type": "vsphere", "endpoint": "127.0.0.1:9", "credentials": CREDENTIALS}, base=Path())
    with pytest.raises(SourceUnavailable, match=r"127\.0\.0\.1:9 cannot be used: connecting: Connection refused"):
        list(source.discover())


def test_sessions_that_expire_in_the_middle_of_a_disk(site: VCenterHarness) -> None:
    frozen = site.source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    disk = frozen.disks[0]
    buffer = memoryview(bytearray(disk.size))
    at = 0
    while at < disk.size:
        site.vcenter.set(expire=True)
        at += disk.read_into(at, buffer[at : at + 512 * KIB])
    assert bytes(buffer) == INITIAL[0]
    site.vcenter.set(expire=True)
    assert restored(list(disk.extents(None)), disk, b"") == INITIAL[0]
    site.vcenter.set(expire=True)
    frozen.check()
    site.vcenter.set(expire=True)
    frozen.release()
    assert site.made() == []


def test_the_cookie_is_renewed_before_it_ends(site: VCenterHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = site.source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    monkeypatch.setattr(_folder, "COOKIE_AGE", 0.0)
    before = site.vcenter.state()["folderLogins"]
    whole(frozen.disks[1])
    assert site.vcenter.state()["folderLogins"] > before
    frozen.release()


def test_missing_privileges_are_named(site: VCenterHarness) -> None:
    site.vcenter.set(denied=["VirtualMachine.State.CreateSnapshot", "VirtualMachine.Provisioning.DiskRandomRead"])
    with pytest.raises(ServerUnsuitable) as refused:
        site.source.inspect(site.locator)
    for privilege in ("VirtualMachine.State.CreateSnapshot", "VirtualMachine.Provisioning.DiskRandomRead"):
        assert privilege in str(refused.value)
    assert "missing-privileges" in str(refused.value)
    site.vcenter.set(denied=[])
    site.source.inspect(site.locator)


def test_a_privilege_that_is_refused_in_the_act(site: VCenterHarness) -> None:
    site.vcenter.call_fault("CreateSnapshot_Task", "NoPermission")
    with pytest.raises(CredentialsRefused, match="taking a snapshot"):
        site.source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    assert site.made() == []
    succeeds(site)


def test_many_servers_are_inspected_in_one_session(site: VCenterHarness) -> None:
    other = site.vcenter.add("another", [MIB], cbt=True, tools=True)
    before = site.vcenter.state()["calls"]
    for _ in range(5):  # as a preview does: a source for each
        source = opened(site.config)
        source.inspect(site.locator)
        source.inspect({"name": "another"})
        source.close()
    calls = site.vcenter.state()["calls"]
    assert calls["Login"] - before.get("Login", 0) <= 1
    assert calls["CreateContainerView"] - before.get("CreateContainerView", 0) <= 2
    site.vcenter.change(other.moref, "power-off")
    site.vcenter.change(other.moref, "destroy")
    source = opened(site.config)
    with pytest.raises(ServerNotFound):
        source.inspect({"name": "another"})
    source.close()


# The machine changes


def test_a_machine_that_is_renamed_during_a_run(site: VCenterHarness) -> None:
    frozen = site.source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    site.vcenter.change(site.machine.moref, "rename", name="renamed")
    assert whole(frozen.disks[0]) == INITIAL[0]
    frozen.check()
    frozen.release()
    assert site.made() == []
    with pytest.raises(ServerNotFound):
        site.source.inspect(site.locator)
    site.locator = {"uuid": site.machine.uuid}
    succeeds(site)


def test_a_machine_that_migrates_to_another_host(site: VCenterHarness) -> None:
    frozen = site.source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    [before] = [each for each in site.source.discover() if each.locator == site.locator]
    site.vcenter.change(site.machine.moref, "migrate")
    [now] = [each for each in site.source.discover() if each.locator == site.locator]
    assert before.facts["host"] != now.facts["host"]
    assert whole(frozen.disks[0]) == INITIAL[0]
    frozen.check()
    frozen.release()
    succeeds(site)


def test_a_machine_that_is_removed_during_a_run(vcenter: VSphere, tmp_path: Path) -> None:
    machine = vcenter.add("doomed", [MIB], cbt=True, off=True)
    source = opened(entry(vcenter))
    frozen = source.freeze({"name": "doomed"}, quiesce=Quiesce.NONE, run="run-1")
    token = frozen.token
    vcenter.change(machine.moref, "destroy")
    with pytest.raises(SourceChanged, match="doomed changed"):
        frozen.check()
    frozen.release()
    with pytest.raises(FreezeLost):
        source.reopen(token)
    with pytest.raises(ServerNotFound):
        source.inspect({"name": "doomed"})
    source.close()


def test_a_snapshot_that_somebody_removes_during_a_run(site: VCenterHarness) -> None:
    frozen = site.source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    site.vcenter.change(site.machine.moref, "remove-snapshots")
    with pytest.raises(SourceChanged, match="was removed"):
        frozen.check()
    frozen.release()
    succeeds(site)


def test_a_disk_added_between_runs(site: VCenterHarness) -> None:
    first = site.source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    keys = [disk.key for disk in first.disks]
    first.release()
    site.vcenter.change(site.machine.moref, "add-disk", size=2 * MIB)
    second = site.source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-2")
    assert [disk.key for disk in second.disks][:2] == keys
    assert second.disks[2].size == 2 * MIB
    assert whole(second.disks[2]) == bytes(2 * MIB)
    second.release()


def test_a_disk_that_vcenter_no_longer_serves_over_https_is_exported(site: VCenterHarness) -> None:
    site.vcenter.http_fault(path="disk0-flat", status=404)  # as vSAN answers
    frozen = site.source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    assert '"transport": "export"' in frozen.token
    assert whole(frozen.disks[0]) == INITIAL[0]
    frozen.release()
    assert site.made() == []


def test_https_alone_says_why_it_cannot(site: VCenterHarness) -> None:
    source = opened(entry(site.vcenter, transport="https"))
    site.vcenter.http_fault(path="disk0-flat", status=404)
    with pytest.raises(DiskUnsuitable, match=r"vSAN.*`transport: auto`"):
        source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    source.close()
    assert site.made() == []


def test_snapshots_of_others_are_left_alone_and_read_around(site: VCenterHarness) -> None:
    site.vcenter.change(site.machine.moref, "snapshot", name="before the update")
    site.write(0, 0, b"after the update")
    [concern] = [each for each in site.source.inspect(site.locator).concerns if each.id == "existing-snapshots"]
    assert "before the update" in concern.message
    frozen = site.source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    # The flat file is that of the older snapshot: what it holds would be wrong.
    assert whole(frozen.disks[0]) == site.content(0)
    frozen.release()
    assert site.made() == ["before the update"]
    source = opened(entry(site.vcenter, transport="https"))
    with pytest.raises(ServerUnsuitable, match="existing-snapshots"):
        source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-2")
    source.close()
    assert site.made() == ["before the update"]


# Snapshots


@pytest.mark.parametrize("fault", ["InsufficientResourcesFault", "GenericVmConfigFault", "ResourceInUse"])
def test_a_snapshot_that_fails(site: VCenterHarness, fault: str) -> None:
    site.vcenter.task_fault("CreateSnapshot_Task", fault=fault, reason="no space left on the datastore")
    with pytest.raises(FreezeFailed, match="no space left on the datastore") as failed:
        site.source.freeze(site.locator, quiesce=Quiesce.TRY, run="run-1")
    assert failed.value.retryable
    assert site.made() == []
    succeeds(site)


def test_a_snapshot_that_takes_too_long_and_appears_late(site: VCenterHarness) -> None:
    source = opened(entry(site.vcenter, snapshotTimeout=0.3))
    site.vcenter.task_fault("CreateSnapshot_Task", delay=0.8)
    with pytest.raises(FreezeFailed, match=r"has not ended within"):
        source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-late")
    site.wait(lambda: site.made() != [])
    frozen = source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-2")
    assert site.made() == ["rehost-run-2"]
    assert '"transport": "https"' in frozen.token
    frozen.release()
    source.close()
    assert site.made() == []


def test_the_same_run_takes_up_its_late_snapshot(site: VCenterHarness) -> None:
    source = opened(entry(site.vcenter, snapshotTimeout=0.3))
    site.vcenter.task_fault("CreateSnapshot_Task", delay=0.8)
    with pytest.raises(FreezeFailed):
        source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    site.wait(lambda: site.made() == ["rehost-run-1"])
    frozen = source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    frozen.release()
    source.close()
    assert site.made() == []


def test_a_guest_that_cannot_be_quiesced(site: VCenterHarness) -> None:
    fault = {"fault": "ApplicationQuiesceFault", "reason": "VSS writer failed"}
    site.vcenter.task_fault("CreateSnapshot_Task", **fault)
    with pytest.raises(QuiesceImpossible, match="VSS writer failed"):
        site.source.freeze(site.locator, quiesce=Quiesce.REQUIRE, run="run-1")
    assert site.made() == []
    site.vcenter.task_fault("CreateSnapshot_Task", **fault)
    frozen = site.source.freeze(site.locator, quiesce=Quiesce.TRY, run="run-2")
    assert frozen.consistency is Consistency.CRASH
    frozen.release()
    frozen = site.source.freeze(site.locator, quiesce=Quiesce.TRY, run="run-3")
    assert frozen.consistency is Consistency.FILESYSTEM
    frozen.release()


def test_a_guest_without_tools(site: VCenterHarness) -> None:
    site.vcenter.change(site.machine.moref, "set", name="guest.toolsRunningStatus", value="guestToolsNotRunning")
    with pytest.raises(QuiesceImpossible, match="VMware Tools do not run"):
        site.source.freeze(site.locator, quiesce=Quiesce.REQUIRE, run="run-1")
    frozen = site.source.freeze(site.locator, quiesce=Quiesce.TRY, run="run-2")
    assert frozen.consistency is Consistency.CRASH
    frozen.release()


def test_a_machine_that_is_off(site: VCenterHarness) -> None:
    site.vcenter.change(site.machine.moref, "power-off")
    frozen = site.source.freeze(site.locator, quiesce=Quiesce.REQUIRE, run="run-1")
    assert frozen.consistency is Consistency.OFFLINE
    frozen.release()
    site.vcenter.change(site.machine.moref, "power-on")


def test_a_snapshot_that_cannot_be_removed_at_first(site: VCenterHarness) -> None:
    frozen = site.source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    site.vcenter.task_fault("RemoveSnapshot_Task", fault="ResourceInUse", count=2)
    frozen.release()
    assert site.made() == []


def test_a_snapshot_that_cannot_be_removed_at_all(site: VCenterHarness) -> None:
    frozen = site.source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    site.vcenter.task_fault("RemoveSnapshot_Task", fault="ResourceInUse", reason="a backup holds it", count=3)
    with pytest.raises(SourceUnavailable, match="a backup holds it"):
        frozen.release()
    frozen.release()
    succeeds(site)


def test_disks_that_need_consolidation(site: VCenterHarness) -> None:
    frozen = site.source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    site.vcenter.set(leaveDisks=True)
    before = site.vcenter.state()["calls"].get("ConsolidateVMDisks_Task", 0)
    frozen.release()
    assert site.vcenter.state()["calls"]["ConsolidateVMDisks_Task"] == before + 1
    assert not [each for each in site.source.inspect(site.locator).concerns if each.id == "consolidation-needed"]
    succeeds(site)


def test_a_consolidation_that_fails_is_told_and_done_by_the_next_run(site: VCenterHarness) -> None:
    frozen = site.source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    site.vcenter.set(leaveDisks=True)
    site.vcenter.task_fault("ConsolidateVMDisks_Task", fault="FileLocked", reason="locked by a backup", count=3)
    with structlog.testing.capture_logs() as logs:
        frozen.release()
    assert "locked by a backup" in str(logs)
    assert [each.id for each in site.source.inspect(site.locator).concerns] == ["consolidation-needed"]
    succeeds(site)
    assert site.source.inspect(site.locator).concerns == []


# Changed blocks


def test_tracking_is_left_off_unless_the_spec_allows_it(vcenter: VSphere) -> None:
    machine = vcenter.add("untracked", [2 * MIB])
    source = opened(entry(vcenter))
    assert [each.id for each in source.inspect({"name": "untracked"}).concerns] == ["no-tools", "cbt-off"]
    first = source.freeze({"name": "untracked"}, quiesce=Quiesce.NONE, run="run-1")
    since = first.disks[0].position
    assert whole(first.disks[0]) == bytes(2 * MIB)
    first.release()
    second = source.freeze({"name": "untracked"}, quiesce=Quiesce.NONE, run="run-2")
    with pytest.raises(ChangesUnknown, match="tracking is off"):
        list(second.disks[0].extents(since))
    second.release()
    source.close()

    source = opened(entry(vcenter, enableChangeTracking=True))
    third = source.freeze({"name": "untracked"}, quiesce=Quiesce.NONE, run="run-3")
    with pytest.raises(ChangesUnknown, match="was off when the previous run"):
        list(third.disks[0].extents(since))
    since = third.disks[0].position
    third.release()
    fourth = source.freeze({"name": "untracked"}, quiesce=Quiesce.NONE, run="run-4")
    assert list(fourth.disks[0].extents(since)) == []
    fourth.release()
    source.close()
    vcenter.change(machine.moref, "power-off")
    vcenter.change(machine.moref, "destroy")


def test_changes_come_in_pages(site: VCenterHarness) -> None:
    first = site.source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    since = first.disks[0].position
    first.release()
    for number in range(0, 40, 3):
        site.write(0, number * 64 * KIB, f"change {number}".encode())
    second = site.source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-2")
    at_once = list(second.disks[0].extents(since))
    before = site.vcenter.state()["calls"]["QueryChangedDiskAreas"]
    site.vcenter.set(pageAreas=4)
    in_pages = list(second.disks[0].extents(since))
    site.vcenter.set(pageAreas=2000)
    assert site.vcenter.state()["calls"]["QueryChangedDiskAreas"] == before + 4
    assert in_pages == at_once
    assert restored(in_pages, second.disks[0], INITIAL[0]) == site.content(0)
    second.release()


# The network


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 500}, {"drop": 1}])
def test_a_read_that_breaks_may_be_repeated(site: VCenterHarness, fault: dict[str, int]) -> None:
    frozen = site.source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    site.vcenter.http_fault(path="disk0-flat", **fault)
    if "drop" in fault:
        assert frozen.disks[0].read_into(0, memoryview(bytearray(512 * KIB))) == 1
    else:
        with pytest.raises(ReadFailed) as failed:
            frozen.disks[0].read_into(0, memoryview(bytearray(512 * KIB)))
        assert failed.value.retryable
    assert whole(frozen.disks[0]) == INITIAL[0]
    frozen.release()


def test_a_server_that_does_not_answer(site: VCenterHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_folder, "READ_TIMEOUT", 0.2)
    frozen = site.source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    frozen.close()
    site.vcenter.http_fault(path="disk0-flat", delay=0.6)
    with pytest.raises(ReadFailed, match="no answer within"):
        frozen.disks[0].read_into(0, memoryview(bytearray(4096)))
    frozen.release()


def test_idle_connections_that_the_server_has_closed(site: VCenterHarness) -> None:
    frozen = site.source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    whole(frozen.disks[1])
    reader = site.vsphere._readers[-1]
    for connection in reader._folder._idle:  # type: ignore[attr-defined]
        connection.sock.shutdown(2)
    assert whole(frozen.disks[0]) == INITIAL[0]
    frozen.release()


def test_an_export_that_breaks_off(site: VCenterHarness) -> None:
    source = opened(entry(site.vcenter, transport="export"))
    frozen = source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    site.vcenter.http_fault(path="/nfc/", drop=70_000)
    with pytest.raises(ReadFailed, match="broke off") as failed:
        frozen.disks[0].read_into(0, memoryview(bytearray(4096)))
    assert failed.value.retryable
    assert whole(frozen.disks[0]) == INITIAL[0]
    frozen.release()
    source.close()


def test_errors_of_vcenter_arrive_in_our_words(site: VCenterHarness) -> None:
    site.vcenter.call_fault("CreateContainerView", "SystemError", reason="out of memory")
    with pytest.raises(SourceError, match=r"listing the inventory failed: .*SystemError"):
        list(site.source.discover())


def test_the_password_is_nowhere(site: VCenterHarness) -> None:
    assert isinstance(site.source, VSphereSource)
    frozen = site.source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    told = f"{frozen.token} {vars(site.source)} {site.source._config} {vars(site.source._client)}"
    assert PASSWORD not in told
    frozen.release()
