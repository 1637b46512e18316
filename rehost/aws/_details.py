"""Everything about running instances that a hand-over writes down: disks, interfaces, addresses. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rehost.aws._errors import translated
from rehost.aws._session import Session
from rehost.aws._tags import SERVER_TAG, STACK_TAG, from_list

_GONE = ("shutting-down", "terminated")
#: Tags of AWS's own begin so; nobody else can set them.
_RESERVED = "aws:"
_TEMPLATE_TAG = "aws:ec2launchtemplate:id"


@dataclass(frozen=True)
class VolumeDetails:
    id: str
    device: str
    is_root: bool
    size_gib: int
    type: str
    zone: str
    iops: int | None = None  # None where the type has none to set
    throughput: int | None = None  # MiB/s
    encrypted: bool = False
    kms_key: str | None = None
    snapshot: str | None = None
    delete_on_termination: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class InterfaceDetails:
    id: str
    device_index: int
    subnet: str
    private_ips: tuple[str, ...]  # the primary one first
    security_groups: tuple[str, ...]
    description: str = ""
    source_dest_check: bool = True
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AddressDetails:
    """An elastic IP address; the public address that EC2 lends an instance is none."""

    allocation_id: str
    public_ip: str
    interface: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class InstanceDetails:
    server: str
    id: str
    state: str
    image: str
    type: str
    zone: str
    tenancy: str = "default"
    key_name: str | None = None
    instance_profile: str | None = None  # its name
    placement_group: str | None = None
    ebs_optimized: bool = False
    monitoring: bool = False
    hibernation: bool = False
    protected: bool = False
    from_template: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)  # EC2's MetadataOptions
    interfaces: tuple[InterfaceDetails, ...] = ()  # by device index
    volumes: tuple[VolumeDetails, ...] = ()  # the root first
    addresses: tuple[AddressDetails, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


class Details:
    def __init__(self, session: Session) -> None:
        self._ec2 = session.client("ec2")

    def of_servers(self, stack: str, servers: Sequence[str]) -> list[InstanceDetails]:
        """The instances of these servers of the stack that are not terminated, by server. User data is not asked for."""
        filters = [
            {"Name": f"tag:{STACK_TAG}", "Values": [stack]},
            {"Name": f"tag:{SERVER_TAG}", "Values": list(servers)},
        ]
        found: list[dict[str, Any]] = []
        with translated():
            for page in self._ec2.get_paginator("describe_instances").paginate(Filters=filters):
                for reservation in page["Reservations"]:
                    found += [each for each in reservation["Instances"] if each["State"]["Name"] not in _GONE]
        return sorted(map(self._details, found), key=lambda each: (each.server, each.id))

    def _details(self, instance: dict[str, Any]) -> InstanceDetails:
        instance_id = instance["InstanceId"]
        tags = from_list(instance.get("Tags"))
        with translated():
            protection = self._ec2.describe_instance_attribute(
                InstanceId=instance_id, Attribute="disableApiTermination"
            )
        interfaces = self._interfaces(instance)
        placement = instance.get("Placement", {})
        profile = instance.get("IamInstanceProfile", {}).get("Arn")
        return InstanceDetails(
            server=tags[SERVER_TAG],
            id=instance_id,
            state=instance["State"]["Name"],
            image=instance["ImageId"],
            type=instance["InstanceType"],
            zone=placement["AvailabilityZone"],
            tenancy=placement.get("Tenancy") or "default",
            key_name=instance.get("KeyName") or None,
            instance_profile=profile.rsplit("/", 1)[1] if profile else None,
            placement_group=placement.get("GroupName") or None,
            ebs_optimized=bool(instance.get("EbsOptimized")),
            monitoring=instance.get("Monitoring", {}).get("State") in ("enabled", "pending"),
            hibernation=bool(instance.get("HibernationOptions", {}).get("Configured")),
            protected=bool(protection.get("DisableApiTermination", {}).get("Value")),
            from_template=_TEMPLATE_TAG in tags,
            metadata=dict(instance.get("MetadataOptions", {})),
            interfaces=interfaces,
            volumes=self._volumes(instance),
            addresses=self._addresses(interfaces),
            tags=_own(tags),
        )

    def _volumes(self, instance: Mapping[str, Any]) -> tuple[VolumeDetails, ...]:
        root = instance.get("RootDeviceName")
        attached = {each["Ebs"]["VolumeId"]: each for each in instance.get("BlockDeviceMappings", ()) if "Ebs" in each}
        if not attached:
            return ()
        with translated():
            answer = self._ec2.describe_volumes(VolumeIds=list(attached))["Volumes"]
        found = []
        for volume in answer:
            device, volume_type = attached[volume["VolumeId"]]["DeviceName"], volume["VolumeType"]
            found.append(
                VolumeDetails(
                    id=volume["VolumeId"],
                    device=device,
                    is_root=device == root,
                    size_gib=volume["Size"],
                    type=volume_type,
                    zone=volume["AvailabilityZone"],
                    # EC2 tells the figures of every type, and takes them for these alone.
                    iops=volume.get("Iops") if volume_type in ("gp3", "io1", "io2") else None,
                    throughput=volume.get("Throughput") if volume_type == "gp3" else None,
                    encrypted=volume["Encrypted"],
                    kms_key=volume.get("KmsKeyId") or None,
                    snapshot=volume.get("SnapshotId") or None,
                    delete_on_termination=bool(attached[volume["VolumeId"]]["Ebs"].get("DeleteOnTermination")),
                    tags=_own(from_list(volume.get("Tags"))),
                )
            )
        return tuple(sorted(found, key=lambda each: (not each.is_root, each.device)))

    def _interfaces(self, instance: Mapping[str, Any]) -> tuple[InterfaceDetails, ...]:
        seen = sorted(
            (each for each in instance.get("NetworkInterfaces", ()) if each.get("Attachment")),
            key=lambda each: int(each["Attachment"]["DeviceIndex"]),
        )
        tags = self._interface_tags([each["NetworkInterfaceId"] for each in seen[1:]])
        return tuple(
            InterfaceDetails(
                id=each["NetworkInterfaceId"],
                device_index=int(each["Attachment"]["DeviceIndex"]),
                subnet=each["SubnetId"],
                private_ips=tuple(
                    address["PrivateIpAddress"]
                    for address in sorted(each["PrivateIpAddresses"], key=lambda one: not one.get("Primary"))
                ),
                security_groups=tuple(sorted(group["GroupId"] for group in each.get("Groups", ()))),
                description=each.get("Description") or "",
                source_dest_check=bool(each.get("SourceDestCheck", True)),
                tags=tags.get(each["NetworkInterfaceId"], {}),
            )
            for each in seen
        )

    def _interface_tags(self, ids: Sequence[str]) -> dict[str, dict[str, str]]:
        """The first interface is part of its instance; only further ones are resources of their own."""
        if not ids:
            return {}
        with translated():
            answer = self._ec2.describe_network_interfaces(NetworkInterfaceIds=list(ids))["NetworkInterfaces"]
        return {each["NetworkInterfaceId"]: _own(from_list(each.get("TagSet"))) for each in answer}

    def _addresses(self, interfaces: Sequence[InterfaceDetails]) -> tuple[AddressDetails, ...]:
        if not interfaces:
            return ()
        filters = [{"Name": "network-interface-id", "Values": [each.id for each in interfaces]}]
        with translated():
            answer = self._ec2.describe_addresses(Filters=filters)["Addresses"]
        return tuple(
            AddressDetails(
                each["AllocationId"], each["PublicIp"], each["NetworkInterfaceId"], _own(from_list(each.get("Tags")))
            )
            for each in sorted(answer, key=lambda one: str(one["PublicIp"]))
        )


def _own(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in sorted(tags.items()) if not key.startswith(_RESERVED)}
