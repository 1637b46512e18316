"""What is asked of EC2 when an instance is launched, as the arguments of RunInstances. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rehost.aws._errors import Refused
from rehost.aws._tags import specification


@dataclass(frozen=True)
class VolumeSettings:
    """Of one disk; what is None is as the image has it."""

    type: str | None = None
    iops: int | None = None
    throughput: int | None = None  # MiB/s
    kms_key: str | None = None  # id, alias or ARN; it encrypts the volume

    def over(self, default: VolumeSettings) -> VolumeSettings:
        """These, and the default's where these say nothing. Another type has figures of its own."""
        same = self.type in (None, default.type)
        return VolumeSettings(
            self.type or default.type,
            self.iops or (default.iops if same else None),
            self.throughput or (default.throughput if same else None),
            self.kms_key or default.kms_key,
        )


@dataclass(frozen=True)
class Interface:
    """A network interface beside the first one."""

    subnet: str | None = None
    security_groups: tuple[str, ...] = ()
    private_ip: str | None = None
    description: str | None = None


@dataclass(frozen=True)
class LaunchRequest:
    token: str  # the same one never launches a second instance while the first lives
    image_id: str
    instance_type: str | None = None  # None: the launch template's
    subnet: str | None = None
    security_groups: tuple[str, ...] = ()
    key_name: str | None = None
    instance_profile: str | None = None
    user_data: str | None = None
    private_ip: str | None = None
    public_ip: bool | None = None
    description: str | None = None  # of the first network interface
    interfaces: tuple[Interface, ...] = ()
    volume: VolumeSettings = field(default_factory=VolumeSettings)  # of all disks
    volumes: Mapping[int, VolumeSettings] = field(default_factory=dict)  # by number; the root disk is 1
    imdsv2: str = "required"
    hop_limit: int | None = None
    tenancy: str | None = None
    zone: str | None = None
    placement_group: str | None = None
    host: str | None = None
    template: Mapping[str, str] | None = None  # id or name, and version
    termination_protection: bool = False
    started: bool = True  # False: it is stopped once it ran
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def sets_volumes(self) -> bool:
        return self.volume != VolumeSettings() or bool(self.volumes)


def arguments(
    request: LaunchRequest, tags: Mapping[str, str], *, root: str = "", devices: Sequence[str] = ()
) -> dict[str, Any]:
    """Of RunInstances. `devices` are those of the image's EBS disks; needed where the request sets volumes.

    Raises `Refused` for a disk that the image does not have.
    """
    kinds = ("instance", "volume", "network-interface")
    found: dict[str, Any] = {
        "ImageId": request.image_id,
        "InstanceType": request.instance_type,
        "KeyName": request.key_name,
        "UserData": request.user_data,
        "MinCount": 1,
        "MaxCount": 1,
        "MetadataOptions": _set(
            HttpTokens=request.imdsv2, HttpEndpoint="enabled", HttpPutResponseHopLimit=request.hop_limit
        ),
        "TagSpecifications": [specification(kind, tags) for kind in kinds],
        "Placement": _set(
            AvailabilityZone=request.zone,
            GroupName=request.placement_group,
            HostId=request.host,
            Tenancy=request.tenancy,
        ),
        "NetworkInterfaces": _interfaces(request),
        "LaunchTemplate": _template(request.template),
        "DisableApiTermination": request.termination_protection or None,
    }
    if request.instance_profile:
        found["IamInstanceProfile"] = profile(request.instance_profile)
    if request.sets_volumes:
        found["BlockDeviceMappings"] = _mappings(request, ordered(root, devices))
    return {key: value for key, value in found.items() if value not in (None, "", {}, [])}


def profile(name: str) -> dict[str, str]:
    """An instance profile by name or ARN, as EC2 takes it."""
    return {"Arn" if name.startswith("arn:") else "Name": name}


def ordered(root: str, devices: Sequence[str]) -> list[str]:
    """The root device first, the others by name: disk 1, disk 2 and so on of a launch config."""
    return sorted(devices, key=lambda device: (device != root, device))


def settings_of(number: int, default: VolumeSettings, each: Mapping[int, VolumeSettings]) -> VolumeSettings:
    return each.get(number, VolumeSettings()).over(default)


def _interfaces(request: LaunchRequest) -> list[dict[str, Any]]:
    first = _set(
        SubnetId=request.subnet,
        PrivateIpAddress=request.private_ip,
        Groups=list(request.security_groups) or None,
        AssociatePublicIpAddress=request.public_ip,
        Description=request.description,
    )
    others = [
        _set(
            SubnetId=each.subnet,
            PrivateIpAddress=each.private_ip,
            Groups=list(each.security_groups) or None,
            Description=each.description,
        )
        for each in request.interfaces
    ]
    if not first and not others:
        return []
    # An interface that a launch makes goes with its instance only where that is said (EC2 API, InstanceNetworkInterfaceSpecification).
    return [{"DeviceIndex": index, "DeleteOnTermination": True, **each} for index, each in enumerate([first, *others])]


def _template(template: Mapping[str, str] | None) -> dict[str, str]:
    if not template:
        return {}
    names = {"id": "LaunchTemplateId", "name": "LaunchTemplateName", "version": "Version"}
    return {names[key]: value for key, value in template.items()}


def _mappings(request: LaunchRequest, devices: Sequence[str]) -> list[dict[str, Any]]:
    beyond = [number for number in request.volumes if number > len(devices)]
    if beyond:
        raise Refused(
            operation="RunInstances",
            code="NoSuchDisk",
            message=f"the launch config sets disk-{beyond[0]}, and image {request.image_id} has {len(devices)} disks",
        )
    found = []
    for number, device in enumerate(devices, 1):
        wanted = settings_of(number, request.volume, request.volumes)
        ebs = _set(
            VolumeType=wanted.type,
            Iops=wanted.iops,
            Throughput=wanted.throughput,
            KmsKeyId=wanted.kms_key,
            Encrypted=True if wanted.kms_key else None,
        )
        if ebs:
            found.append({"DeviceName": device, "Ebs": ebs})
    return found


def _set(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
