"""Snapshots, their signatures, and what becomes of them."""

from __future__ import annotations

from typing import Any

import pytest
import urllib3
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceExistsError
from azure.mgmt.compute.models import SnapshotUpdate

from sandbox.azure import GROUP, AzureCloud, DiskSpec
from tests.sandbox.azure.conftest import MIB, SCOPE, Client, refused


def test_a_snapshot_from_its_beginning_to_its_end(cloud: AzureCloud, client: Client) -> None:
    machine = cloud.add_machine("web", [2 * MIB])
    disk = client.compute.disks.get(GROUP, "web-os")
    made = client.snapshot("one", disk.id, tags={"rehost": "run"})
    assert (made.provisioning_state, made.completion_percent, made.disk_size_bytes) == ("Succeeded", 100.0, 2 * MIB)
    assert (made.creation_data.source_resource_id, made.creation_data.source_unique_id) == (disk.id, disk.unique_id)
    assert made.incremental
    assert made.incremental_snapshot_family_id
    assert [(each.name, each.tags) for each in client.compute.snapshots.list()] == [("one", {"rehost": "run"})]
    url = client.access("one")
    assert client.compute.snapshots.get(GROUP, "one").disk_state == "ActiveSAS"
    assert cloud.state()["access"] == [made.id]
    with pytest.raises(ResourceExistsError) as error:
        client.compute.snapshots.begin_delete(GROUP, "one").result()
    assert refused(error) == (409, "OperationNotAllowed")
    client.compute.snapshots.begin_revoke_access(GROUP, "one").result()
    with pytest.raises(ClientAuthenticationError):
        client.blob(url).get_blob_properties()
    client.compute.snapshots.begin_delete(GROUP, "one").result()
    client.compute.snapshots.begin_delete(GROUP, "one").result()  # nothing there any longer: no error
    state = cloud.state()
    assert (state["snapshots"], state["access"]) == ([], [])
    assert machine.disks[0].pages.azurite.ranges(machine.disks[0].pages.blob)  # the disk stays


def test_a_snapshot_outlives_its_machine(cloud: AzureCloud, client: Client) -> None:
    machine = cloud.add_machine("web", [MIB])
    machine.write(0, 0, b"kept" * 128)
    client.snapshot("one", machine.disks[0].id)
    machine.delete()
    assert client.blob(client.access("one")).download_blob(0, 4).readall() == b"kept"


def test_access_is_prolonged_with_its_url(cloud: AzureCloud, client: Client) -> None:
    machine = cloud.add_machine("web", [MIB])
    client.snapshot("one", machine.disks[0].id)
    url = client.access("one", 60)
    cloud.advance(50)
    assert client.access("one", 60) == url
    cloud.advance(50)
    assert client.blob(url).get_blob_properties().size == MIB + 512
    cloud.advance(11)
    with pytest.raises(ClientAuthenticationError, match="Signature not valid in the specified time frame"):
        client.blob(url).download_blob(0, 512).readall()
    assert cloud.state()["access"] == []
    client.compute.disks.get(GROUP, "web-os")  # the login holds for longer than that
    assert client.access("one", 60) != url


def test_so_many_signatures_of_a_disk(cloud: AzureCloud, client: Client) -> None:
    machine = cloud.add_machine("web", [MIB])
    cloud.settings.access_per_family = 1
    for name in ("one", "two"):
        client.snapshot(name, machine.disks[0].id)
    client.access("one")
    client.access("one")
    with pytest.raises(ResourceExistsError) as error:
        client.access("two")
    assert refused(error) == (409, "OperationNotAllowed")


def test_no_access_by_policy(cloud: AzureCloud, client: Client) -> None:
    machine = cloud.add_machine("web", [MIB])
    client.snapshot("one", machine.disks[0].id, network_access_policy="DenyAll")
    with pytest.raises(ResourceExistsError, match="DenyAll"):
        client.access("one")


