"""What Azure says of a machine, as plain records. Pure: JSON of the REST reference in, records out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rehost.sources.azure._names import ResourceId, last

Json = Mapping[str, Any]
GIB = 1 << 30
#: Kinds of disk whose snapshots are copied in the background before they can be read (disks-incremental-snapshots).
DIRECT = frozenset({"UltraSSD_LRS", "PremiumV2_LRS"})


@dataclass(frozen=True)
class SizeRecord:
    """A machine's size: an entry of Microsoft.Compute/skus."""

    cpus: int = 0
    memory_mib: int = 0
    premium: bool = True  # it supports premium storage
    architecture: str = "x64"
    temporary_mib: int = 0  # its temporary disk


@dataclass(frozen=True)
class DiskRecord:
    key: str  # its place on the machine: os, lun0 ...: the same in every run
    name: str
    id: str  # of the managed disk; empty where it is none
    size: int  # bytes; those of its GiB where the disk itself is not known
    sku: str = ""
    unique_id: str = ""
    caching: str = "None"
    write_accelerator: bool = False
    ephemeral: bool = False
    max_shares: int = 1
    guest_encryption: bool = False  # Azure Disk Encryption: BitLocker or dm-crypt inside the machine
    encryption: str = ""  # EncryptionAtRestWithCustomerKey, ...
    network_access: str = ""  # AllowAll, AllowPrivate, DenyAll
    sector_size: int = 512
    ownership: str = ""  # when it was last attached or detached, or its machine started or deallocated
    security: str = ""  # of a confidential machine's disk


@dataclass(frozen=True)
class NicRecord:
    label: str
    mac: str
    network: str
    address: str


@dataclass(frozen=True)
class MachineRecord:
    id: str
    name: str
    group: str
    location: str
    zone: str
    size_name: str
    size: SizeRecord
    generation: str  # V1, V2; empty where it is not known
    security: str  # TrustedLaunch, ConfidentialVM; empty for neither
    secure_boot: bool
    vtpm: bool
    power: str  # running, stopped, deallocated, ...; empty where it is not known
    agent: bool | None  # whether its agent answers; None where it is not known
    os_type: str
    guest: str
    host_name: str
    plan: str
    license: str
    disks: Sequence[DiskRecord]
    nics: Sequence[NicRecord] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def off(self) -> bool:
        return self.power in ("stopped", "deallocated")

    @property
    def data_disks(self) -> Sequence[DiskRecord]:
        return self.disks[1:]


def size(sku: Json) -> SizeRecord:
    told = {str(each.get("name")): str(each.get("value")) for each in sku.get("capabilities") or ()}

    def number(name: str) -> float:
        try:
            return float(told.get(name, 0))
        except ValueError:
            return 0.0

    return SizeRecord(
        cpus=int(number("vCPUs")),
        memory_mib=int(number("MemoryGB") * 1024),
        premium=told.get("PremiumIO", "True").lower() == "true",
        architecture=told.get("CpuArchitectureType", "x64"),
        temporary_mib=int(number("MaxResourceVolumeMB")),
    )


def machine(
    vm: Json, view: Json, disks: Mapping[str, Json], nics: Mapping[str, Json], sizes: Mapping[str, SizeRecord]
) -> MachineRecord:
    """`view`: its instance view; `disks`, `nics`: by id in lower case; `sizes`: by name in lower case. What lacks is left open."""
    properties = _object(vm, "properties")
    named = ResourceId.parse(str(vm.get("id", "")))
    storage, system, security = (
        _object(properties, each) for each in ("storageProfile", "osProfile", "securityProfile")
    )
    size_name = str(_object(properties, "hardwareProfile").get("vmSize") or "")
    uefi = _object(security, "uefiSettings")
    os_disk = _object(storage, "osDisk")
    os_entry = disks.get(_managed(os_disk).lower(), {})
    zones = vm.get("zones") or [""]
    return MachineRecord(
        id=str(vm.get("id", "")),
        name=str(vm.get("name", "")),
        group=named.group if named else "",
        location=str(vm.get("location", "")),
        zone=str(zones[0]),
        size_name=size_name,
        size=sizes.get(size_name.lower(), SizeRecord()),
        generation=str(view.get("hyperVGeneration") or _object(os_entry, "properties").get("hyperVGeneration") or ""),
        security=str(security.get("securityType") or ""),
        secure_boot=bool(uefi.get("secureBootEnabled")),
        vtpm=bool(uefi.get("vTpmEnabled")),
        power=power(view),
        agent=_agent(view),
        os_type=str(os_disk.get("osType") or ""),
        guest=_guest(view, storage, os_disk),
        host_name=str(view.get("computerName") or system.get("computerName") or ""),
        plan=_plan(vm.get("plan")),
        license=str(properties.get("licenseType") or ""),
        disks=[_disk("os", os_disk, disks), *_data_disks(storage, disks)],
        nics=_nics(_object(properties, "networkProfile"), nics),
        tags={str(key): str(value) for key, value in (vm.get("tags") or {}).items()},
    )


