"""What moto's EC2 leaves out of a launch: placement groups and tenancy, protection, interfaces' and volumes' own settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.exceptions import EC2ClientError

from sandbox._requests import backend, tags_of

_STRATEGIES = ("cluster", "spread", "partition")


def check_launch(region: str, asked: Mapping[str, Any], devices: Sequence[str]) -> None:
    """What RunInstances refuses before it makes anything (EC2 API reference); moto would make half of it, or all."""
    interfaces = asked.get("NetworkInterfaces", [])
    zones = set()
    for each in interfaces:
        if each.get("AssociatePublicIpAddress") is not None and len(interfaces) > 1:
            raise EC2ClientError(
                "InvalidParameterCombination",
                "The associatePublicIPAddress parameter cannot be specified when launching with multiple network interfaces.",
            )
        subnet = backend(region).get_subnet(each["SubnetId"]) if each.get("SubnetId") else None
        if subnet is not None:
            zones.add(subnet.availability_zone)
    placement = asked.get("Placement", {})
    zones |= {placement["AvailabilityZone"]} if placement.get("AvailabilityZone") else set()
    if len(zones) > 1:
        raise EC2ClientError("InvalidParameterValue", f"Subnets and placement are in {' and '.join(sorted(zones))}.")
    group = placement.get("GroupName")
    if group and group not in groups(region):
        raise EC2ClientError("InvalidPlacementGroup.Unknown", f"The placement group '{group}' is unknown.")
    for each in asked.get("BlockDeviceMappings", []):
        ebs = each.get("Ebs", {})
        if ebs.get("VolumeType") in ("io1", "io2") and not ebs.get("Iops"):
            raise EC2ClientError("MissingParameter", "The parameter iops must be specified for io1 and io2 volumes.")
        if ebs.get("Throughput") and ebs.get("VolumeType") != "gp3":
            raise EC2ClientError("InvalidParameterCombination", "The parameter throughput is for gp3 volumes.")
        if devices and each["DeviceName"] not in devices and not ebs.get("VolumeSize"):
            raise EC2ClientError("MissingParameter", "The request must contain the parameter size or snapshotId")


def complete_launch(region: str, asked: Mapping[str, Any], instances: Sequence[Any]) -> None:
    """Give the instances what moto leaves out."""
    placement = asked.get("Placement", {})
    by_device = {each["DeviceName"]: each.get("Ebs", {}) for each in asked.get("BlockDeviceMappings", [])}
    for instance in instances:
        instance.placement.group_name = placement.get("GroupName", "")
        instance.placement.tenancy = placement.get("Tenancy", "default")
        instance.disable_api_termination = bool(asked.get("DisableApiTermination"))
        if not asked.get("NetworkInterfaces"):
            instance.nics[0].delete_on_termination = True  # as EC2 makes the first one, unless it is told otherwise
        for nic in instance.nics.values():
            nic.add_tags(tags_of(asked, "network-interface"))
        for device, attached in instance.block_device_mapping.items():
            volume = backend(region).get_volume(attached.volume_id)
            ebs = by_device.get(device, {})
            if ebs.get("VolumeType"):
                volume.volume_type = ebs["VolumeType"]
            if ebs.get("Iops"):
                volume.iops = int(ebs["Iops"])
            if ebs.get("Throughput"):
                volume.throughput = int(ebs["Throughput"])


def makeable(ebs: Mapping[str, Any]) -> dict[str, Any]:
    """As moto can make it: it forgets the IOPS of a launch, and then misses them. `complete_launch` puts both right."""
    return {**ebs, "VolumeType": "gp3"} if ebs.get("VolumeType") in ("io1", "io2") else dict(ebs)


def groups(region: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = backend(region).__dict__.setdefault("placement_groups", {})
    return found


def placing_methods() -> dict[str, Any]:
    def create_placement_group(self: Any) -> ActionResult:
        name, strategy = self._get_param("GroupName"), self._get_param("Strategy") or "cluster"
        if strategy not in _STRATEGIES:
            raise EC2ClientError("InvalidParameterValue", f"Strategy can be {', '.join(_STRATEGIES)}.")
        if name in groups(self.region):
            raise EC2ClientError("InvalidPlacementGroup.Duplicate", f"The placement group '{name}' already exists.")
        made = {
            "GroupName": name,
            "Strategy": strategy,
            "State": "available",
            "GroupId": f"pg-{len(groups(self.region)):017x}",
        }
        groups(self.region)[name] = made
        return ActionResult({"PlacementGroup": made})

    def describe_placement_groups(self: Any) -> ActionResult:
        names = self._get_param("GroupNames", [])
        known = groups(self.region)
        for name in names:
            if name not in known:
                raise EC2ClientError("InvalidPlacementGroup.Unknown", f"The placement group '{name}' is unknown.")
        return ActionResult({"PlacementGroups": [each for name, each in known.items() if not names or name in names]})

    def delete_placement_group(self: Any) -> EmptyResult:
        name = self._get_param("GroupName")
        if groups(self.region).pop(name, None) is None:
            raise EC2ClientError("InvalidPlacementGroup.Unknown", f"The placement group '{name}' is unknown.")
        return EmptyResult()

    return {
        "create_placement_group": create_placement_group,
        "describe_placement_groups": describe_placement_groups,
        "delete_placement_group": delete_placement_group,
    }