def test_the_quota_leaves_a_failed_snapshot(cloud: AzureCloud, client: Client) -> None:
    machine = cloud.add_machine("web", [MIB])
    cloud.settings.snapshots_per_disk = 1
    client.snapshot("one", machine.disks[0].id)
    with pytest.raises(HttpResponseError) as error:
        client.snapshot("two", machine.disks[0].id)
    assert refused(error)[1] == "SnapshotsLimitReached"
    assert client.compute.snapshots.get(GROUP, "two").provisioning_state == "Failed"
    with pytest.raises(ResourceExistsError):
        client.access("two")
    client.compute.snapshots.begin_delete(GROUP, "two").result()
    client.compute.snapshots.begin_delete(GROUP, "one").result()
    assert cloud.state()["snapshots"] == []


def test_the_source_does_not_change(cloud: AzureCloud, client: Client) -> None:
    machine = cloud.add_machine("web", [MIB, MIB])
    client.snapshot("one", machine.disks[0].id)
    client.snapshot("one", machine.disks[0].id, tags={"again": "yes"})
    client.compute.snapshots.begin_update(GROUP, "one", SnapshotUpdate(tags={"a": "b"})).result()
    assert client.compute.snapshots.get(GROUP, "one").tags == {"a": "b"}
    with pytest.raises(ResourceExistsError) as error:
        client.snapshot("one", machine.disks[1].id)
    assert refused(error) == (409, "PropertyChangeNotAllowed")


def test_an_ephemeral_disk_has_none(cloud: AzureCloud, client: Client) -> None:
    machine = cloud.add_machine("web", [DiskSpec(MIB, ephemeral=True)])
    assert (
        client.compute.virtual_machines.get(GROUP, "web").storage_profile.os_disk.diff_disk_settings.option == "Local"
    )
    with pytest.raises(ResourceExistsError):
        client.snapshot("one", machine.disks[0].id)


def test_operations_that_take_long_and_fail(cloud: AzureCloud, client: Client) -> None:
    machine = cloud.add_machine("web", [MIB])
    slow = cloud.fault("slow", call="Microsoft.Compute/snapshots/write", seconds=0.2)
    assert client.snapshot("one", machine.disks[0].id).provisioning_state == "Succeeded"
    assert slow.hits == 1
    assert cloud.state()["calls"]["Microsoft.Compute/locations/DiskOperations/read"] > 2
    cloud.fault("fail", call="Microsoft.Compute/snapshots/write", code="InternalExecutionError", message="on demand")
    with pytest.raises(HttpResponseError) as error:
        client.snapshot("two", machine.disks[0].id)
    assert refused(error)[1] == "InternalExecutionError"


def test_arm_is_throttled(cloud: AzureCloud, client: Client) -> None:
    machine = cloud.add_machine("web", [MIB])
    cloud.fault("throttle", call="snapshots/write", retry_after=7)
    with pytest.raises(HttpResponseError) as error:
        client.snapshot("one", machine.disks[0].id)
    assert refused(error)[0] == 429
    answer: Any = error.value.response
    assert answer.headers["Retry-After"] == "7"
    client.snapshot("one", machine.disks[0].id)


def test_a_role_that_lacks_an_action(cloud: AzureCloud, client: Client) -> None:
    machine = cloud.add_machine("web", [MIB])
    role: dict[str, Any] = {"Actions": ["*/read", "Microsoft.Compute/snapshots/*"], "NotActions": ["*/delete"]}
    cloud.settings.role = role
    with pytest.raises(HttpResponseError) as error:
        client.snapshot("one", machine.disks[0].id)
    assert refused(error) == (403, "LinkedAuthorizationFailed")
    role["Actions"].append("Microsoft.Compute/disks/beginGetAccess/action")
    client.snapshot("one", machine.disks[0].id)
    with pytest.raises(HttpResponseError, match="snapshots/delete") as error:
        client.compute.snapshots.begin_delete(GROUP, "one").result()
    assert refused(error) == (403, "AuthorizationFailed")
    token = client.credential.get_token(SCOPE).token
    url = f"{cloud.endpoint}{machine.id}/providers/Microsoft.Authorization/permissions?api-version=2022-04-01"
    with urllib3.PoolManager(ca_certs=str(cloud.ca)) as pool:
        answer = pool.request("GET", url, headers={"Authorization": f"Bearer {token}"})
    assert answer.json()["value"][0]["actions"] == role["Actions"]
