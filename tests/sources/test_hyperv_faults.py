"""What goes wrong with a Hyper-V host, caused on the stand-in and on Samba: a retry, or a clear error; nothing left; and a next run that succeeds."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from rehost.sources import (
    CertificateRefused,
    ChangesUnknown,
    Consistency,
    CredentialsRefused,
    FreezeFailed,
    FreezeLost,
    LocatorInvalid,
    Power,
    Quiesce,
    QuiesceImpossible,
    ServerNotFound,
    ServerUnsuitable,
    SourceChanged,
    SourceConfigInvalid,
    SourceError,
    SourceUnavailable,
)
from rehost.sources.hyperv import _changes, _frozen, _points, _pool, _power
from sandbox.hyperv import REALM, Checkpoint, HyperVHost, Kdc, KdcMissing, Machine, kdc_program
from sandbox.vhdx import open_writer
from tests.sources.harness import INITIAL, KIB, MIB, read, restored, whole
from tests.sources.hyperv import HyperVHarness, Rack, opened, racked


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rack]:
    with racked(tmp_path_factory.mktemp("rack")) as made:
        yield made


@pytest.fixture
def site(tmp_path: Path, rack: Rack, monkeypatch: pytest.MonkeyPatch) -> Iterator[HyperVHarness]:
    monkeypatch.setattr(_frozen, "_REMOVE_DELAYS", (0.01, 0.01))
    monkeypatch.setattr(_power, "_POLL", 0.01)
    harness = HyperVHarness(tmp_path, rack)
    yield harness
    harness.close()


def succeeds(site: HyperVHarness, run: str = "run-next") -> None:
    """A following run reads all of both disks, and leaves nothing but its reference point."""
    frozen = site.hyperv.freeze(site.locator, quiesce=Quiesce.TRY, run=run)
    assert [whole(disk) for disk in frozen.disks] == [site.content(0), site.content(1)]
    frozen.check()
    frozen.release()
    assert site.made() == []
    assert f"rehost-{run}" in site.references()


def freeze(site: HyperVHarness, run: str = "run-1", quiesce: Quiesce = Quiesce.TRY) -> _frozen.FrozenMachine:
    return site.hyperv.freeze(site.locator, quiesce=quiesce, run=run)


# Logging in


def test_a_wrong_password_is_said_and_not_tried_again(site: HyperVHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER", "not the password")
    wrong = opened({**site.config, "credentials": {**site.config["credentials"], "password": {"env": "OTHER"}}})
    before = site.host.state()["calls"].get("http.POST", 0)
    with pytest.raises(
        CredentialsRefused, match=r"its password is wrong.*correct what `credentials` refers to"
    ) as told:
        wrong.inspect(site.locator)
    assert "not the password" not in str(told.value)
    assert not told.value.retryable
    assert site.host.state()["calls"].get("http.POST", 0) - before <= 3  # the messages of one NTLM login
    wrong.close()
    succeeds(site)


def test_an_account_that_may_not_use_remoting(site: HyperVHarness) -> None:
    _pool.close_idle()
    site.host.winrm.refused.add(site.host.user)
    try:
        other = opened({**site.config, "checkpointTimeout": 77})  # a configuration of its own has sessions of its own
        with pytest.raises(CredentialsRefused, match=r"may not use PowerShell remoting.*docs/sources/hyperv.md"):
            other.inspect(site.locator)
        other.close()
    finally:
        site.host.winrm.refused.clear()
    succeeds(site)


def test_a_wrong_password_for_the_share(site: HyperVHarness) -> None:
    site.rack.samba.change_password("another")
    try:
        with pytest.raises(CredentialsRefused):
            freeze(site)
    finally:
        site.rack.samba.change_password(site.host.password)
    assert site.made() == []
    assert site.references() == []
    succeeds(site)


@pytest.mark.parametrize("ahead", [1200, -1200])
def test_clocks_that_differ_are_told_as_that(
    site: HyperVHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    """A real KDC whose clock is 20 minutes off."""
    with realm(site, tmp_path, monkeypatch, ahead) as config:
        other = opened(config)
        with pytest.raises(SourceUnavailable, match=r"clocks .*differ.*time server"):
            other.power(site.locator)
        other.close()
    succeeds(site)


def test_kerberos(site: HyperVHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with realm(site, tmp_path, monkeypatch, 0) as config:
        right = opened(config)
        assert right.power(site.locator) is Power.ON
        right.close()
        monkeypatch.setenv("TEST_DOMAIN_PASSWORD", "not the password")
        wrong = opened({**config, "checkpointTimeout": 81})
        with pytest.raises(CredentialsRefused, match="kerberos cannot log"):
            wrong.power(site.locator)
        wrong.close()
        _pool.close_idle()


@contextmanager
def realm(site: HyperVHarness, folder: Path, patch: pytest.MonkeyPatch, ahead: int) -> Iterator[dict[str, Any]]:
    """The spec's entry with an account of a domain."""
    for program in ("krb5kdc", "kdb5_util", "kadmin.local", "faketime"):
        try:
            kdc_program(program)
        except KdcMissing as missing:
            pytest.skip(str(missing))
    if importlib.util.find_spec("gssapi") is None or importlib.util.find_spec("krb5") is None:
        pytest.skip("gssapi and krb5 are not installed: apt-get install libkrb5-dev gcc, then make setup")
    services = ["host/localhost", "HTTP/localhost", "WSMAN/localhost"]
    with Kdc(folder / "kdc", users={"rehost": "secret"}, services=services, ahead=ahead) as kdc:
        for name, value in kdc.environment.items():
            patch.setenv(name, value)
        site.host.join(kdc.environment)
        patch.setenv("TEST_DOMAIN_USER", f"rehost@{REALM}")
        patch.setenv("TEST_DOMAIN_PASSWORD", "secret")
        credentials = {"username": {"env": "TEST_DOMAIN_USER"}, "password": {"env": "TEST_DOMAIN_PASSWORD"}}
        endpoint = f"localhost:{site.host.port}"
        yield {**site.config, "endpoint": endpoint, "auth": "kerberos", "credentials": credentials}


