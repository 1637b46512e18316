"""What speaks against replicating a machine, before a byte of it moves. Pure: it looks at a record and asks nobody."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rehost.sources import _common_concerns
from rehost.sources._protocol import Concern, Quiesce, Severity
from rehost.sources.azure import _ways
from rehost.sources.azure._records import DIRECT, DiskRecord, MachineRecord

#: concepts-restore-points: Intel sizes of version 6 and newer, AMD sizes of version 7 and newer (they have an `a` among their letters).
_INTEL, _AMD = 6, 7


def concerns(machine: MachineRecord) -> list[Concern]:
    """The gravest first."""
    found = [*_machine(machine), *_moment(machine), *_disks(machine)]
    return _common_concerns.gravest_first(found)


def _machine(machine: MachineRecord) -> Iterator[Concern]:
    if machine.vtpm:
        yield _common_concerns.VTPM
    if machine.secure_boot:
        yield _common_concerns.SECURE_BOOT
    if machine.size.architecture.lower() == "arm64":
        yield Concern(
            "azure-arm64",
            Severity.WARNING,
            f"its processor is an ARM64 ({machine.size_name})",
            "choose an instance type with Graviton, and `conversion: register`: VM import takes x86 alone",
        )
    if machine.plan:
        yield Concern(
            "azure-marketplace",
            Severity.INFO,
            f"it was made of an image of the Marketplace ({machine.plan}), whose licence does not move with it",
            "ask its vendor, or take the vendor's product in the AWS Marketplace",
        )
    if machine.license and machine.license.lower() != "none":
        yield Concern(
            "azure-license",
            Severity.INFO,
            f"it uses a licence of your own ({machine.license})",
            "set `image: {license: byol}` if that licence may be used in AWS",
        )
    if machine.size.temporary_mib:
        yield Concern(
            "azure-temporary-disk",
            Severity.INFO,
            "its temporary disk (D: of Windows, /mnt of Linux) stays behind, with a page file that lies there",
            "choose an instance type with an instance store, or put the page file and what else is there on another disk",
        )


def _moment(machine: MachineRecord) -> Iterator[Concern]:
    data = machine.data_disks
    if machine.off:
        yield Concern(
            "azure-off",
            Severity.INFO,
            f"it does not run ({machine.power}): runs are of a machine that is off",
            "nothing",
        )
        return
    if machine.agent is False:
        yield Concern(
            "azure-no-agent",
            Severity.WARNING,
            "no agent answers in it, so its file systems cannot be quiesced: images are as after a power cut",
            "install the Azure VM agent (walinuxagent, WindowsAzureGuestAgent), or shut it down for the final run",
        )
    way = _ways.choose(machine, Quiesce.NONE)
    if way is None and machine.agent is False:
        yield Concern(
            "azure-no-common-moment",
            Severity.ERROR,
            "nothing takes all of its disks at one moment while it runs: crash-consistent restore points need a size with premium "
            "storage and no Ultra or Premium SSD v2 disk, others an agent",
            "install the Azure VM agent, or shut the machine down for its runs",
        )
    if data:
        yield Concern(
            "azure-restore-points",
            Severity.INFO,
            "it has several disks, and Azure supports one restore point of them an hour (every three hours with quiescing)",
            "give it a schedule of some hours",
        )
    if way is _ways.Way.CRASH and len(data) > 1 and _new_generation(machine.size_name):
        yield Concern(
            "azure-disks-apart",
            Severity.WARNING,
            f"Azure does not promise that the data disks of a {machine.size_name} are taken at one moment without its agent",
            "set `quiesce: require`, or shut the machine down for the final run",
        )
    cached = [disk.name for disk in data if disk.caching == "ReadWrite" or disk.write_accelerator]
    if cached:
        yield Concern(
            "azure-write-cache",
            Severity.WARNING,
            f"the host caches writes to {', '.join(cached)}: what a point in time without the agent holds of the last writes is not sure",
            "set `quiesce: require`, set their host caching to ReadOnly, or shut the machine down for the final run",
        )


def _new_generation(size_name: str) -> bool:
    found = re.fullmatch(
        r"Standard_[A-Z]+\d+(?:-\d+)?([a-z]*)_.*?v(\d+)|Standard_[A-Z]+\d+(?:-\d+)?([a-z]*)_v(\d+)", size_name
    )
    if found is None:
        return False
    letters, version = found[1] or found[3] or "", int(found[2] or found[4])
    return version >= (_AMD if "a" in letters else _INTEL)


def _disks(machine: MachineRecord) -> Iterator[Concern]:
    for disk in machine.disks:
        yield from _kind(disk)
        yield from _encryption(disk)
        yield from _access(disk)
    yield from _common_concerns.too_many(len(machine.disks))


def _kind(disk: DiskRecord) -> Iterator[Concern]:
    name = f"{disk.name} ({disk.key})"
    if disk.ephemeral:
        yield Concern(
            "azure-ephemeral-disk",
            Severity.ERROR,
            f"{name} is ephemeral: it lies on the host, and has no snapshots",
            "deploy the machine anew on a managed disk, or make its successor in AWS from the start",
        )
    elif not disk.id:
        yield Concern(
            "azure-unmanaged-disk",
            Severity.ERROR,
            f"{name} is a VHD in a storage account, which has no such snapshots",
            "convert the machine to managed disks (`az vm convert`)",
        )
    if disk.max_shares > 1:
        yield Concern(
            "shared-disk",
            Severity.ERROR,
            f"{name} is shared with other machines (up to {disk.max_shares}), and restore points leave such disks out",
            "end the sharing for the migration, or copy the data by other means",
        )
    if disk.sku in DIRECT:
        yield Concern(
            "azure-slow-snapshot",
            Severity.INFO,
            f"{name} is a {disk.sku}: its snapshots can be read only when Azure has copied them in the background",
            "nothing; `snapshotTimeout` has to be long enough for the first one",
        )
    if disk.sector_size > 512:
        yield Concern(
            "azure-4k-sectors",
            Severity.WARNING,
            f"{name} has logical sectors of {disk.sector_size} bytes, and EC2's volumes 512: a partition table on it is not found there",
            "move the data to a disk with sectors of 512 bytes, or make the partition table anew in AWS",
        )
    yield from _common_concerns.too_large(name, disk.size)


def _encryption(disk: DiskRecord) -> Iterator[Concern]:
    name = f"{disk.name} ({disk.key})"
    if disk.guest_encryption:
        yield Concern(
            "azure-disk-encryption",
            Severity.ERROR,
            f"{name} is encrypted inside the guest by Azure Disk Encryption: an image of it could not be unlocked without Azure's Key Vault",
            "disable Azure Disk Encryption (`az vm encryption disable`) and use encryption at host instead",
        )
    if "withvmgueststate" in disk.security.lower() or "confidentialvm_diskencrypted" in disk.security.lower():
        yield Concern(
            "azure-confidential-disk",
            Severity.ERROR,
            f"{name} is encrypted with a key that only its confidential machine has",
            "move what is on it by other means",
        )
    if "CustomerKey" in disk.encryption:
        yield Concern(
            "azure-customer-key",
            Severity.INFO,
            f"{name} is encrypted with a key of yours in Key Vault; its bytes are read in clear, as long as Azure may use the key",
            "keep the key and its disk encryption set until the migration is done",
        )


def _access(disk: DiskRecord) -> Iterator[Concern]:
    name = f"{disk.name} ({disk.key})"
    if disk.network_access == "DenyAll":
        yield Concern(
            "azure-export-denied",
            Severity.ERROR,
            f"{name} may not be exported (its network access is DenyAll), nor its restore points",
            "allow it for the migration (`az disk update --network-access-policy AllowAll`, or AllowPrivate with a disk access)",
        )
    elif disk.network_access == "AllowPrivate":
        yield Concern(
            "azure-private-export",
            Severity.WARNING,
            f"{name} may be exported through private endpoints alone",
            "run the connector where it reaches the private endpoint of the disk's access resource",
        )