def power(view: Json) -> str:
    codes = [str(each.get("code") or "") for each in view.get("statuses") or ()]
    return next((code.partition("/")[2].lower() for code in codes if code.startswith("PowerState/")), "")


def _agent(view: Json) -> bool | None:
    agent = view.get("vmAgent")
    if not isinstance(agent, Mapping):
        return None
    return any(str(each.get("displayStatus")) == "Ready" for each in agent.get("statuses") or ())


def _guest(view: Json, storage: Json, os_disk: Json) -> str:
    told = " ".join(str(view.get(key) or "") for key in ("osName", "osVersion")).strip()
    image = _object(storage, "imageReference")
    made_of = " ".join(str(image.get(key) or "") for key in ("offer", "sku")).strip()
    return told or made_of or str(os_disk.get("osType") or "")


def _plan(plan: object) -> str:
    if not isinstance(plan, Mapping):
        return ""
    return "/".join(str(plan.get(key) or "") for key in ("publisher", "product", "name"))


def _data_disks(storage: Json, disks: Mapping[str, Json]) -> list[DiskRecord]:
    data = sorted(storage.get("dataDisks") or (), key=lambda each: int(each.get("lun", 0)))
    return [_disk(f"lun{int(each.get('lun', 0))}", each, disks) for each in data]


def _disk(key: str, attached: Json, disks: Mapping[str, Json]) -> DiskRecord:
    managed = _managed(attached)
    entry = disks.get(managed.lower(), {})
    told = _object(entry, "properties")
    gib = int(attached.get("diskSizeGB") or told.get("diskSizeGB") or 0)
    return DiskRecord(
        key=key,
        name=str(attached.get("name") or last(managed)),
        id=managed,
        size=int(told.get("diskSizeBytes") or gib * GIB),
        sku=str(_object(entry, "sku").get("name") or _object(attached, "managedDisk").get("storageAccountType") or ""),
        unique_id=str(told.get("uniqueId") or ""),
        caching=str(attached.get("caching") or "None"),
        write_accelerator=bool(attached.get("writeAcceleratorEnabled")),
        ephemeral=str(_object(attached, "diffDiskSettings").get("option") or "").lower() == "local",
        max_shares=int(told.get("maxShares") or 1),
        guest_encryption=bool(_object(told, "encryptionSettingsCollection").get("enabled"))
        or bool(_object(attached, "encryptionSettings").get("enabled")),
        encryption=str(_object(told, "encryption").get("type") or ""),
        network_access=str(told.get("networkAccessPolicy") or ""),
        sector_size=int(_object(told, "creationData").get("logicalSectorSize") or 512),
        ownership=str(told.get("LastOwnershipUpdateTime") or ""),
        security=str(
            _object(told, "securityProfile").get("securityType")
            or _object(_object(attached, "managedDisk"), "securityProfile").get("securityEncryptionType")
            or ""
        ),
    )


def _managed(attached: Json) -> str:
    return str(_object(attached, "managedDisk").get("id") or "")


def nic_ids(vm: Json) -> list[str]:
    profile = _object(_object(vm, "properties"), "networkProfile")
    return [str(each.get("id") or "") for each in profile.get("networkInterfaces") or ()]


def disk_ids(vm: Json) -> list[str]:
    storage = _object(_object(vm, "properties"), "storageProfile")
    found = [_managed(each) for each in (_object(storage, "osDisk"), *(storage.get("dataDisks") or ()))]
    return [each for each in found if each]


def _nics(profile: Json, nics: Mapping[str, Json]) -> list[NicRecord]:
    found = list(profile.get("networkInterfaces") or ())
    found.sort(key=lambda each: not _object(each, "properties").get("primary", True))
    return [_nic(str(each.get("id") or ""), nics.get(str(each.get("id") or "").lower(), {})) for each in found]


def _nic(nic_id: str, nic: Json) -> NicRecord:
    told = _object(nic, "properties")
    configurations = [_object(each, "properties") for each in told.get("ipConfigurations") or ()]
    first = next((each for each in configurations if each.get("primary", True)), {})
    subnet = str(_object(first, "subnet").get("id") or "").split("/")
    # .../virtualNetworks/NET/subnets/SUBNET
    network = f"{subnet[-3]}/{subnet[-1]}" if len(subnet) > 3 else ""
    mac = str(told.get("macAddress") or "").replace("-", ":").lower()
    return NicRecord(last(nic_id), mac, network, str(first.get("privateIPAddress") or ""))


def _object(told: Json, key: str) -> Json:
    found = told.get(key)
    return found if isinstance(found, Mapping) else {}
