"""What runs as a list of resources that Pulumi's AWS provider and Terraform's both know.

Pulumi's provider is made from Terraform's: the properties have the same names and the imports the same ids, so one list serves
both writers. Ids are those of the "Import" sections in the provider's documentation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

from rehost.aws import InstanceDetails, InterfaceDetails, VolumeDetails


class Kind(Enum):
    """Terraform's type, Pulumi's type token, and the class in `pulumi_aws`."""

    INSTANCE = ("aws_instance", "aws:ec2/instance:Instance", "aws.ec2.Instance")
    VOLUME = ("aws_ebs_volume", "aws:ebs/volume:Volume", "aws.ebs.Volume")
    ATTACHMENT = ("aws_volume_attachment", "aws:ec2/volumeAttachment:VolumeAttachment", "aws.ec2.VolumeAttachment")
    INTERFACE = ("aws_network_interface", "aws:ec2/networkInterface:NetworkInterface", "aws.ec2.NetworkInterface")
    ADDRESS = ("aws_eip", "aws:ec2/eip:Eip", "aws.ec2.Eip")

    @property
    def terraform(self) -> str:
        return self.value[0]

    @property
    def token(self) -> str:
        return self.value[1]

    @property
    def python(self) -> str:
        return self.value[2]


@dataclass(frozen=True)
class Ref:
    """The id of another piece."""

    to: Piece


class Block(dict[str, Any]):
    """A nested block of Terraform; a mapping without it, such as tags, is a value."""


Value: TypeAlias = "str | int | bool | list[str] | dict[str, str] | Block | Ref"


@dataclass(frozen=True, eq=False)
class Piece:
    kind: Kind
    name: str  # unique among those of its kind; letters, digits, - and _
    id: str  # what an import takes
    properties: Mapping[str, Value]  # by Terraform's names
    ignored: tuple[str, ...] = ()  # properties whose value is not written, and not to be changed
    remarks: tuple[str, ...] = field(default=())


def pieces_of(instances: Iterable[InstanceDetails]) -> list[Piece]:
    """Each instance followed by what belongs to it; a piece comes after those that it refers to."""
    found: list[Piece] = []
    names: set[str] = set()
    for instance in instances:
        found += _pieces(instance, _name(instance.server, names))
    return found


def _pieces(instance: InstanceDetails, name: str) -> Iterator[Piece]:
    machine = _instance(instance, name)
    yield machine
    used: set[str] = {name}
    for volume in instance.volumes:
        if not volume.is_root:
            yield from _volume(volume, instance, machine, _name(f"{name}-{volume.device.rsplit('/', 1)[-1]}", used))
    interfaces = {}
    for interface in instance.interfaces[1:]:
        each = _interface(interface, machine, f"{name}-eth{interface.device_index}")
        interfaces[interface.id] = each
        yield each
    for number, address in enumerate(instance.addresses, 1):
        on = interfaces.get(address.interface)
        yield Piece(
            Kind.ADDRESS,
            f"{name}-eip{number}",
            address.allocation_id,
            {
                "domain": "vpc",
                **({"network_interface": Ref(on)} if on else {"instance": Ref(machine)}),
                "tags": dict(address.tags),
            },
        )


def _instance(instance: InstanceDetails, name: str) -> Piece:
    first = instance.interfaces[0] if instance.interfaces else None
    network: dict[str, Value | None] = {}
    if first is not None:
        network = {
            "subnet_id": first.subnet,
            "private_ip": first.private_ips[0],
            "secondary_private_ips": list(first.private_ips[1:]) or None,
            "vpc_security_group_ids": list(first.security_groups),
            "source_dest_check": None if first.source_dest_check else False,
        }
    root = next((volume for volume in instance.volumes if volume.is_root), None)
    properties: dict[str, Value | None] = {
        "ami": instance.image,
        "instance_type": instance.type,
        **network,
        "availability_zone": None if first else instance.zone,
        "tenancy": instance.tenancy if instance.tenancy != "default" else None,
        "placement_group": instance.placement_group,
        "key_name": instance.key_name,
        "iam_instance_profile": instance.instance_profile,
        "ebs_optimized": instance.ebs_optimized or None,
        "monitoring": instance.monitoring or None,
        "hibernation": instance.hibernation or None,
        "disable_api_termination": instance.protected,
        "metadata_options": _metadata(instance.metadata),
        "root_block_device": _root(root) if root else None,
        "tags": dict(instance.tags),
    }
    ignored = ("user_data", "user_data_base64", *(["launch_template"] if instance.from_template else []))
    remark = "User data is left out: it may hold a secret, and it has done its work. It is ignored, not removed."
    return Piece(Kind.INSTANCE, name, instance.id, _set(properties), ignored, (remark,))


def _metadata(options: Mapping[str, Any]) -> Block | None:
    values = {
        "http_endpoint": options.get("HttpEndpoint"),
        "http_tokens": options.get("HttpTokens"),
        "http_put_response_hop_limit": options.get("HttpPutResponseHopLimit"),
        "instance_metadata_tags": options.get("InstanceMetadataTags"),
    }
    return Block(_set(values)) or None


def _root(volume: VolumeDetails) -> Block:
    return Block(
        _set(
            {
                "volume_type": volume.type,
                "volume_size": volume.size_gib,
                "iops": volume.iops,
                "throughput": volume.throughput,
                "encrypted": volume.encrypted,
                "kms_key_id": volume.kms_key,
                "delete_on_termination": volume.delete_on_termination,
                "tags": dict(volume.tags) or None,
            }
        )
    )


def _volume(volume: VolumeDetails, instance: InstanceDetails, machine: Piece, name: str) -> Iterator[Piece]:
    disk = Piece(
        Kind.VOLUME,
        name,
        volume.id,
        _set(
            {
                "availability_zone": volume.zone,
                "size": volume.size_gib,
                "type": volume.type,
                "iops": volume.iops,
                "throughput": volume.throughput,
                "encrypted": volume.encrypted,
                "kms_key_id": volume.kms_key,
                "snapshot_id": volume.snapshot,
                "tags": dict(volume.tags),
            }
        ),
    )
    yield disk
    yield Piece(
        Kind.ATTACHMENT,
        name,
        f"{volume.device}:{volume.id}:{instance.id}",
        {"device_name": volume.device, "volume_id": Ref(disk), "instance_id": Ref(machine)},
    )


def _interface(interface: InterfaceDetails, machine: Piece, name: str) -> Piece:
    properties: dict[str, Value | None] = {
        "subnet_id": interface.subnet,
        "private_ips": list(interface.private_ips),
        "security_groups": list(interface.security_groups),
        "description": interface.description or None,
        "source_dest_check": None if interface.source_dest_check else False,
        "attachment": Block(instance=Ref(machine), device_index=interface.device_index),
        "tags": dict(interface.tags),
    }
    return Piece(Kind.INTERFACE, name, interface.id, _set(properties))


def _set(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _name(wanted: str, taken: set[str]) -> str:
    """As near to the wanted one as both languages allow, and not taken; it is added to those that are."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "-", wanted)
    if not re.match(r"[A-Za-z_]", plain):
        plain = f"_{plain}"
    candidate, number = plain, 1
    while candidate in taken:
        number += 1
        candidate = f"{plain}-{number}"
    taken.add(candidate)
    return candidate
