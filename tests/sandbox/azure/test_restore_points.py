"""Restore points: all disks at one moment, which snapshots of each are not."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.mgmt.compute.models import ApiEntityReference

from sandbox.azure import GROUP, AzureCloud, DiskSpec
from tests.sandbox.azure.conftest import MIB, Client, refused

#: Writes a number to the first file, then to the second, with fsync, for ever: the second is behind by one at most.
_WRITER = """
import os, struct, sys
files = [os.open(path, os.O_RDWR) for path in sys.argv[1:]]
number = 0
while True:
    number += 1
    for file in files:
        os.pwrite(file, struct.pack("<Q", number), 4096)
    if number == 1:
        print("writes", flush=True)
"""


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[tuple[list[Path], int]]:
    """(raw files, pid) of a process that writes to two disks all the while."""
    paths = [tmp_path / "root.raw", tmp_path / "data.raw"]
    for path in paths:
        with open(path, "wb") as file:
            file.write(b"begin")
            file.truncate(2 * MIB)
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, *paths], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield paths, process.pid
        process.kill()


def number(client: Client, url: str) -> int:
    return int(struct.unpack("<Q", client.blob(url).download_blob(4096, 8).readall())[0])


def test_a_restore_point_is_one_moment(cloud: AzureCloud, client: Client, guest: tuple[list[Path], int]) -> None:
    paths, pid = guest
    machine = cloud.add_machine("web", paths)
    machine.attach_guest(pid)
    client.collection("points", machine.id)
    seen = []
    for name in ("one", "two"):
        point = client.restore_point("points", name)
        storage = point.source_metadata.storage_profile
        disks = [storage.os_disk, *storage.data_disks]
        assert [disk.managed_disk.id for disk in disks] == [disk.id for disk in machine.disks]
        urls = [client.disk_access("points", name, disk.disk_restore_point.id.rpartition("/")[2]) for disk in disks]
        root, data = (number(client, url) for url in urls)
        assert root - data in (0, 1)
        seen.append((root, urls[0]))
    assert seen[1][0] > seen[0][0]
    changed, cleared = client.blob(seen[1][1]).get_page_range_diff_for_managed_disk(seen[0][1])
    assert ([(each["start"], each["end"]) for each in changed], cleared) == ([(0, 65535)], [])
    assert client.blob(seen[0][1]).download_blob(0, 5).readall() == b"begin"


def test_snapshots_of_each_disk_are_not(cloud: AzureCloud, client: Client, guest: tuple[list[Path], int]) -> None:
    paths, pid = guest
    machine = cloud.add_machine("web", paths)
    machine.attach_guest(pid)
    numbers = []
    for count, disk in enumerate(machine.disks):
        client.snapshot(f"disk-{count}", disk.id)
        numbers.append(number(client, client.access(f"disk-{count}")))
    assert numbers[1] > numbers[0]
    assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("R", "S", "D")


def test_a_collection_and_its_end(cloud: AzureCloud, client: Client) -> None:
    machine = cloud.add_machine("web", [MIB, MIB])
    client.collection("points", machine.id)
    made = client.collection("points", machine.id)
    assert (made.provisioning_state, made.source.id) == ("Succeeded", machine.id)
    excluded = [ApiEntityReference(id=machine.disks[1].id)]
    point = client.restore_point("points", "one", exclude_disks=excluded)
    assert point.provisioning_state == "Succeeded"
    assert [each.disk_restore_point for each in point.source_metadata.storage_profile.data_disks] == [None]
    viewed = client.compute.restore_points.get(GROUP, "points", "one", expand="instanceView")
    assert viewed.instance_view.disk_restore_points[0].replication_status is not None
    [disk] = client.compute.disk_restore_point.list_by_restore_point(GROUP, "points", "one")
    assert (disk.source_resource_id, disk.completion_percent) == (machine.disks[0].id, 100.0)
    whole = client.compute.restore_point_collections.get(GROUP, "points", expand="restorePoints")
    assert [each.name for each in whole.restore_points] == ["one"]
    assert [each.name for each in client.compute.restore_point_collections.list_all()] == ["points"]
    client.disk_access("points", "one", disk.name)
    points, collections = client.compute.restore_points, client.compute.restore_point_collections
    for delete, names in ((points.begin_delete, ["points", "one"]), (collections.begin_delete, ["points"])):
        with pytest.raises(ResourceExistsError) as error:
            delete(GROUP, *names).result()
        assert refused(error) == (409, "OperationNotAllowed")
    client.compute.disk_restore_point.begin_revoke_access(GROUP, "points", "one", disk.name).result()
    client.compute.restore_point_collections.begin_delete(GROUP, "points").result()
    state = cloud.state()
    assert (state["collections"], state["restore_points"], state["access"]) == ([], [], [])


@pytest.mark.parametrize(
    ("os_type", "power", "mode"),
    [
        ("Windows", "running", "ApplicationConsistent"),
        ("Linux", "running", "FileSystemConsistent"),
        ("Linux", "deallocated", "CrashConsistent"),
    ],
)
def test_how_consistent_it_is(cloud: AzureCloud, client: Client, os_type: str, power: str, mode: str) -> None:
    machine = cloud.add_machine("web", [MIB], os_type=os_type, power=power)
    client.collection("points", machine.id)
    assert client.restore_point("points", "one", None).consistency_mode == mode


def test_writers_that_fail(cloud: AzureCloud, client: Client) -> None:
    machine = cloud.add_machine("web", [MIB], os_type="Windows")
    machine.set_writers(False)
    client.collection("points", machine.id)
    assert client.restore_point("points", "one", None).consistency_mode == "FileSystemConsistent"


def test_a_role_needs_the_disks_too(cloud: AzureCloud, client: Client) -> None:
    machine = cloud.add_machine("web", [MIB])
    cloud.settings.role = {"Actions": ["Microsoft.Compute/restorePointCollections/*"]}
    with pytest.raises(HttpResponseError, match="virtualMachines/read") as error:
        client.collection("points", machine.id)
    assert refused(error) == (403, "LinkedAuthorizationFailed")
    cloud.settings.role = {"Actions": ["Microsoft.Compute/restorePointCollections/*", "Microsoft.Compute/*/read"]}
    client.collection("points", machine.id)
    with pytest.raises(HttpResponseError, match="disks/beginGetAccess/action") as error:
        client.restore_point("points", "one")
    assert refused(error) == (403, "LinkedAuthorizationFailed")


def test_an_agent_that_does_not_answer(cloud: AzureCloud, client: Client) -> None:
    machine = cloud.add_machine("web", [MIB], agent=False)
    client.collection("points", machine.id)
    with pytest.raises(HttpResponseError):
        client.restore_point("points", "one", None)
    assert client.compute.restore_points.get(GROUP, "points", "one").provisioning_state == "Failed"
    assert client.restore_point("points", "two").provisioning_state == "Succeeded"


@pytest.mark.parametrize("options", [{"ephemeral": True}, {"max_shares": 2}, {"sku": "UltraSSD_LRS"}])
def test_disks_that_it_does_not_take(cloud: AzureCloud, client: Client, options: dict[str, object]) -> None:
    spec = DiskSpec(MIB, **options)  # type: ignore[arg-type]
    machine = cloud.add_machine("web", [spec, MIB] if spec.ephemeral else [MIB, spec])
    client.collection("points", machine.id)
    with pytest.raises(ResourceExistsError):
        client.restore_point("points", "one")
    bad = machine.disks[0 if spec.ephemeral else 1].id
    assert (
        client.restore_point("points", "two", exclude_disks=[ApiEntityReference(id=bad)]).provisioning_state
        == "Succeeded"
    )


def test_how_often_and_never_two_at_once(cloud: AzureCloud, client: Client) -> None:
    cloud.login.token_seconds = 86_400
    machine = cloud.add_machine("web", [MIB])
    client.collection("points", machine.id)
    cloud.settings.restore_point_interval = True
    client.restore_point("points", "one")
    with pytest.raises(ResourceExistsError):
        client.restore_point("points", "two")
    cloud.advance(3600)
    cloud.fault("slow", call="restorePoints/write", seconds=3600)
    client.compute.restore_points.begin_create(
        GROUP, "points", "two", {"properties": {"consistencyMode": "CrashConsistent"}}, polling=False
    )
    assert client.compute.restore_points.get(GROUP, "points", "two").provisioning_state == "Creating"
    with pytest.raises(ResourceExistsError, match="Concurrent"):
        client.restore_point("points", "three")


def test_differences_may_be_for_snapshots_alone(cloud: AzureCloud, client: Client) -> None:
    machine = cloud.add_machine("web", [MIB])
    client.collection("points", machine.id)
    urls = []
    for name in ("one", "two"):
        client.restore_point("points", name)
        [disk] = client.compute.disk_restore_point.list_by_restore_point(GROUP, "points", name)
        urls.append(client.disk_access("points", name, disk.name))
    assert client.blob(urls[1]).get_page_range_diff_for_managed_disk(urls[0]) == ([], [])
    cloud.storage.restore_point_differences = False
    with pytest.raises(HttpResponseError) as error:
        client.blob(urls[1]).get_page_range_diff_for_managed_disk(urls[0])
    assert refused(error) == (409, "PreviousSnapshotOperationNotSupported")


def test_somebody_deletes_a_restore_point(cloud: AzureCloud, client: Client) -> None:
    machine = cloud.add_machine("web", [MIB])
    client.collection("points", machine.id)
    client.restore_point("points", "one")
    cloud.delete_restore_point("one")
    with pytest.raises(HttpResponseError) as error:
        client.compute.restore_points.get(GROUP, "points", "one")
    assert refused(error) == (404, "ResourceNotFound")


def test_a_raw_file_is_followed(cloud: AzureCloud, client: Client, tmp_path: Path) -> None:
    """Without a guest, too: what was written, discarded and grown is in the next point in time, and nothing else."""
    raw = tmp_path / "disk.raw"
    raw.write_bytes(os.urandom(256 << 10))
    os.truncate(raw, 2 * MIB)
    machine = cloud.add_machine("web", [raw])
    client.snapshot("one", machine.disks[0].id)
    machine.write(0, MIB, b"later")
    machine.zero(0, 0, 64 << 10)
    machine.resize(0, 3 * MIB)
    client.snapshot("two", machine.disks[0].id)
    first, second = client.access("one"), client.access("two")
    assert client.blob(second).download_blob(0, 3 * MIB).readall() == raw.read_bytes()
    changed, cleared = client.blob(second).get_page_range_diff_for_managed_disk(first)
    assert [each["start"] for each in changed] == [MIB, 3 * MIB]
    assert [each["start"] for each in cleared] == [0, 2 * MIB]


def test_nothing_is_lost_where_azurite_fails(
    cloud: AzureCloud, client: Client, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "disk.raw"
    raw.write_bytes(bytes(MIB))
    machine = cloud.add_machine("web", [raw])
    client.snapshot("one", machine.disks[0].id)
    machine.write(0, 65536, b"later")
    for connection, _ in cloud.azurite._idle:
        connection.sock.shutdown(socket.SHUT_RDWR)
    with pytest.raises(HttpResponseError) as error:
        client.snapshot("two", machine.disks[0].id)
    assert error.value.status_code == 500
    assert "Azurite did not answer" in capfd.readouterr().err
    client.snapshot("two", machine.disks[0].id)
    first, second = client.access("one"), client.access("two")
    changed, _ = client.blob(second).get_page_range_diff_for_managed_disk(first)
    assert [each["start"] for each in changed] == [65536]
    assert client.blob(second).download_blob(65536, 5).readall() == b"later"
