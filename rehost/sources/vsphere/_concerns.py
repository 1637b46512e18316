"""What speaks against replicating a machine, before a byte of it moves. Pure: it looks at a record and asks nobody."""

from __future__ import annotations

from collections.abc import Iterator

from rehost.sources import _common_concerns
from rehost.sources._protocol import Concern, Severity
from rehost.sources.vsphere._config import Transport, VSphereConfig
from rehost.sources.vsphere._inventory import DiskRecord, MachineRecord
from rehost.sources.vsphere._names import is_ours

#: Changed block tracking needs hardware version 7 (vSphere API reference, changeTrackingSupported).
_OLDEST_CBT_HARDWARE = 7


def concerns(machine: MachineRecord, config: VSphereConfig) -> list[Concern]:
    """The gravest first."""
    found = [
        *_machine(machine),
        *_tracking(machine, config),
        *_snapshots(machine, config),
        *_disks(machine, config),
        *_devices(machine),
    ]
    return _common_concerns.gravest_first(found)


def _machine(machine: MachineRecord) -> Iterator[Concern]:
    if machine.template:
        yield Concern(
            "template",
            Severity.ERROR,
            "it is a template, and a template has no snapshots",
            "convert it to a virtual machine, or deploy one from it",
        )
    if machine.connection != "connected":
        yield Concern(
            "not-connected",
            Severity.ERROR,
            f"vCenter has lost it: its connection state is {machine.connection}",
            "bring its host back, or remove the machine from the inventory and register it again",
        )
    if machine.encrypted:
        yield Concern(
            "encrypted",
            Severity.WARNING,
            "its home is encrypted; only VDDK, and an account with Cryptographer.Access, reads its disks in clear",
            "set `transport: vddk`, or decrypt the machine before it moves",
        )
    if not machine.tools_running and machine.powered_on:
        yield Concern(
            "no-tools",
            Severity.WARNING,
            "VMware Tools do not run, so its file systems cannot be quiesced: images are as after a power cut",
            "install open-vm-tools or VMware Tools, or shut the machine down for the final run",
        )
    if machine.consolidation_needed:
        yield Concern(
            "consolidation-needed",
            Severity.WARNING,
            "disks of removed snapshots are still in use; a run consolidates them before its own snapshot",
            "consolidate it now: Snapshots > Consolidate in the vSphere Client",
        )
    if machine.secure_boot:
        yield _common_concerns.SECURE_BOOT


def _tracking(machine: MachineRecord, config: VSphereConfig) -> Iterator[Concern]:
    if machine.cbt_enabled:
        return
    hardware = machine.hardware_version.removeprefix("vmx-")
    old = hardware.isdigit() and int(hardware) < _OLDEST_CBT_HARDWARE
    if old or not machine.cbt_supported:
        yield Concern(
            "cbt-unsupported",
            Severity.WARNING,
            f"it cannot track changed blocks (hardware {machine.hardware_version or 'unknown'}): each run reads whole disks",
            "upgrade its virtual hardware; runs still send only what differs",
        )
    elif config.enable_change_tracking and any(not is_ours(each) for each in machine.snapshots):
        yield Concern(
            "cbt-off-snapshots",
            Severity.WARNING,
            "changed block tracking is off, and cannot be turned on while it has snapshots: each run reads whole disks",
            "remove its snapshots; the next run then turns tracking on",
        )
    elif config.enable_change_tracking:
        yield Concern(
            "cbt-will-be-enabled",
            Severity.INFO,
            "changed block tracking is off; the first run turns it on, as the source allows",
            "nothing; ctkEnabled stays on the machine afterwards",
        )
    else:
        yield Concern(
            "cbt-off",
            Severity.WARNING,
            "changed block tracking is off: each run reads whole disks (and still sends only what differs)",
            "set `enableChangeTracking: true` on the source, or turn it on yourself",
        )


def _snapshots(machine: MachineRecord, config: VSphereConfig) -> Iterator[Concern]:
    foreign = [each.name for each in machine.snapshots if not is_ours(each)]
    if foreign:
        severity = Severity.ERROR if config.transport is Transport.HTTPS else Severity.WARNING
        named = ", ".join(foreign[:5]) + (", ..." if len(foreign) > 5 else "")
        how = "VDDK" if config.vddk else "a sequential export of whole disks"
        means = (
            "which `transport: https` cannot read" if severity is Severity.ERROR else f"so its disks are read by {how}"
        )
        yield Concern(
            "existing-snapshots",
            severity,
            f"it has {len(foreign)} snapshots already ({named}): its disks are chains of files, {means}",
            "remove them, if nobody needs them: Snapshots > Delete All in the vSphere Client",
        )


def _disks(machine: MachineRecord, config: VSphereConfig) -> Iterator[Concern]:
    if not machine.disks:
        yield _common_concerns.NO_DISKS
    for disk in machine.disks:
        yield from _disk(disk, config)
    yield from _common_concerns.too_many(len(machine.disks))


def _disk(disk: DiskRecord, config: VSphereConfig) -> Iterator[Concern]:
    name = f"{disk.label} ({disk.key})"
    if disk.backing == "rdm":
        yield Concern(
            "rdm-disk",
            Severity.ERROR,
            f"{name} is a raw device mapping, which snapshots leave out",
            "migrate it to a VMDK (Storage vMotion with a change of format), or detach it",
        )
    elif disk.mode.startswith("independent"):
        yield Concern(
            "independent-disk",
            Severity.ERROR,
            f"{name} is independent, so snapshots leave it out: no point in time would hold it",
            "power the machine off and make the disk dependent",
        )
    elif disk.backing == "other" or not disk.file:
        yield Concern(
            "unknown-disk",
            Severity.ERROR,
            f"{name} is of a kind that is not known here",
            "move it to a datastore of type VMFS or NFS as an ordinary virtual disk",
        )
    if disk.sharing:
        yield Concern(
            "shared-disk",
            Severity.ERROR,
            f"{name} is shared with other machines ({disk.sharing}), and such machines cannot be snapshotted",
            "end the sharing for the migration, or copy the data by other means",
        )
    yield from _common_concerns.odd_size(name, disk.size)
    yield from _common_concerns.too_large(name, disk.size)
    if disk.backing in ("sesparse", "sparse") and config.transport is Transport.HTTPS:
        yield Concern(
            "sparse-disk",
            Severity.ERROR,
            f"{name} is sparse ({disk.backing}), which `transport: https` cannot read",
            "set `transport: auto` or `vddk`",
        )


def _devices(machine: MachineRecord) -> Iterator[Concern]:
    told = {
        "usb": (
            "usb-device",
            Severity.WARNING,
            "a USB device is attached to it, which stays behind",
            "what needs it (a dongle, a licence) must find another way",
        ),
        "pci": (
            "passthrough-device",
            Severity.WARNING,
            "a PCI device is passed through to it, which stays behind and can keep snapshots from being taken",
            "detach it; choose an instance type that has such a device",
        ),
        "scsi": (
            "passthrough-device",
            Severity.ERROR,
            "a SCSI device is passed through to it, which snapshots leave out",
            "detach it",
        ),
    }
    for kind in machine.devices:
        yield _common_concerns.VTPM if kind == "tpm" else Concern(*told[kind])
