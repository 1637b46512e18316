"""What speaks against replicating a machine, before a byte of it moves. Pure: it looks at a record and asks nobody."""

from __future__ import annotations

from collections.abc import Iterator

from rehost.sources import _common_concerns
from rehost.sources._protocol import Concern, Power, Severity
from rehost.sources.hyperv._config import HyperVConfig
from rehost.sources.hyperv._inventory import DiskRecord, MachineRecord
from rehost.sources.hyperv._points import TRACKING_BUILD, run_of, tracks

_REPLICAS = frozenset({"Replica", "TestReplica", "ExtendedReplica"})


def concerns(machine: MachineRecord, config: HyperVConfig) -> list[Concern]:
    """The gravest first."""
    found = [
        *_machine(machine),
        *_tracking(machine, config),
        *_state(machine),
        *_disks(machine, config),
        *_devices(machine),
    ]
    return _common_concerns.gravest_first(found)


def _machine(machine: MachineRecord) -> Iterator[Concern]:
    if machine.replication in _REPLICAS:
        yield Concern(
            "hyperv-replica",
            Severity.ERROR,
            "it is a replica of Hyper-V Replica: another host's machine is written into it",
            "replicate the primary machine, or fail over to this one first",
        )
    if machine.shielded:
        yield Concern(
            "hyperv-shielded",
            Severity.WARNING,
            "it is shielded: its disks are encrypted with keys that stay with its virtual TPM and its guarded fabric",
            "have the BitLocker recovery key at hand, or decrypt its disks before it moves",
        )
    elif machine.tpm:
        yield _common_concerns.VTPM
    if machine.secure_boot:
        yield _common_concerns.SECURE_BOOT
    if machine.dynamic_memory:
        yield Concern(
            "hyperv-dynamic-memory",
            Severity.INFO,
            f"its memory is dynamic, and {machine.memory_mib} MiB is only what it starts with",
            "choose the instance type by what it uses",
        )


def _tracking(machine: MachineRecord, config: HyperVConfig) -> Iterator[Concern]:
    if not tracks(machine):
        why = (
            "its host is older than Windows Server 2016"
            if machine.build < TRACKING_BUILD
            else f"its configuration version is {machine.version}, and Resilient Change Tracking needs 6.2"
        )
        yield Concern(
            "hyperv-no-tracking",
            Severity.WARNING,
            f"{why}: each run takes a standard checkpoint, with its memory while it runs, and reads whole disks",
            "move it to a newer host and upgrade its configuration version (Update-VMVersion), or accept it",
        )
    elif not config.change_tracking:
        yield Concern(
            "hyperv-tracking-off",
            Severity.INFO,
            "the source says `changeTracking: false`: each run reads whole disks (and still sends only what differs)",
            "leave it out of the source's entry",
        )


def _state(machine: MachineRecord) -> Iterator[Concern]:
    vss = machine.services.get("vss")
    if machine.power is Power.ON and (vss is None or not vss[0] or vss[1] not in ("", "Ok")):
        how = "is off" if vss is None or not vss[0] else f"does not answer ({vss[1]})"
        yield Concern(
            "hyperv-no-integration-services",
            Severity.WARNING,
            f"the integration service for backups {how}, so its file systems cannot be quiesced: images are as after a power cut",
            "turn it on (Enable-VMIntegrationService), and install the guest's services (hyperv-daemons on Linux)",
        )
    if machine.power is Power.PAUSED:
        yield Concern(
            "hyperv-saved-state",
            Severity.WARNING,
            f"it stands still ({machine.state}): what it has in memory is not on its disks, so images are as after a power cut",
            "start it, or shut it down, for the final run",
        )
    if machine.merging:
        yield Concern(
            "hyperv-merging",
            Severity.INFO,
            "its host is merging the disks of a removed checkpoint",
            "nothing: a run can begin, and reads somewhat slower meanwhile",
        )
    foreign = [each for each in machine.checkpoints if run_of(each) is None]
    if foreign:
        named = ", ".join(each.name for each in foreign[:5]) + (", ..." if len(foreign) > 5 else "")
        yield Concern(
            "hyperv-checkpoints",
            Severity.WARNING,
            f"it has {len(foreign)} checkpoints of somebody else ({named}): its disks are chains of files, which are read as such",
            "delete those that nobody needs; applying one in the middle of a migration makes the next run read whole disks",
        )


