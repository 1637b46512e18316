"""Discovery: machines, disks, interfaces and addresses arrive in the clients' models."""

from __future__ import annotations

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.network import NetworkManagementClient

from sandbox.azure import GROUP, AzureCloud, DiskSpec, NicSpec
from tests.sandbox.azure.conftest import MIB, SCOPE, Client, refused


def test_a_machine_is_found_with_its_disks(cloud: AzureCloud, client: Client) -> None:
    made = cloud.add_machine(
        "web",
        [4 * MIB, DiskSpec(MIB, sku="UltraSSD_LRS", max_shares=2)],
        os_type="Windows",
        generation="V1",
        tags={"a": "b"},
    )
    [found] = client.compute.virtual_machines.list_all()
    assert (found.id, found.name, found.location, found.tags) == (made.id, "web", "westeurope", {"a": "b"})
    assert found.storage_profile.os_disk.os_type == "Windows"
    assert [disk.lun for disk in found.storage_profile.data_disks] == [0]
    viewed = client.compute.virtual_machines.get(GROUP, "WEB", expand="instanceView")
    assert [status.code for status in viewed.instance_view.statuses] == [
        "ProvisioningState/succeeded",
        "PowerState/running",
    ]
    assert viewed.instance_view.vm_agent.statuses[0].display_status == "Ready"
    root, data = (client.compute.disks.get(GROUP, name) for name in ("web-os", "web-data1"))
    assert (root.disk_size_bytes, root.disk_size_gb, root.os_type, root.hyper_v_generation) == (
        4 * MIB,
        1,
        "Windows",
        "V1",
    )
    assert (data.sku.name, data.max_shares, data.managed_by, data.disk_state) == (
        "UltraSSD_LRS",
        2,
        made.id,
        "Attached",
    )
    assert found.storage_profile.os_disk.managed_disk.id == root.id


def test_lists_come_in_pages_and_by_group(cloud: AzureCloud, client: Client) -> None:
    cloud.settings.page_size = 2
    for number in range(5):
        cloud.add_machine(f"m{number}", [MIB], group="other" if number == 4 else GROUP)
    assert [each.name for each in client.compute.virtual_machines.list_all()] == ["m0", "m1", "m2", "m3", "m4"]
    assert [each.name for each in client.compute.virtual_machines.list(GROUP.upper())] == ["m0", "m1", "m2", "m3"]
    assert len(list(client.compute.disks.list())) == 5
    assert len(list(client.compute.disks.list_by_resource_group("other"))) == 1


def test_interfaces_and_addresses(cloud: AzureCloud, client: Client) -> None:
    made = cloud.add_machine(
        "web", [MIB], nics=[NicSpec("10.1.0.4", "00-0D-3A-00-00-01", "192.0.2.7"), NicSpec("10.1.1.4")]
    )
    with NetworkManagementClient(
        client.credential,
        cloud.subscription,
        base_url=cloud.endpoint,
        credential_scopes=[SCOPE],
        connection_verify=str(cloud.ca),
    ) as network:
        first, second = network.network_interfaces.list(GROUP)
        assert (first.virtual_machine.id, first.mac_address) == (made.id, "00-0D-3A-00-00-01")
        assert [each.private_ip_address for each in first.ip_configurations] == ["10.1.0.4"]
        assert second.ip_configurations[0].public_ip_address is None
        public = first.ip_configurations[0].public_ip_address.id
        assert network.public_ip_addresses.get(GROUP, public.rpartition("/")[2]).ip_address == "192.0.2.7"


def test_power(cloud: AzureCloud, client: Client) -> None:
    cloud.add_machine("web", [MIB])

    def power() -> tuple[str, str]:
        view = client.compute.virtual_machines.instance_view(GROUP, "web")
        disk = client.compute.disks.get(GROUP, "web-os")
        return view.statuses[-1].code, disk.disk_state

    before = client.compute.disks.get(GROUP, "web-os").last_ownership_update_time
    client.compute.virtual_machines.begin_power_off(GROUP, "web").result()
    assert power() == ("PowerState/stopped", "Attached")
    cloud.advance(60)
    client.compute.virtual_machines.begin_deallocate(GROUP, "web").result()
    assert power() == ("PowerState/deallocated", "Reserved")
    assert client.compute.disks.get(GROUP, "web-os").last_ownership_update_time > before
    client.compute.virtual_machines.begin_start(GROUP, "web").result()
    assert power() == ("PowerState/running", "Attached")


def test_what_is_gone_is_not_found(cloud: AzureCloud, client: Client) -> None:
    made = cloud.add_machine("web", [MIB])
    made.delete()
    for call in (client.compute.virtual_machines.get, client.compute.disks.get):
        with pytest.raises(ResourceNotFoundError) as error:
            call(GROUP, "web")
        assert refused(error) == (404, "ResourceNotFound")


def test_sizes_have_capabilities(client: Client) -> None:
    sizes = {each.name: each for each in client.compute.resource_skus.list(filter="location eq 'northeurope'")}
    found = {each.name: each.value for each in sizes["Standard_D2s_v5"].capabilities}
    assert (found["vCPUs"], found["MemoryGB"]) == ("2", "8")
    assert sizes["Standard_D2s_v5"].locations == ["northeurope"]


def test_a_version_that_is_not_there_is_refused(cloud: AzureCloud, client: Client) -> None:
    with pytest.raises(HttpResponseError) as error:
        client.compute.disks.get(GROUP, "web-os", api_version="2019-01-01")
    assert refused(error) == (400, "NoRegisteredProviderFound")
