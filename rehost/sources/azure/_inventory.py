"""The machines of a subscription: one list a kind of resource, whatever their number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rehost.sources.azure import _records
from rehost.sources.azure._client import Client, or_refused
from rehost.sources.azure._errors import ResourceGone
from rehost.sources.azure._names import ResourceId
from rehost.sources.azure._records import Json, MachineRecord, SizeRecord

#: Versions of the API that all of Microsoft's clouds have; a newer one may lack in China for years.
COMPUTE, DISKS, NETWORK, SKUS = "2024-07-01", "2024-03-02", "2024-05-01", "2021-07-01"
_SIZES_LAST = 3600.0  # seconds for which the sizes of a location are remembered: an answer has some MiB


def machines(client: Client) -> Iterator[MachineRecord]:
    """Every machine that the configuration lets be seen."""
    found = list(_listed(client))
    views = _views(client, found)
    disks = _by_id(_all(client, "Microsoft.Compute/disks", DISKS, "listing disks"))
    nics = _by_id(
        or_refused(
            lambda: list(_all(client, "Microsoft.Network/networkInterfaces", NETWORK, "listing network interfaces"))
        )
        or ()
    )
    for vm in found:
        sizes = _sizes(client, str(vm.get("location", "")))
        yield _records.machine(vm, views.get(str(vm.get("id", "")).lower(), {}), disks, nics, sizes)


def names(client: Client) -> Sequence[str]:
    """The id of every machine; remembered for a moment, so that a preview of many servers asks once."""

    def ask() -> Sequence[str]:
        return [str(each.get("id", "")) for each in _listed(client)]

    found: Sequence[str] = client.remembered("names", ask)
    return found


def machine(client: Client, machine_id: str) -> MachineRecord:
    """One machine, with its disks as they are now. Raises ResourceGone."""
    vm = client.get(machine_id, COMPUTE, "asking for a machine", **{"$expand": "instanceView"})
    view = (vm.get("properties") or {}).get("instanceView") or {}
    disks = {each.lower(): _disk(client, each) for each in _records.disk_ids(vm)}
    nics = {each.lower(): _nic(client, each) for each in _records.nic_ids(vm)}
    return _records.machine(vm, view, disks, nics, _sizes(client, str(vm.get("location", ""))))


def power(client: Client, machine_id: str) -> str:
    """Raises ResourceGone."""
    return _records.power(client.get(f"{machine_id}/instanceView", COMPUTE, "asking for a machine's power"))


def _disk(client: Client, disk_id: str) -> Json:
    try:
        return client.get(disk_id, DISKS, "asking for a disk")
    except ResourceGone:
        return {}


def _nic(client: Client, nic_id: str) -> Json:
    try:
        return or_refused(lambda: client.get(nic_id, NETWORK, "asking for a network interface")) or {}
    except ResourceGone:
        return {}


def _listed(client: Client) -> Iterable[Json]:
    return _all(client, "Microsoft.Compute/virtualMachines", COMPUTE, "listing machines")


def _all(client: Client, kind: str, version: str, doing: str) -> Iterator[Json]:
    """Of the subscription, or of the resource groups that the configuration names: an account may have rights on those alone."""
    start = f"/subscriptions/{client.config.subscription}"
    groups = client.config.resource_groups
    for within in [f"{start}/resourceGroups/{each}" for each in groups] or [start]:
        yield from client.pages(f"{within}/providers/{kind}", version, doing)


def _views(client: Client, found: Sequence[Json]) -> Mapping[str, Json]:
    """Instance views by machine. `statusOnly` asks for all at once, but only of a whole subscription."""
    if client.config.resource_groups:
        asked = {str(each.get("id", "")): each for each in found}
        return {each.lower(): client.get(f"{each}/instanceView", COMPUTE, "asking for power") for each in asked}
    path = f"/subscriptions/{client.config.subscription}/providers/Microsoft.Compute/virtualMachines"
    answers = client.pages(path, COMPUTE, "asking for the power of machines", statusOnly="true")
    return {
        str(each.get("id", "")).lower(): (each.get("properties") or {}).get("instanceView") or {} for each in answers
    }


def _sizes(client: Client, location: str) -> Mapping[str, SizeRecord]:
    def ask() -> Mapping[str, SizeRecord]:
        path = f"/subscriptions/{client.config.subscription}/providers/Microsoft.Compute/skus"
        skus = or_refused(
            lambda: list(client.pages(path, SKUS, "listing sizes", **{"$filter": f"location eq '{location}'"}))
        )
        return {
            str(each.get("name", "")).lower(): _records.size(each)
            for each in skus or ()
            if each.get("resourceType") == "virtualMachines"
        }

    found: Mapping[str, SizeRecord] = client.remembered(f"sizes {location}", ask, seconds=_SIZES_LAST)
    return found


def _by_id(found: Iterable[Any]) -> dict[str, Json]:
    return {str(each.get("id", "")).lower(): each for each in found}


def group_of(machine_id: str) -> str:
    parsed = ResourceId.parse(machine_id)
    return parsed.group if parsed else ""