def _disks(machine: MachineRecord, config: HyperVConfig) -> Iterator[Concern]:
    if not machine.disks:
        yield _common_concerns.NO_DISKS
    for at, disk in enumerate(machine.disks):
        yield from _disk(disk, root=at == 0, chained=bool(machine.checkpoints), config=config)
    yield from _common_concerns.too_many(len(machine.disks))


def _disk(disk: DiskRecord, *, root: bool, chained: bool, config: HyperVConfig) -> Iterator[Concern]:
    if disk.pass_through:
        yield Concern(
            "hyperv-pass-through-disk",
            Severity.ERROR,
            f"{disk.key} is a disk of its host passed through to it, which checkpoints leave out",
            "copy it into a VHDX (New-VHD -SourceDisk) and attach that instead",
        )
        return
    if disk.shared:
        yield Concern(
            "shared-disk",
            Severity.ERROR,
            f"{disk.label} is shared with other machines (shared VHDX or VHD set), and those have no checkpoints of their own",
            "end the sharing for the migration, or copy the data by other means",
        )
    if disk.problem or not disk.path:
        yield Concern(
            "hyperv-disk-unreadable",
            Severity.ERROR,
            f"its host cannot look into {disk.label}: {disk.problem or 'it has no file'}",
            "bring the file back, or detach the disk",
        )
        return
    yield from _common_concerns.odd_size(disk.label, disk.size)
    yield from _common_concerns.too_large(disk.label, disk.size)
    if disk.sector_size != _common_concerns.SECTOR:
        yield Concern(
            "hyperv-4k-sectors",
            Severity.ERROR if root else Severity.WARNING,
            f"{disk.label} has sectors of {disk.sector_size} bytes, and EBS volumes have 512: its partition table is not found there",
            "copy it to a disk of 512-byte sectors in the guest (New-VHD -LogicalSectorSizeBytes 512), and boot from that",
        )
    if disk.parent and not chained:
        yield Concern(
            "hyperv-differencing-disk",
            Severity.INFO,
            f"{disk.label} is a differencing disk of {disk.parent}, which is read with it",
            "nothing, as long as nobody writes to the parent",
        )
    elsewhere = disk.path.startswith("\\\\") and not disk.path.startswith("\\\\?\\")
    if elsewhere and not any(disk.path.lower().startswith(folder) for folder in config.shares):
        server = disk.path[2:].partition("\\")[0]
        yield Concern(
            "hyperv-storage-elsewhere",
            Severity.INFO,
            f"{disk.label} is on the file server {server}, and is read from there",
            "let the account read that share, and the connector reach port 445 of it",
        )


def _devices(machine: MachineRecord) -> Iterator[Concern]:
    if machine.fibre_channel:
        yield Concern(
            "hyperv-fibre-channel",
            Severity.WARNING,
            "it has a virtual Fibre Channel adapter: what is stored on the LUNs behind it stays behind",
            "copy that data by other means",
        )
    if "pci" in machine.devices:
        yield Concern(
            "passthrough-device",
            Severity.WARNING,
            "a PCI device is passed through to it, which stays behind and can keep checkpoints from being taken",
            "detach it; choose an instance type that has such a device",
        )
    if "gpu" in machine.devices:
        yield Concern(
            "hyperv-gpu",
            Severity.WARNING,
            "a part of a GPU is assigned to it, which stays behind",
            "choose an instance type with a GPU, and install its drivers",
        )
