"""What goes wrong in Azure, each caused at the stand-in: it is said clearly, nothing is left behind, and the next run succeeds."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from rehost.sources import (
    CertificateRefused,
    ChangesUnknown,
    CommandRefused,
    Consistency,
    CredentialsRefused,
    FreezeFailed,
    FreezeLost,
    FrozenServer,
    Power,
    PowerImpossible,
    Quiesce,
    QuiesceImpossible,
    ReadFailed,
    ServerNotFound,
    ServerUnsuitable,
    SourceChanged,
    SourceConfigInvalid,
    SourceUnavailable,
)
from rehost.sources.azure import _blob, _client, _points, _privileges
from sandbox.azure import AzureCloud, DiskSpec
from sandbox.azure import _storage as stand_in_storage
from tests.security.policies import FOLDER as POLICIES
from tests.sources.azure import SECRET, AzureHarness, built, entry, opened
from tests.sources.harness import INITIAL, KIB, freeze, read, restored, whole


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureCloud]:
    with AzureCloud(tmp_path_factory.mktemp("azure"), built()) as running:
        yield running


class OneDisk(AzureHarness):
    disks = INITIAL[:1]


@pytest.fixture
def site(tmp_path: Path, cloud: AzureCloud) -> Iterator[AzureHarness]:
    """Two disks: restore points."""
    made = AzureHarness(tmp_path, cloud)
    yield made
    made.close()


@pytest.fixture
def single(tmp_path: Path, cloud: AzureCloud) -> Iterator[OneDisk]:
    """One disk: snapshots."""
    made = OneDisk(tmp_path, cloud)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for takes as long as the stand-in says, and no longer."""
    monkeypatch.setattr(_client, "_BACKOFF", (0.01, 0.01, 0.01))
    monkeypatch.setattr(_client, "_POLL", (0.01, 1.0))
    monkeypatch.setattr(_points, "REMOVE_DELAYS", (0.01, 0.01))
    monkeypatch.setattr(_blob, "_PAUSES", (0.01, 0.01, 0.01))


def succeeds(site: AzureHarness) -> None:
    """The next run does, and leaves nothing but what the next difference needs."""
    site.cloud.faults.clear()
    frozen = freeze(site, run="run-next")
    assert [whole(disk) for disk in frozen.disks] == [site.content(disk) for disk in range(len(frozen.disks))]
    frozen.check()
    frozen.release()
    assert list(site.made()) == []


def positions(frozen: FrozenServer) -> dict[str, str]:
    return {disk.key: disk.position for disk in frozen.disks}


