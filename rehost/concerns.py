"""Every concern that preflight can have, by its id: plain data, which the spec checks `ignore` against and docs/preflight.md is made from.

An id is for ever: specs name it. What a source or a check says of a server at hand is more exact than the meaning that stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ERROR, WARNING, INFO = "error", "warning", "info"
#: The gravest first.
SEVERITIES = (ERROR, WARNING, INFO)


@dataclass(frozen=True)
class Kind:
    """`severity` is the gravest that it comes with. What is not `ignorable` would fail all the same: ignoring it is an error of the spec."""

    id: str
    about: str
    severity: str
    meaning: str
    remedy: str
    ignorable: bool = True


#: What each part of docs/preflight.md is headed by, in its order.
ABOUT = {
    "source": "Any source",
    "images": "Sources of type images",
    "qemu": "Sources of type qemu",
    "vsphere": "Sources of type vsphere",
    "hyperv": "Sources of type hyperv",
    "azure": "Sources of type azure",
    "image": "Images",
    "launch": "Launches",
    "quota": "Quotas",
    "wave": "Waves and phases",
    "access": "Asking AWS",
}


def _kinds(about: str, *rows: tuple[str, str, str, str] | tuple[str, str, str, str, bool]) -> list[Kind]:
    """Errors of a source refuse the server, whatever anybody ignores."""
    return [Kind(row[0], about, row[1], row[2], row[3], row[4] if len(row) > 4 else row[1] != ERROR) for row in rows]


_ALL = [
    *_kinds(
        "source",
        ("source-refuses", ERROR, "the source refuses the server, or does not find it", "what its message says; `rehost discover SOURCE` lists what is there"),
        ("source-away", WARNING, "the source cannot be reached from this machine, so nothing is known of its servers", "run `rehost preflight` beside it, where its connector runs"),
        ("unsuitable", ERROR, "the source says that the server cannot be replicated", "put that right, or leave it out of the spec"),
        ("firmware-differs", WARNING, "the server's firmware is another one than the image's bootMode says, so it may not boot", "set `image: {bootMode: ...}` as the source has it"),
        ("smaller-than-source", INFO, "the instance type has fewer CPUs or less memory than the server", "choose a larger one, unless it is meant so"),
    ),
    *_kinds(
        "images",
        ("images-no-power", INFO, "whether a server runs on the images of a folder is not seen", "shut it down yourself before its cutover, and set `cutover: {power: keep}`"),
    ),
    *_kinds(
        "qemu",
        ("qemu-no-agent", WARNING, "no guest agent answers: images are as after a power cut", "install qemu-guest-agent, or make sure that databases recover from a power cut"),
        ("qemu-volatile-bitmap", WARNING, "a disk keeps no record of changes: after a restart of QEMU one run reads all of it", "convert it to qcow2 with compat=1.1, or accept it"),
        ("qemu-read-only-disk", WARNING, "a read-only disk is not copied", "make it writable, or copy it by itself"),
        ("qemu-removable-medium", INFO, "a removable medium is not copied", "nothing, if the server works without it"),
        ("qemu-unattached-drive", INFO, "a drive that belongs to no device is not copied", "nothing, if the server works without it"),
    ),
    *_kinds(
        "vsphere",
        ("template", ERROR, "templates have no snapshots", "convert it to a virtual machine, or deploy one from it"),
        ("not-connected", ERROR, "the machine is inaccessible, orphaned or disconnected", "bring its host back, or register it again"),
        ("missing-privileges", ERROR, "the account's role lacks what the page of its kind of source lists", "add the privileges to the role"),
        ("missing-power-privileges", WARNING, "the account's role does not let a cutover stop the machine", "add the privileges to the role, or set `cutover: {power: keep}`", True),
        ("no-disks", ERROR, "there is nothing to replicate", "leave it out of the spec"),
        ("rdm-disk", ERROR, "a raw device mapping is left out of snapshots", "migrate it to a VMDK, or detach it"),
        ("independent-disk", ERROR, "an independent disk is left out of snapshots", "power the machine off and make it dependent"),
        ("unknown-disk", ERROR, "a disk is of no known kind", "move it to a datastore of type VMFS or NFS"),
        ("shared-disk", ERROR, "a disk or its bus is shared with other machines", "end the sharing, or copy the data by other means"),
        ("odd-size", ERROR, "a disk's size is no multiple of 512 bytes", "grow it to a whole MiB"),
        ("sparse-disk", ERROR, "`transport: https` cannot read sparse disks", "set `transport: auto` or `vddk`"),
        ("existing-snapshots", ERROR, "it has snapshots already, so its disks are chains of files; an error with `transport: https`, else a warning", "remove them, if nobody needs them", True),
        ("passthrough-device", ERROR, "a device is passed through: an error for SCSI, a warning for PCI", "detach it", True),
        ("cbt-off", WARNING, "changed block tracking is off: each run reads whole disks", "set `enableChangeTracking: true`, or turn it on yourself"),
        ("cbt-off-snapshots", WARNING, "changed block tracking is off and cannot be turned on while there are snapshots", "remove the snapshots"),
        ("cbt-unsupported", WARNING, "it cannot track changed blocks: each run reads whole disks", "upgrade its virtual hardware"),
        ("cbt-will-be-enabled", INFO, "the first run turns changed block tracking on", "nothing"),
        ("no-tools", WARNING, "VMware Tools do not run: images are as after a power cut", "install them, or shut the machine down for the final run"),
        ("consolidation-needed", WARNING, "disks of removed snapshots are still in use", "consolidate it"),
        ("encrypted", WARNING, "only VDDK reads its disks in clear", "set `transport: vddk`, or decrypt it"),
        ("vtpm", WARNING, "the keys of its virtual TPM stay behind: BitLocker asks for its recovery key", "suspend BitLocker before the final run"),
        ("usb-device", WARNING, "a USB device stays behind", "what needs it must find another way"),
        ("secure-boot", INFO, "EC2 does not take over its Secure Boot keys", "turn it off in the image, or give the AMI UEFI data of its own"),
    ),
    *_kinds(
        "hyperv",
        ("hyperv-replica", ERROR, "it is a replica of Hyper-V Replica, which another host writes into", "replicate the primary machine, or fail over to this one first"),
        ("hyperv-pass-through-disk", ERROR, "a disk of the host is passed through, and checkpoints leave it out", "copy it into a VHDX"),
        ("hyperv-disk-unreadable", ERROR, "the host cannot look into a disk, or it has no file", "bring the file back, or detach the disk"),
        ("hyperv-4k-sectors", ERROR, "a disk has sectors of 4,096 bytes, and EBS volumes have 512: an error for the root disk, else a warning", "copy it to a disk of 512-byte sectors", True),
        ("hyperv-no-tracking", WARNING, "its host, or its configuration version, is too old for Resilient Change Tracking: each run reads whole disks", "move it to a newer host and upgrade its version, or accept it"),
        ("hyperv-no-integration-services", WARNING, "the integration service for backups is off: images are as after a power cut", "turn it on, and install the guest's services"),
        ("hyperv-checkpoints", WARNING, "it has checkpoints of somebody else: its disks are chains of files", "delete those that nobody needs"),
        ("hyperv-saved-state", WARNING, "it stands still, and what is in its memory is not on its disks", "start it, or shut it down, for the final run"),
        ("hyperv-shielded", WARNING, "it is shielded: its disks are encrypted with keys that stay behind", "have the BitLocker recovery key at hand"),
        ("hyperv-fibre-channel", WARNING, "what is on LUNs behind its virtual Fibre Channel adapter stays behind", "copy that data by other means"),
        ("hyperv-gpu", WARNING, "a part of a GPU is assigned to it, which stays behind", "choose an instance type with a GPU"),
        ("hyperv-tracking-off", INFO, "the source says `changeTracking: false`: each run reads whole disks", "leave it out of the source's entry"),
        ("hyperv-merging", INFO, "the disks of a removed checkpoint are being merged", "nothing"),
        ("hyperv-differencing-disk", INFO, "a disk is a differencing disk, and is read with its parent", "nothing, as long as nobody writes to the parent"),
        ("hyperv-storage-elsewhere", INFO, "a disk is on a file server, and is read from there", "let the account read that share"),
        ("hyperv-dynamic-memory", INFO, "its memory is dynamic", "choose the instance type by what it uses"),
    ),
    *_kinds(
        "azure",
        ("azure-ephemeral-disk", ERROR, "an ephemeral disk lies on the host and has no snapshots", "deploy the machine anew on a managed disk"),
        ("azure-unmanaged-disk", ERROR, "a disk is a VHD in a storage account, which has no such snapshots", "convert the machine to managed disks"),
        ("azure-disk-encryption", ERROR, "a disk is encrypted inside the guest by Azure Disk Encryption", "disable it, and use encryption at host instead"),
        ("azure-confidential-disk", ERROR, "a disk is encrypted with a key that only its confidential machine has", "move what is on it by other means"),
        ("azure-export-denied", ERROR, "a disk's network access is DenyAll, so it may not be exported", "allow it for the migration"),
        ("azure-no-common-moment", ERROR, "nothing takes all of its disks at one moment while it runs", "install the Azure VM agent, or shut the machine down for its runs"),
        ("azure-private-export", WARNING, "a disk may be exported through private endpoints alone", "run the connector where it reaches them"),
        ("azure-no-agent", WARNING, "the Azure VM agent does not answer: images are as after a power cut", "install it, or shut the machine down for the final run"),
        ("azure-disks-apart", WARNING, "Azure does not promise one moment for the data disks of its size without its agent", "set `quiesce: require`, or shut it down for the final run"),
        ("azure-write-cache", WARNING, "the host caches writes to a data disk", "set `quiesce: require`, or its host caching to ReadOnly"),
        ("azure-4k-sectors", WARNING, "a disk has logical sectors of 4096 bytes, and EC2's volumes 512", "move its data to one with 512, or make its partition table anew"),
        ("azure-arm64", WARNING, "its processor is an ARM64, which VM import does not take", "choose Graviton, and `conversion: register`"),
        ("azure-slow-snapshot", INFO, "snapshots of Ultra and Premium SSD v2 disks can be read only when Azure has copied them", "nothing; `snapshotTimeout` has to be long enough"),
        ("azure-customer-key", INFO, "a disk is encrypted with a key of yours in Key Vault", "keep the key until the migration is done"),
        ("azure-restore-points", INFO, "Azure supports a crash-consistent restore point an hour, an application-consistent one every three", "a schedule of some hours"),
        ("azure-temporary-disk", INFO, "its temporary disk stays behind", "put what is there on another disk"),
        ("azure-marketplace", INFO, "it was made of an image of the Marketplace, whose licence does not move", "ask its vendor"),
        ("azure-license", INFO, "it uses a licence of your own", "set `image: {license: byol}` if it may be used in AWS"),
        ("azure-off", INFO, "it does not run", "nothing"),
    ),
    *_kinds(
        "image",
        ("too-many-disks", WARNING, "it has more disks than VM import takes (21)", "set `image: {conversion: register}`"),
        ("disk-too-large-for-import", WARNING, "a disk is larger than VM import takes (16 TiB)", "set `image: {conversion: register}`"),
        ("disk-too-large", ERROR, "a disk is larger than an EBS volume can be (64 TiB)", "split it"),
        ("import-role", ERROR, "the role of VM import does not exist, or VM import may not assume it", "make it as docs/security.md has it, or use `conversion: register`"),
        ("kms-key", ERROR, "the KMS key does not exist in the region, is not enabled, is to be deleted, or is of a kind that EBS does not take", "name another one, or enable it"),
        ("kms-key-denied", ERROR, "these credentials may not use the KMS key, so EBS may not for them", "add the statements of docs/policies/kms-key-statements.json to the key's policy", True),
        ("kms-key-shared", ERROR, "the image is shared with accounts, and AWS's own key cannot be", "make a key of your own and name it, or leave shareWith out"),
    ),
    *_kinds(
        "launch",
        ("no-launch-config", WARNING, "the server has no launch config, which the phase test needs", "give it one"),
        ("instance-type", ERROR, "the instance type does not exist in the region", "see `aws ec2 describe-instance-types`"),
        ("instance-type-zone", ERROR, "the instance type is not offered in the subnet's zone", "choose another type, or a subnet in another zone"),
        ("instance-type-processor", ERROR, "the instance type has another processor than the image", "choose one of the image's architecture"),
        ("instance-type-firmware", ERROR, "the instance type does not boot by the image's firmware", "choose another type, or another bootMode"),
        ("instance-type-drivers", ERROR, "the instance type needs an ENA driver, which the image is said to lack (`ena: false`)", "choose an older type, or install the driver"),
        ("instance-type-tpm", ERROR, "the instance type has no NitroTPM, which the image asks for", "choose another type, or leave `tpm` out"),
        ("subnet", ERROR, "the subnet does not exist in the region", "name one that does"),
        ("no-default-subnet", ERROR, "the launch config names no subnet, and the account has no default VPC", "name a subnet"),
        ("subnet-full", ERROR, "the subnet has fewer free addresses than servers are to be launched into it", "choose a larger subnet, or spread the servers over several", True),
        ("private-ip", ERROR, "the private address is outside of the subnet, or one of the five that AWS keeps for itself", "choose another address, or another subnet"),
        ("private-ip-twice", ERROR, "two servers are to have one private address in one subnet", "give each its own"),
        ("security-group", ERROR, "a security group does not exist in the region", "name one that does"),
        ("security-group-vpc", ERROR, "a security group belongs to another VPC than the subnet", "name one of the subnet's VPC"),
        ("key-pair", ERROR, "the key pair does not exist in the region", "import it, or name another one"),
        ("instance-profile", ERROR, "the instance profile does not exist", "make it, or name another one"),
        ("instance-profile-empty", WARNING, "the instance profile has no role in it, so the instance gets no credentials", "add a role to it"),
        ("duplicate-name", WARNING, "another instance, which is not this stack's, has the server's name", "make sure that it is another machine, or rename the server"),
    ),
    *_kinds(
        "quota",
        ("vcpu-quota", ERROR, "the account's quota of vCPUs for running On-Demand instances of these families does not hold what is to be launched beside what runs", "ask for a higher one in Service Quotas; that can take days", True),
        ("volume-quota", ERROR, "the account's quota of EBS storage of this volume type does not hold the disks of what is to be launched", "ask for a higher one in Service Quotas", True),
        ("snapshot-quota", WARNING, "the snapshots that the schedules keep are more than half of what the account may have in the region", "ask for a higher quota in Service Quotas, or keep fewer images"),
    ),
    *_kinds(
        "wave",
        ("window-not-open", WARNING, "the window of the application's wave has not opened yet; in phase cutover `pulumi up` refuses the step until then, else it is an info", "wait until it opens", False),
        ("window-closed", ERROR, "the window of the application's wave has closed; an error in phase cutover, else a warning", "agree on another window and declare it", False),
        ("wave-before", WARNING, "the wave comes after one whose applications are not all cut over; in phase cutover `pulumi up` refuses the step until they are, else it is an info", "cut those over first", False),
        ("wave-busy", WARNING, "as many applications of the wave as its `concurrency` allows are being cut over; `pulumi up` refuses another one", "wait for one of them", False),
    ),
    *_kinds(
        "access",
        ("cannot-ask", WARNING, "the credentials may not ask AWS this, so it is not checked", "allow it, as docs/policies/operator.json does"),
    ),
]  # fmt: skip

KINDS: Mapping[str, Kind] = {each.id: each for each in _ALL}