def test_kerberos_without_its_packages_is_a_matter_of_configuration(
    site: HyperVHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What pyspnego found when it was imported; on machines that have the packages it is told otherwise.
    monkeypatch.setattr("spnego._gss.HAS_GSSAPI", False)
    monkeypatch.setattr("spnego._gss.GSSAPI_IMP_ERR", "No module named 'gssapi'")
    other = opened({**site.config, "auth": "kerberos"})
    with pytest.raises(SourceConfigInvalid, match=r"gssapi.*auth: ntlm"):
        other.inspect(site.locator)
    other.close()


def test_a_certificate_of_somebody_else_is_refused_with_its_thumbprint(site: HyperVHarness) -> None:
    other = opened({**site.config, "checkpointTimeout": 78})
    site.host.impersonate()
    try:
        with pytest.raises(CertificateRefused, match=r"SHA-256 is ([0-9A-F]{2}:){31}[0-9A-F]{2}.*tls: {caFile") as told:
            other.inspect(site.locator)
        assert shown(site.host) in str(told.value)
    finally:
        other.close()
        site.host.listener.present(site.host._certificate)
    succeeds(site)


def test_a_pinned_certificate(site: HyperVHarness) -> None:
    pinned = opened({**site.config, "tls": {"thumbprint": shown(site.host)}})
    assert pinned.power(site.locator) is Power.ON
    pinned.close()
    wrong = opened({**site.config, "tls": {"thumbprint": "ab" * 32}})
    with pytest.raises(CertificateRefused, match=r"the spec pins AB:AB.*correct `tls.thumbprint`"):
        wrong.power(site.locator)
    wrong.close()


def test_a_client_certificate(site: HyperVHarness) -> None:
    files = site.host.client_certificate()
    certificate = {"certFile": str(files.certificate), "keyFile": str(files.key)}
    other = opened({**site.config, "auth": "certificate", "certificate": certificate})
    frozen = other.freeze(site.locator, quiesce=Quiesce.NONE, run="run-c")
    assert whole(frozen.disks[1]) == INITIAL[1]
    frozen.release()
    other.close()


def shown(host: HyperVHost) -> str:
    """The thumbprint of the certificate that it shows, as a user copies it."""
    digits = hashlib.sha256(host.listener.certificate).hexdigest().upper()
    return ":".join(digits[at : at + 2] for at in range(0, 64, 2))


# The host goes away


def test_a_host_that_is_restarted_in_the_middle_of_a_disk(site: HyperVHarness) -> None:
    frozen = freeze(site)
    disk = frozen.disks[0]
    first = read(disk, 0, MIB)
    site.host.restart()
    site.rack.samba.stop(keep_port=True)
    site.rack.samba.start()
    assert first + read(disk, MIB, disk.size) == INITIAL[0]
    frozen.check()
    again = site.hyperv.reopen(frozen.token)
    assert whole(again.disks[1]) == INITIAL[1]
    again.release()
    assert site.made() == []
    succeeds(site)


def test_a_lost_smb_session(site: HyperVHarness) -> None:
    frozen = freeze(site)
    disk = frozen.disks[0]
    first = read(disk, 0, MIB)
    assert site.rack.samba.kill_sessions()
    assert first + read(disk, MIB, disk.size) == INITIAL[0]
    frozen.check()
    frozen.release()
    succeeds(site)


def test_a_lost_session_of_remoting_is_renewed(site: HyperVHarness) -> None:
    frozen = freeze(site)
    site.host.listener.drop_connections()
    frozen.check()
    site.host.faults.add("wsman", "Receive", drop=True)
    frozen.check()
    site.host.listener.drop_connections()
    frozen.release()
    succeeds(site)


def test_a_host_that_is_down(site: HyperVHarness) -> None:
    frozen = freeze(site)
    site.host.stop()
    try:
        with pytest.raises(SourceUnavailable, match="refused") as told:
            site.hyperv.inspect(site.locator)
        assert told.value.retryable
        assert "object at 0x" not in str(told.value)
        with pytest.raises(SourceUnavailable):
            frozen.release()
    finally:
        site.host.start()
    frozen.release()
    assert site.made() == []
    succeeds(site)


def taken(site: HyperVHarness) -> int:
    """How many checkpoints of running machines were begun."""
    return int(site.host.state()["calls"].get("checkpoint.application", 0))


def test_a_connection_that_breaks_while_the_checkpoint_is_taken(site: HyperVHarness) -> None:
    """The script goes on without us. The same run goes on with what it made; another run removes it."""
    for run in ("run-1", "run-2"):
        begun = taken(site)
        site.host.faults.add("checkpoint", "application", delay=0.3)
        with ThreadPoolExecutor(1) as pool:
            freezing = pool.submit(freeze, site, run)
            site.wait(lambda before=begun: taken(site) > before)  # type: ignore[misc]
            # Whether its answer is waited for already or not yet: nothing comes.
            site.host.faults.add("wsman", "Receive", drop=True)
            site.host.listener.drop_connections()
            with pytest.raises(SourceUnavailable) as told:
                freezing.result(30)
        site.host.faults.clear()
        assert told.value.retryable
        site.wait(lambda: any(each.startswith("rehost-") for each in site.made()))
        made = list(site.made())
        if run == "run-1":
            frozen = freeze(site, run)
            assert list(site.made()) == made
            assert whole(frozen.disks[0]) == INITIAL[0]
            frozen.release()
            assert site.made() == []
    succeeds(site)


# Checkpoints and reference points


def test_a_guest_that_does_not_answer(site: HyperVHarness) -> None:
    site.host.faults.add("checkpoint", "application", message="VSS timed out", code=32772)
    frozen = freeze(site, quiesce=Quiesce.TRY)
    assert frozen.consistency is Consistency.CRASH
    frozen.release()
    site.host.faults.add("checkpoint", "application", message="VSS timed out", code=32772)
    with pytest.raises(QuiesceImpossible, match=r"VSS timed out: Timeout \(32772\)"):
        freeze(site, "run-2", Quiesce.REQUIRE)
    assert site.made() == []
    assert list(site.references()) == ["rehost-run-1"]
    required = freeze(site, "run-3", Quiesce.REQUIRE)
    assert required.consistency is Consistency.FILESYSTEM
    required.release()
    succeeds(site)


def test_a_checkpoint_that_fails_leaves_nothing(site: HyperVHarness) -> None:
    for kind in ("application", "crash"):
        site.host.faults.add("checkpoint", kind, message="There is not enough space on the disk", code=32768)
    with pytest.raises(FreezeFailed, match="not enough space") as told:
        freeze(site)
    assert told.value.retryable
    assert site.made() == []
    assert site.references() == []
    succeeds(site)


def test_a_checkpoint_that_is_listed_late_is_named_all_the_same(site: HyperVHarness) -> None:
    site.host.faults.add(
        "cmdlet", "Get-VMSnapshot", skip=3, count=2
    )  # those of machines.ps1, points.ps1 and the one before
    frozen = freeze(site)
    assert site.host.state()["calls"]["cmdlet.Get-VMSnapshot"] >= 6
    assert len(site.made()) == 1
    frozen.release()
    assert site.made() == []
    succeeds(site)


def test_a_checkpoint_that_cannot_be_named_goes_again(site: HyperVHarness) -> None:
    site.host.faults.add("cmdlet", "Rename-VMSnapshot", message="The operation failed.")
    with pytest.raises(FreezeFailed, match="operation failed"):
        freeze(site, quiesce=Quiesce.NONE)
    site.host.estate.wait_merged()
    assert site.made() == []
    assert site.references() == []
    succeeds(site)


def test_a_host_that_makes_no_reference_point(site: HyperVHarness) -> None:
    first = freeze(site)
    since = first.disks[0].position
    first.release()
    site.host.faults.add("checkpoint", "reference", message="tracking is broken", code=32768)
    second = freeze(site, "run-2")
    assert restored(list(second.disks[0].extents(since)), second.disks[0], INITIAL[0]) == site.content(0)
    untracked = second.disks[0].position
    second.release()
    third = freeze(site, "run-3")
    with pytest.raises(ChangesUnknown, match="not tracked"):
        third.disks[0].extents(untracked)
    third.release()
    succeeds(site)


def test_a_note_that_cannot_be_written_leaves_no_reference_point(site: HyperVHarness) -> None:
    site.host.faults.add("method", "AddKvpItems", value=32768)
    frozen = freeze(site)
    assert site.references() == []
    frozen.release()
    assert site.made() == []
    succeeds(site)


def test_a_slow_merge_is_waited_for(site: HyperVHarness) -> None:
    frozen = freeze(site)
    site.write(0, 0, b"x" * 512)
    site.host.faults.add("merge", site.name, seconds=0.6)
    frozen.release()
    assert site.made() == []
    succeeds(site)


def test_a_merge_that_takes_too_long_is_left_to_the_host(site: HyperVHarness) -> None:
    source = opened({**site.config, "checkpointTimeout": 1})
    frozen = source.freeze(site.locator, quiesce=Quiesce.TRY, run="run-1")
    site.host.estate.merges_held.clear()
    try:
        with structlog.testing.capture_logs() as logs:
            frozen.release()
        assert any("still being merged" in each["event"] for each in logs)
        assert "hyperv-merging" in {each.id for each in source.inspect(site.locator).concerns}
        second = source.freeze(site.locator, quiesce=Quiesce.TRY, run="run-2")
        assert whole(second.disks[0]) == site.content(0)
    finally:
        site.host.estate.merges_held.set()
    site.host.estate.wait_merged()
    second.release()
    source.close()
    assert site.made() == []
    succeeds(site)


def test_a_checkpoint_that_cannot_be_removed_at_first(site: HyperVHarness) -> None:
    frozen = freeze(site)
    site.host.faults.add("cmdlet", "Remove-VMSnapshot", count=2, message="The process cannot access the file")
    frozen.release()
    assert site.made() == []
    stays = freeze(site, "run-2")
    site.host.faults.add("cmdlet", "Remove-VMSnapshot", count=3, message="The process cannot access the file")
    with pytest.raises(SourceUnavailable, match=r"a checkpoint of .* stays.*cannot access the file.*Hyper-V Manager"):
        stays.release()
    stays.release()
    assert site.made() == []
    succeeds(site)


def test_a_chain_that_changes_under_the_reader(site: HyperVHarness) -> None:
    frozen = freeze(site)
    assert read(frozen.disks[0], 0, KIB) == INITIAL[0][:KIB]
    site.write(0, 0, b"later" * 1000)
    site.lose_freeze(frozen.token)
    with pytest.raises(SourceChanged):
        frozen.check()
    frozen.release()
    assert site.made() == []
    succeeds(site)


def test_a_file_that_somebody_mounts_to_write(site: HyperVHarness) -> None:
    frozen = freeze(site)
    whole(frozen.disks[0])
    [checkpoint] = site.machine.checkpoints
    with open_writer(checkpoint.frozen[site.machine.disks[0]].path) as writer:
        writer.write(0, bytes(INITIAL[0][:512]))
    with pytest.raises(SourceChanged, match="headers"):
        frozen.check()
    frozen.release()
    assert site.made() == []
    succeeds(site)


def test_checkpoints_of_others_are_read_through_and_left_alone(site: HyperVHarness) -> None:
    site.host.estate.checkpoint(site.machine, 0, "before the update")
    site.write(0, 64 * KIB, b"after it" * 64)
    found = {each.id for each in site.hyperv.inspect(site.locator).concerns}
    assert "hyperv-checkpoints" in found
    frozen = freeze(site)
    assert whole(frozen.disks[0]) == site.content(0)
    frozen.release()
    assert site.made() == ["before the update"]
    site.lose_freeze("")
    succeeds(site)


def test_a_checkpoint_that_somebody_takes_in_the_same_moment_is_theirs(
    site: HyperVHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = site.host.estate.checkpoint

    def both(machine: Machine, level: int, name: str = "") -> Checkpoint:
        made = take(machine, level, name)
        take(machine, 0, "before the update")
        return made

    with monkeypatch.context() as patch:
        patch.setattr(site.host.estate, "checkpoint", both)
        frozen = freeze(site)
    assert whole(frozen.disks[0]) == site.content(0)
    frozen.release()
    assert site.made() == ["before the update"]
    site.lose_freeze("")
    succeeds(site)


def test_changes_are_asked_of_the_file_that_a_checkpoint_was_merged_into(site: HyperVHarness) -> None:
    first = freeze(site)
    since = first.disks[0].position
    site.write(0, 700 * KIB, b"between" * 100)
    second = freeze(site, "run-2")
    at_second = site.content(0)
    site.write(0, 0, b"after it" * 64)
    first.release()
    extents = list(second.disks[0].extents(since))
    assert restored(extents, second.disks[0], INITIAL[0]) == at_second
    assert sum(each.length for each in extents) < MIB
    second.release()
    assert site.made() == []
    succeeds(site)


def test_what_an_earlier_run_left_goes_after_a_day(site: HyperVHarness) -> None:
    freeze(site, "run-old").close()
    freeze(site, "run-young").close()
    site.machine.checkpoints[0].created = datetime.now(UTC) - timedelta(hours=25)
    frozen = freeze(site, "run-now")
    assert [name.partition(" ")[0] for name in site.made()] == ["rehost-run-young", "rehost-run-now"]
    assert whole(frozen.disks[0]) == INITIAL[0]
    frozen.release()
    site.lose_freeze("")
    succeeds(site)


def test_a_crash_between_reference_point_and_checkpoint(site: HyperVHarness) -> None:
    """The same run comes again; another's reference point is not touched."""
    for kind in ("application", "crash"):
        site.host.faults.add("checkpoint", kind, message="power cut", code=32768)
    site.host.estate.reference(site.machine, 2)
    foreign = site.machine.references[0].id
    site.host.faults.add("method", "DestroyReferencePoint", value=32774)
    with pytest.raises(FreezeFailed):
        freeze(site)
    assert site.machine.references[0].id == foreign
    assert len(site.machine.references) == 2
    frozen = freeze(site)
    assert len(site.machine.references) == 2, "the one of the interrupted attempt went, one came"
    frozen.release()
    site.hyperv.forget(site.locator, {disk.key: disk.position for disk in frozen.disks})
    assert [each.id for each in site.machine.references] == [foreign]


def test_reference_points_that_no_run_needs_are_forgotten(site: HyperVHarness) -> None:
    positions = []
    for run in ("run-1", "run-2"):
        frozen = freeze(site, run)
        positions.append({disk.key: disk.position for disk in frozen.disks})
        frozen.release()
    assert list(site.references()) == ["rehost-run-1", "rehost-run-2"]
    site.hyperv.forget(site.locator, positions[0])
    site.hyperv.forget(site.locator, positions[0])
    assert list(site.references()) == ["rehost-run-2"]
    assert site.hyperv.remains(site.locator) == [
        f"reference point {site.machine.references[0].id} of run run-2",
    ]
    third = freeze(site, "run-3")
    assert list(third.disks[0].extents(positions[1][third.disks[0].key])) == []
    third.release()


def test_at_most_so_many_reference_points_stay(site: HyperVHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_points, "MOST", 2)
    for number in range(1, 5):
        site.hyperv.freeze({"uuid": site.machine.id}, quiesce=Quiesce.NONE, run=f"run-{number}").release()
    assert list(site.references()) == ["rehost-run-3", "rehost-run-4"]


# What changed


def test_changes_come_in_pages_and_as_jobs(site: HyperVHarness) -> None:
    first = freeze(site)
    since = first.disks[0].position
    first.release()
    for at in (0, 700 * KIB, 3 * MIB):
        site.write(0, at, b"a" * 512)
    site.host.faults.add("method", "GetVirtualDiskChanges", count=50, processed=192 * KIB, job=True)
    second = freeze(site, "run-2")
    extents = list(second.disks[0].extents(since))
    assert site.host.state()["calls"]["method.GetVirtualDiskChanges"] >= 16
    assert restored(extents, second.disks[0], INITIAL[0]) == site.content(0)
    assert sum(each.length for each in extents) < MIB
    second.release()
    succeeds(site)


def test_changes_that_cannot_be_told(site: HyperVHarness) -> None:
    faults: list[tuple[dict[str, Any], str]] = [
        ({"processed": 0}, "looked through 0 of"),
        ({"value": 32768}, r"Failed \(32768\)"),
        ({"message": "The tracking file is corrupt"}, "The tracking file is corrupt"),
    ]
    first = freeze(site)
    since = {disk.key: disk.position for disk in first.disks}
    first.release()
    second = freeze(site, "run-2")
    for fault, said in faults:
        site.host.faults.add("method", "GetVirtualDiskChanges", **fault)
        with pytest.raises(ChangesUnknown, match=said):
            second.disks[0].extents(since[second.disks[0].key])
    assert list(second.disks[0].extents(since[second.disks[0].key])) == []
    second.release()
    site.host.faults.add("method", "GetVirtualDiskChanges", value=32768)
    assert site.hyperv.changed(site.locator, since) is None


@pytest.mark.parametrize(
    ("offsets", "lengths"), [([0], []), ([0], [0]), ([0], [-1]), ([512, 0], [512, 512]), ([0], [1 << 40])]
)
def test_answers_that_make_no_sense(offsets: list[int], lengths: list[int]) -> None:
    """As no stand-in for a host answers; a real one should not either."""

    class Answers:
        name = "HV1"

        def run(self, *_: object, **__: object) -> dict[str, Any]:
            return {"failed": "", "code": 0, "processed": MIB - 4096, "offsets": offsets, "lengths": lengths}

    with pytest.raises(ChangesUnknown):
        list(_changes.areas(Answers(), "C:\\x", "id", size=MIB, disk="scsi0-0"))  # type: ignore[arg-type]


# The machine


def test_a_machine_that_is_deleted_in_the_middle(site: HyperVHarness) -> None:
    frozen = freeze(site)
    read(frozen.disks[0], 0, KIB)
    token = frozen.token
    site.host.estate.delete(site.machine)
    with pytest.raises(SourceChanged):
        frozen.check()
    frozen.release()
    with pytest.raises(FreezeLost):
        site.hyperv.reopen(token)
    with pytest.raises(ServerNotFound):
        site.hyperv.inspect({"uuid": site.machine.id})


def test_a_machine_of_another_name_is_hinted_at(site: HyperVHarness) -> None:
    with pytest.raises(ServerNotFound, match=f"did you mean .*{site.name}"):
        site.hyperv.inspect({"name": f"{site.name}x"})
    twin = site.host.add_machine(site.name, [{"size": MIB, "name": "twin.vhdx"}])
    with pytest.raises(LocatorInvalid, match="2 machines have this name"):
        opened({**site.config, "checkpointTimeout": 79}).inspect(site.locator)
    site.host.estate.delete(twin)


def test_a_saved_machine_is_read_but_not_quiesced(site: HyperVHarness) -> None:
    site.hyperv.pause(site.locator)
    assert site.machine.state == "Saved"
    assert "hyperv-saved-state" in {each.id for each in site.hyperv.inspect(site.locator).concerns}
    with pytest.raises(QuiesceImpossible, match="keeps its memory"):
        freeze(site, quiesce=Quiesce.REQUIRE)
    frozen = freeze(site)
    assert frozen.consistency is Consistency.CRASH
    frozen.release()
    site.machine.power("Paused")
    site.hyperv.power_on(site.locator)
    assert site.machine.state == "Running"
    succeeds(site)


@pytest.mark.parametrize(
    ("options", "disk", "expected"),
    [
        ({"replication": "Replica"}, {}, "hyperv-replica"),
        ({}, {"shared": True}, "shared-disk"),
        ({}, {"passed": 2, "size": MIB}, "hyperv-pass-through-disk"),
        ({}, {"sector": 4096, "size": MIB}, "hyperv-4k-sectors"),
    ],
)
def test_what_refuses_a_machine(
    site: HyperVHarness, options: dict[str, Any], disk: dict[str, Any], expected: str
) -> None:
    refused = site.host.add_machine(f"{site.name}-no", [{"size": MIB, **disk}], **options)
    try:
        for ask in (
            lambda: site.hyperv.inspect({"uuid": refused.id}),
            lambda: site.hyperv.freeze({"uuid": refused.id}, quiesce=Quiesce.NONE, run="run-1"),
        ):
            with pytest.raises(ServerUnsuitable, match=expected):
                ask()
        assert refused.checkpoints == []
        assert refused.references == []
    finally:
        site.host.estate.delete(refused)


def test_what_is_told_of_a_machine(site: HyperVHarness) -> None:
    told = site.host.add_machine(
        f"{site.name}-told",
        [MIB, {"size": MIB, "format": "vhd"}, {"size": MIB, "sector": 4096}],
        tpm=True,
        gpus=1,
        assigned=1,
        fibre_channel=1,
        dynamic_memory=True,
        services={"vss": (False, False)},
    )
    try:
        found = site.hyperv.inspect({"uuid": told.id})
    finally:
        site.host.estate.delete(told)
    assert {each.id for each in found.concerns} == {
        "vtpm",
        "hyperv-gpu",
        "passthrough-device",
        "hyperv-fibre-channel",
        "hyperv-dynamic-memory",
        "hyperv-no-integration-services",
        "hyperv-4k-sectors",
        "secure-boot",
    }
    assert [disk.key for disk in found.disks] == ["scsi0-0", "scsi0-1", "scsi0-2"]
    assert [disk.format for disk in found.disks] == ["vhdx", "vhd", "vhdx"]
    facts = found.facts
    assert (facts["firmware"], facts["cpus"], facts["memoryMib"], facts["power"]) == ("uefi", 2, 2048, "on")
    assert (facts["address"], facts["hostName"]) == ("192.168.0.10", f"{site.name}-told")
    assert facts["guest"] == "Debian GNU/Linux 12"
    assert facts["nics"] == [{"label": "Network Adapter", "mac": "00:15:5d:00:0a:01", "network": "LAN"}]


def test_a_machine_of_generation_1_boots_from_ide(site: HyperVHarness) -> None:
    old = site.host.add_machine(
        f"{site.name}-old", [{"size": MIB, "controller": "SCSI"}, {"size": 2 * MIB, "controller": "IDE"}], generation=1
    )
    try:
        found = site.hyperv.inspect({"uuid": old.id})
        assert [disk.key for disk in found.disks] == ["ide0-1", "scsi0-0"]
        assert found.facts["firmware"] == "bios"
    finally:
        site.host.estate.delete(old)


# Clusters, SCVMM, and old hosts


def test_a_machine_that_moves_to_another_node(tmp_path: Path) -> None:
    with racked(tmp_path / "rack", cluster="CL1") as rack, pytest.MonkeyPatch.context() as patch:
        first = rack.host
        with HyperVHost(tmp_path / "second", name="HV2", site=first) as second:
            config = {
                **rack.config,
                "nodes": {"HV1": {"endpoint": first.endpoint}, "HV2": {"endpoint": second.endpoint}},
            }
            config["cluster"] = config.pop("endpoint")
            patch.setenv("TEST_HV_USER", "administrator")  # of whichever node, as one of a domain would be
            site = HyperVHarness(tmp_path, rack)
            source = opened(config)
            assert [each.facts["cluster"] for each in source.discover()] == ["CL1"]
            frozen = source.freeze(site.locator, quiesce=Quiesce.TRY, run="run-1")
            since = {disk.key: disk.position for disk in frozen.disks}
            start = read(frozen.disks[0], 0, MIB)
            first.move(site.machine, "HV2")
            rack.samba.kill_sessions()
            assert start + read(frozen.disks[0], MIB, 4 * MIB) == INITIAL[0]
            frozen.check()
            frozen.release()
            assert site.made() == []
            site.write(1, 0, b"moved" * 100)
            again = source.freeze(site.locator, quiesce=Quiesce.TRY, run="run-2")
            assert source.inspect(site.locator).facts["host"] == "HV2"
            changed = list(again.disks[1].extents(since[again.disks[1].key]))
            assert restored(changed, again.disks[1], INITIAL[1]) == site.content(1)
            again.release()
            second.stop()
            first.move(site.machine, "HV1")
            assert source.power(site.locator) is Power.ON
            assert len(list(source.discover())) == 1
            source.close()
            site.close()
            _pool.close_idle()


def test_machines_of_scvmm_and_hosts_of_2012_r2(tmp_path: Path) -> None:
    with racked(tmp_path / "rack", windows="2012R2", vmm=True) as rack:
        config = {**rack.config, "nodes": {"HV1": {"endpoint": rack.host.endpoint}}}
        config["scvmm"] = {"endpoint": config.pop("endpoint")}
        site = HyperVHarness(tmp_path, rack, version="5.0")
        source = opened(config)
        assert [each.name for each in source.discover()] == [site.name]
        assert "hyperv-no-tracking" in {each.id for each in source.inspect(site.locator).concerns}
        with pytest.raises(QuiesceImpossible, match="too old"):
            source.freeze(site.locator, quiesce=Quiesce.REQUIRE, run="run-0")
        for run in ("run-1", "run-2"):
            frozen = source.freeze(site.locator, quiesce=Quiesce.TRY, run=run)
            assert frozen.consistency is Consistency.CRASH
            assert whole(frozen.disks[0]) == INITIAL[0]
            with pytest.raises(ChangesUnknown, match="not tracked"):
                frozen.disks[0].extents(frozen.disks[0].position)
            frozen.release()
        assert site.made() == []
        assert site.references() == []
        source.close()
        site.close()
        _pool.close_idle()


def test_a_host_that_is_no_cluster(site: HyperVHarness) -> None:
    config = {**site.config}
    config["cluster"] = config.pop("endpoint")
    source = opened(config)
    with pytest.raises(SourceError, match="not a node of a failover cluster"):
        list(source.discover())
    source.close()