# Who we are


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"clientSecret": {"env": "TEST_AZURE_WRONG"}}, "AADSTS7000215.*refers to its value"),
        ({"clientId": "0b1f6471-1bf0-4dda-aec3-cb9272f09590"}, "AADSTS700016.*auth.clientId"),
        ({"tenant": "nobody.example.com"}, "AADSTS90002.*auth.tenant|tenant"),
    ],
)
def test_wrong_credentials_are_told_from_each_other(
    single: OneDisk, cloud: AzureCloud, wrong: dict[str, object], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_AZURE_WRONG", "hunter2-wrong")
    config = single.config | {"auth": single.config["auth"] | wrong}
    source = opened(config, cloud.client_secret)
    with pytest.raises(CredentialsRefused, match=told) as refused:
        source.inspect(single.locator)
    source.close()
    assert "hunter2" not in str(refused.value)
    assert "Trace ID" not in str(refused.value)
    succeeds(single)


def test_a_secret_that_is_not_there_is_a_wrong_configuration(single: OneDisk, cloud: AzureCloud) -> None:
    config = single.config | {"auth": single.config["auth"] | {"clientSecret": {"env": "TEST_AZURE_NOWHERE"}}}
    source = opened(config, cloud.client_secret)
    with pytest.raises(SourceConfigInvalid, match="TEST_AZURE_NOWHERE"):
        source.inspect(single.locator)
    source.close()


def test_the_identity_of_the_connectors_own_machine(
    single: OneDisk, cloud: AzureCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", cloud.identity_endpoint)
    monkeypatch.setenv("IDENTITY_HEADER", cloud.identity_header)
    source = opened(single.config | {"auth": {"method": "managedIdentity"}}, cloud.client_secret)
    assert source.inspect({"id": single.machine.id}).name == single.machine.name
    source.close()


def test_nobody_has_logged_in_with_the_cli(
    single: OneDisk, cloud: AzureCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    source = opened(single.config | {"auth": {"method": "cli"}}, cloud.client_secret)
    with pytest.raises(CredentialsRefused, match="run `az login`"):
        source.inspect({"id": single.machine.id})
    source.close()


@pytest.mark.parametrize(("content", "told"), [(None, "cannot be read"), ("hunter2", "no PEM with a key")])
def test_a_certificate_that_is_none(
    single: OneDisk, cloud: AzureCloud, tmp_path: Path, content: str | None, told: str
) -> None:
    file = tmp_path / "connector.pem"
    if content:
        file.write_text(content)
    auth = {key: value for key, value in single.config["auth"].items() if key != "clientSecret"}
    source = opened(single.config | {"auth": auth | {"certificateFile": str(file)}}, cloud.client_secret)
    with pytest.raises(SourceConfigInvalid, match=told) as refused:
        source.inspect({"id": single.machine.id})
    assert "hunter2" not in str(refused.value)
    source.close()


def test_a_clock_that_is_wrong_is_told(single: OneDisk, cloud: AzureCloud) -> None:
    cloud.fault(
        "error",
        call="Microsoft.Compute/virtualMachines/read",
        status=401,
        code="ExpiredAuthenticationToken",
        message="The access token expiry UTC time is earlier than current UTC time.",
        count=None,
    )
    with pytest.raises(CredentialsRefused, match=r"ExpiredAuthenticationToken.*clock by NTP"):
        single.source.inspect({"id": single.machine.id})
    succeeds(single)


def test_a_token_that_ends_in_the_middle_is_renewed(site: AzureHarness, cloud: AzureCloud) -> None:
    frozen = freeze(site)
    cloud.login.expire_tokens()
    assert whole(frozen.disks[0]) == INITIAL[0]
    frozen.check()
    frozen.release()
    succeeds(site)


def test_a_certificate_of_nobody_is_refused(single: OneDisk, cloud: AzureCloud) -> None:
    config = {key: value for key, value in single.config.items() if key != "tls"}
    source = opened(config, cloud.client_secret)
    with pytest.raises(CertificateRefused, match="caFile"):
        source.inspect(single.locator)
    source.close()


def test_nobody_there(single: OneDisk, cloud: AzureCloud) -> None:
    endpoints = {"authority": "https://127.0.0.1:1", "resourceManager": "https://127.0.0.1:1"}
    source = opened(single.config | {"endpoints": endpoints}, cloud.client_secret)
    with pytest.raises(SourceUnavailable):
        source.inspect(single.locator)
    source.close()


@pytest.mark.parametrize(
    "action",
    ["Microsoft.Compute/snapshots/write", "Microsoft.Compute/snapshots/beginGetAccess/action"],
)
def test_a_missing_right_is_named(single: OneDisk, cloud: AzureCloud, action: str) -> None:
    cloud.settings.role = {"Actions": ["*"], "NotActions": [action]}
    try:
        with pytest.raises(CredentialsRefused, match=f"lacks {action} on /subscriptions/.*azure.md has the role"):
            freeze(single)
    finally:
        cloud.settings.role = None
    assert list(single.points()) == []
    succeeds(single)


def test_missing_rights_are_told_before(single: OneDisk, cloud: AzureCloud) -> None:
    action = "Microsoft.Compute/snapshots/delete"
    power = "Microsoft.Compute/virtualMachines/*/action"
    cloud.settings.role = {"Actions": ["*"], "NotActions": [action, power]}
    single.azure.forget(single.locator, {})  # nothing remembers the rights of a moment ago
    single.azure._client.forget_all()
    try:
        with pytest.raises(ServerUnsuitable, match=rf"lacks {action} \(to remove them\).*missing-privileges"):
            single.source.inspect(single.locator)
        single.azure._client.forget_all()
        cloud.settings.role = {"Actions": ["*"], "NotActions": [power]}
        found = {each.id: each.message for each in single.source.inspect(single.locator).concerns}
        assert "powerOff/action" in found["missing-power-privileges"]
    finally:
        cloud.settings.role = None
    single.azure._client.forget_all()
    succeeds(single)


def test_the_role_is_enough_and_nothing_of_it_unused(tmp_path: Path, cloud: AzureCloud) -> None:
    """A first run and a second, by snapshots and by restore points, with power and all that is looked at."""
    role = json.loads((POLICIES / "azure-role.json").read_text())
    listed = {*_privileges.ON_MACHINES, *_privileges.ON_POINTS, *_privileges.POWER, *_privileges.USEFUL}
    assert set(role["Actions"]) == listed
    cloud.settings.role = role
    cloud.faults.forget_calls()
    try:
        for kind in (OneDisk, AzureHarness):
            site = kind(tmp_path, cloud)
            site.source.close()
            site.azure = site.source = opened(site.config | {"powerOff": "deallocate"}, cloud.client_secret)
            found = {each.id for each in site.source.inspect(site.locator).concerns}
            assert found <= {"azure-restore-points"}
            assert list(site.source.discover())
            first = freeze(site, run="run-1")
            first.release()
            site.write(0, 0, b"later")
            second = freeze(site, run="run-2")
            assert len(list(second.disks[0].extents(first.disks[0].position))) == 1
            second.release()
            site.source.power_off(site.locator)
            site.source.power_on(site.locator)
            for frozen in (first, second):
                site.azure.forget(site.locator, positions(frozen))
            assert list(site.points()) == []
            site.close()
    finally:
        cloud.settings.role = None
    called = {each for each in cloud.faults.calls() if each.startswith("Microsoft.")}
    # Resource Manager asks for this one on behalf of snapshots/write: nobody calls it.
    implied = {"Microsoft.Compute/disks/beginGetAccess/action"}
    assert {each.lower() for each in called} == {each.lower() for each in listed - implied}


# Azure has other things to do


def test_throttled_calls_wait_as_they_are_told(single: OneDisk, cloud: AzureCloud) -> None:
    fault = cloud.fault("throttle", call="Microsoft.Compute/", retry_after=0, count=3)
    freeze(single).release()
    assert fault.hits == 3
    login = cloud.fault("throttle", call="login/token", retry_after=0, count=1)
    source = opened(single.config | {"connections": 2}, cloud.client_secret)  # another configuration: another login
    source.inspect(single.locator)
    source.close()
    assert login.hits == 1
    succeeds(single)


def test_throttling_beyond_patience_is_told(single: OneDisk, cloud: AzureCloud) -> None:
    cloud.fault("throttle", call="Microsoft.Compute/snapshots/write", retry_after=3600, count=None)
    with pytest.raises(SourceUnavailable, match="throttles the subscription and asks to wait 3600 s"):
        freeze(single)
    succeeds(single)


def test_trouble_of_azure_is_waited_for_and_told(single: OneDisk, cloud: AzureCloud) -> None:
    fault = cloud.fault("error", call="Microsoft.Compute/virtualMachines/read", status=503, code="Busy", count=2)
    single.source.inspect({"id": single.machine.id})
    assert fault.hits == 2
    succeeds(single)


def test_a_busy_blob_service_and_lost_connections_cost_no_run(site: AzureHarness, cloud: AzureCloud) -> None:
    frozen = freeze(site)
    busy = cloud.fault("throttle", call="storage/get", count=2)
    assert whole(frozen.disks[1]) == INITIAL[1]
    cut = cloud.fault("cut", call="storage/get", bytes=1000)
    got = frozen.disks[0].read_into(0, memoryview(bytearray(256 * KIB)))
    assert 0 < got < 256 * KIB, "the rest is asked for again"
    assert whole(frozen.disks[0]) == INITIAL[0]
    assert (busy.hits, cut.hits) == (2, 1)
    frozen.release()
    succeeds(site)


# Points in time


def test_the_quota_of_snapshots(single: OneDisk, cloud: AzureCloud) -> None:
    freeze(single, run="run-0").release()
    cloud.settings.snapshots_per_disk = 1
    try:
        with pytest.raises(FreezeFailed, match="snapshot"):
            freeze(single)
    finally:
        cloud.settings.snapshots_per_disk = 500
    assert list(single.made()) == []
    succeeds(single)


def test_an_operation_that_fails_in_the_end(single: OneDisk, cloud: AzureCloud) -> None:
    cloud.fault("fail", call="Microsoft.Compute/snapshots/write", code="InternalDiskManagementError", message="no luck")
    with pytest.raises(FreezeFailed, match=r"no luck .InternalDiskManagementError."):
        freeze(single)
    assert list(single.points()) == []
    succeeds(single)


def test_a_restore_point_that_takes_too_long(tmp_path: Path, cloud: AzureCloud) -> None:
    class Impatient(AzureHarness):
        options: ClassVar[Mapping[str, Any]] = {"snapshotTimeout": 1}

    site = Impatient(tmp_path, cloud)
    cloud.fault("slow", call="Microsoft.Compute/restorePointCollections/restorePoints/write", seconds=2)
    with pytest.raises(FreezeFailed, match="has not ended within 1 s"):
        freeze(site)
    assert list(site.points()) == []
    succeeds(site)
    site.close()


def test_quiescing_by_an_agent_that_fails(site: AzureHarness, cloud: AzureCloud) -> None:
    write = "Microsoft.Compute/restorePointCollections/restorePoints/write"
    cloud.fault("fail", call=write, code="VMAgentSnapshotFailed", message="VSS is broken")
    frozen = site.source.freeze(site.locator, quiesce=Quiesce.TRY, run="run-1")
    assert frozen.consistency is Consistency.CRASH
    frozen.release()
    cloud.fault("fail", call=write, code="VMAgentSnapshotFailed", message="VSS is broken")
    with pytest.raises(QuiesceImpossible, match="VSS is broken"):
        site.source.freeze(site.locator, quiesce=Quiesce.REQUIRE, run="run-2")
    assert list(site.made()) == []
    cloud.faults.clear()
    frozen = site.source.freeze(site.locator, quiesce=Quiesce.REQUIRE, run="run-3")
    assert frozen.consistency is Consistency.FILESYSTEM
    frozen.release()


def test_quiescing_without_an_agent_is_refused_before(site: AzureHarness) -> None:
    site.machine.set_agent(False)
    assert "azure-no-agent" in {each.id for each in site.source.inspect(site.locator).concerns}
    with pytest.raises(QuiesceImpossible, match="VM agent does not answer"):
        site.source.freeze(site.locator, quiesce=Quiesce.REQUIRE, run="run-1")
    assert list(site.points()) == []
    succeeds(site)


def test_a_machine_that_is_started_while_its_disks_are_taken_one_by_one(tmp_path: Path, cloud: AzureCloud) -> None:
    """Ultra disks have no crash-consistent restore points: such a machine, off, gets a snapshot a disk."""
    site = AzureHarness(tmp_path, cloud)
    disks = [DiskSpec(1 << 20), DiskSpec(1 << 20, sku="UltraSSD_LRS")]
    machine = cloud.add_machine(f"{site.machine.name}-ultra", disks, size="Standard_D4s_v5", power="deallocated")
    frozen = site.source.freeze({"id": machine.id}, quiesce=Quiesce.NONE, run="run-1")
    assert frozen.consistency is Consistency.OFFLINE
    assert len(site.azure.remains({"id": machine.id})) == 2
    frozen.release()
    site.azure.forget({"id": machine.id}, positions(frozen))
    assert site.azure.remains({"id": machine.id}) == []
    write = "Microsoft.Compute/snapshots/write"
    started = cloud.fault("meanwhile", call=write, after=1, then=lambda: machine.set_power("running"))
    with pytest.raises(FreezeFailed, match="started while its disks were taken"):
        site.source.freeze({"id": machine.id}, quiesce=Quiesce.NONE, run="run-2")
    assert started.hits
    assert site.azure.remains({"id": machine.id}) == []
    machine.delete()
    site.close()


def test_restore_points_that_come_too_soon(site: AzureHarness, cloud: AzureCloud) -> None:
    """Microsoft supports one an hour. A machine that is off has another way, for a cutover that cannot wait."""
    first = freeze(site, run="run-0")
    first.release()
    cloud.settings.restore_point_interval = True
    try:
        with pytest.raises(FreezeFailed, match="every 1 hours"):
            freeze(site)
        assert list(site.made()) == []
        site.machine.set_power("deallocated")
        frozen = freeze(site)
        assert frozen.consistency is Consistency.OFFLINE
        assert [whole(disk) for disk in frozen.disks] == list(INITIAL)
        # Here a snapshot has the family of the restore points before it; where it has not, all is read.
        assert list(frozen.disks[0].extents(first.disks[0].position)) == []
        frozen.release()
    finally:
        cloud.settings.restore_point_interval = False
    succeeds(site)


def test_a_restore_point_that_lacks_a_disk_is_no_point_in_time(site: AzureHarness, cloud: AzureCloud) -> None:
    shown = cloud._points._point_json

    def lacking(point: object, **options: bool) -> dict[str, object]:
        told = shown(point, **options)  # type: ignore[arg-type]
        told["properties"]["sourceMetadata"]["storageProfile"]["dataDisks"] = []
        return told

    cloud._points._point_json = lacking  # type: ignore[method-assign]
    try:
        with pytest.raises(FreezeFailed, match=r"leaves .*lun0.* out"):
            freeze(site)
    finally:
        cloud._points._point_json = shown  # type: ignore[method-assign]
    assert list(site.points()) == []
    succeeds(site)


# Reading


def test_access_is_renewed_before_it_ends(tmp_path: Path, cloud: AzureCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    class Short(AzureHarness):
        options: ClassVar[Mapping[str, Any]] = {"accessDuration": 60}

    site = Short(tmp_path, cloud)
    frozen = freeze(site)
    clock = [0.0]
    now = time.monotonic
    monkeypatch.setattr("rehost.sources.azure._access.time.monotonic", lambda: now() + clock[0])
    for _ in range(4):  # 40 s each, by our clock and by Azure's
        assert whole(frozen.disks[0]) == INITIAL[0]
        clock[0] += 40
        cloud.advance(40)
    monkeypatch.undo()
    frozen.release()
    site.close()


@pytest.mark.parametrize("how", ["expire_access", "revoke_access"])
def test_access_that_ends_in_the_middle_is_asked_for_anew(site: AzureHarness, cloud: AzureCloud, how: str) -> None:
    frozen = freeze(site)
    assert read(frozen.disks[0], 0, 64 * KIB) == INITIAL[0][: 64 * KIB]
    getattr(cloud, how)()
    assert whole(frozen.disks[0]) == INITIAL[0]
    getattr(cloud, how)()
    assert restored(list(frozen.disks[0].extents(None)), frozen.disks[0], b"") == INITIAL[0]
    frozen.check()
    frozen.release()
    succeeds(site)


def test_access_that_is_refused_as_soon_as_it_is_given(single: OneDisk, cloud: AzureCloud) -> None:
    frozen = freeze(single)
    cloud.fault("error", call="storage/get", status=403, code="AuthenticationFailed", count=None)
    with pytest.raises(ReadFailed, match=r"AuthenticationFailed.*clock right"):
        whole(frozen.disks[0])
    cloud.faults.clear()
    assert whole(frozen.disks[0]) == INITIAL[0]
    frozen.release()
    succeeds(single)


def test_a_snapshot_deleted_in_the_middle(single: OneDisk, cloud: AzureCloud) -> None:
    frozen = freeze(single)
    single.lose_freeze(frozen.token)
    with pytest.raises(SourceChanged, match="was removed"):
        frozen.check()
    with pytest.raises(FreezeLost, match="was removed"):
        whole(frozen.disks[0])
    frozen.release()
    assert list(single.made()) == []
    succeeds(single)


def test_no_url_with_a_signature_is_told_or_logged(
    site: AzureHarness, cloud: AzureCloud, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    first = freeze(site, run="run-0")
    first.release()
    site.write(0, 0, b"later")
    frozen = freeze(site)
    told = [frozen.token, *positions(frozen).values(), repr(frozen)]
    list(frozen.disks[0].extents(first.disks[0].position))
    for status in (400, 403, 404, 416, 500):
        cloud.faults.clear()
        cloud.fault("error", call="storage/", status=status, code="Some", count=None)
        with pytest.raises(ReadFailed) as failed:
            whole(frozen.disks[0])
        told += [str(failed.value), repr(failed.value), repr(failed.value.__cause__)]
    cloud.faults.clear()
    frozen.release()
    captured = capsys.readouterr()
    everything = "\n".join([*told, caplog.text, captured.out, captured.err])
    assert "sig=" not in everything
    assert cloud.client_secret not in everything
    assert "Bearer" not in everything
    succeeds(site)


# Differences


def test_a_base_that_is_gone(single: OneDisk) -> None:
    first = freeze(single, run="run-0")
    first.release()
    single.azure.forget(single.locator, positions(first))
    assert list(single.points()) == []
    frozen = freeze(single)
    with pytest.raises(ChangesUnknown, match="was removed"):
        list(frozen.disks[0].extents(first.disks[0].position))
    frozen.release()
    succeeds(single)


def test_a_base_that_is_another_one_of_its_name(single: OneDisk) -> None:
    first = freeze(single, run="run-0")
    since = first.disks[0].position
    first.release()
    freeze(single, run="run-0").release()  # which removes the one that was released under this name
    frozen = freeze(single)
    with pytest.raises(ChangesUnknown, match="another one than the earlier run made"):
        list(frozen.disks[0].extents(since))
    frozen.release()


def test_a_cloud_that_does_not_tell_differences_of_restore_points(site: AzureHarness, cloud: AzureCloud) -> None:
    first = freeze(site, run="run-0")
    first.release()
    frozen = freeze(site)
    cloud.storage.restore_point_differences = False
    try:
        with pytest.raises(ChangesUnknown, match="PreviousSnapshotOperationNotSupported"):
            list(frozen.disks[0].extents(first.disks[0].position))
    finally:
        cloud.storage.restore_point_differences = True
    assert restored(list(frozen.disks[0].extents(None)), frozen.disks[0], b"") == INITIAL[0]
    frozen.release()
    succeeds(site)


def test_another_family_and_another_disk_are_told(site: AzureHarness) -> None:
    first = freeze(site, run="run-0")
    first.release()
    frozen = freeze(site)
    since = first.disks[0].position.replace('"family": "', '"family": "x')
    with pytest.raises(ChangesUnknown, match="two families"):
        list(frozen.disks[0].extents(since))
    with pytest.raises(ChangesUnknown, match="another disk"):
        list(frozen.disks[1].extents(first.disks[0].position))
    frozen.release()


def test_lists_of_ranges_have_pages(single: OneDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stand_in_storage, "_MOST_RANGES", 3)
    first = freeze(single, run="run-0")
    assert restored(list(first.disks[0].extents(None)), first.disks[0], b"") == INITIAL[0]
    first.release()
    for number in range(11):
        single.write(0, number * 128 * KIB, b"x" * 512)
    frozen = freeze(single)
    extents = list(frozen.disks[0].extents(first.disks[0].position))
    assert len(extents) == 11
    assert restored(extents, frozen.disks[0], INITIAL[0]) == single.content(0)
    frozen.release()


def test_what_is_cleared_is_a_change(single: OneDisk) -> None:
    first = freeze(single, run="run-0")
    first.release()
    single.machine.zero(0, 0, 64 * KIB)
    frozen = freeze(single)
    extents = list(frozen.disks[0].extents(first.disks[0].position))
    assert sum(each.length for each in extents) == 64 * KIB
    assert restored(extents, frozen.disks[0], INITIAL[0]) == bytes(64 * KIB) + INITIAL[0][64 * KIB :]
    frozen.release()


@pytest.mark.parametrize("answer", [b"", b"<x", b"<PageList><PageRange><Start>x</Start></PageRange></PageList>"])
def test_a_list_of_ranges_that_is_none(single: OneDisk, monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    frozen = freeze(single)
    monkeypatch.setattr("rehost.sources.azure._blob.Blobs.ranges", lambda *_: answer)
    with pytest.raises(ReadFailed, match="list of page ranges"):
        list(frozen.disks[0].extents(None))
    monkeypatch.undo()
    frozen.release()


# Machines


def test_a_machine_deallocated_in_the_middle_goes_on_being_read(site: AzureHarness) -> None:
    frozen = freeze(site)
    site.machine.set_power("deallocated")
    assert [whole(disk) for disk in frozen.disks] == list(INITIAL)
    frozen.check()
    frozen.release()
    again = freeze(site, run="run-2")
    assert again.consistency is Consistency.OFFLINE
    assert list(again.disks[0].extents(frozen.disks[0].position)) == []
    again.release()


def test_a_machine_deleted_in_the_middle(single: OneDisk, cloud: AzureCloud) -> None:
    frozen = freeze(single)
    single.machine.delete()
    assert whole(frozen.disks[0]) == INITIAL[0]  # its snapshot stays
    frozen.check()
    frozen.release()
    with pytest.raises(ServerNotFound):
        freeze(single, run="run-2")
    single.machine = cloud.add_machine(single.machine.name, [len(INITIAL[0])], size="Standard_D4s_v5")
    single.shadow = [bytearray(len(INITIAL[0]))]
    frozen_again = freeze(single, run="run-3")
    with pytest.raises(ChangesUnknown, match="another disk is in its place"):
        list(frozen_again.disks[0].extents(frozen.disks[0].position))
    frozen_again.release()
    succeeds(single)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"ephemeral": True}, "azure-ephemeral-disk"),
        ({"azure_disk_encryption": True}, "azure-disk-encryption"),
        ({"max_shares": 2}, "shared-disk"),
        ({"network_access": "DenyAll"}, "azure-export-denied"),
    ],
)
def test_what_no_run_could_do_is_refused_before(
    single: OneDisk, cloud: AzureCloud, spec: dict[str, object], expected: str
) -> None:
    disk = DiskSpec(1 << 20, **spec)  # type: ignore[arg-type]
    machine = cloud.add_machine(f"{single.machine.name}-x", [disk], size="Standard_D4s_v5")
    for refuse in (single.source.inspect, lambda each: single.source.freeze(each, quiesce=Quiesce.NONE, run="run-1")):
        with pytest.raises(ServerUnsuitable, match=expected):
            refuse({"id": machine.id})
    [found] = [each for each in single.source.discover() if each.name == machine.name]
    assert expected in {each.id for each in found.concerns}
    assert single.azure.remains({"id": machine.id}) == []
    machine.delete()


# Power


def test_power_that_azure_refuses(single: OneDisk, cloud: AzureCloud) -> None:
    cloud.fault("fail", call="powerOff/action", code="VMExtensionProvisioningError", message="it is busy", count=None)
    with pytest.raises(CommandRefused, match="it is busy"):
        single.source.power_off(single.locator)
    cloud.faults.clear()
    single.source.power_off(single.locator)
    assert single.source.power(single.locator) is Power.OFF
    single.source.power_on(single.locator)


def test_a_guest_is_asked_to_shut_down_and_none_can_stand_still(single: OneDisk) -> None:
    with pytest.raises(PowerImpossible, match="power: off"):
        single.source.pause(single.locator)
    assert single.source.shut_down(single.locator) is True
    assert single.source.power(single.locator) is Power.OFF
    assert single.source.shut_down(single.locator) is False


def test_whether_a_deallocated_machine_was_started_since(tmp_path: Path, cloud: AzureCloud) -> None:
    class Deallocating(OneDisk):
        options: ClassVar[Mapping[str, Any]] = {"powerOff": "deallocate"}

    site = Deallocating(tmp_path, cloud)
    site.source.power_off(site.locator)
    frozen = freeze(site)
    frozen.release()
    assert site.source.changed(site.locator, positions(frozen)) is False
    site.source.power_on(site.locator)
    assert site.source.changed(site.locator, positions(frozen)) is None
    site.source.power_off(site.locator)
    assert site.source.changed(site.locator, positions(frozen)) is None, "it has run since"
    site.close()


def test_what_the_stand_in_was_given_is_what_a_spec_says(cloud: AzureCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET, cloud.client_secret)
    source = opened(entry(cloud, resourceGroups=["migration", "empty"]), cloud.client_secret)
    machine = cloud.add_machine("in-a-group", [1 << 20], size="Standard_D4s_v5", generation="V1")
    try:
        [found] = [each for each in source.discover() if each.name == "in-a-group"]
    finally:
        source.close()
        machine.delete()
    assert (found.facts["firmware"], found.facts["power"]) == ("bios", "running")
    assert found.facts["cpus"] == 4
    assert found.facts["nics"][0]["mac"] == "00:0d:3a:12:34:56"
    assert found.facts["address"] == "10.0.0.4"
