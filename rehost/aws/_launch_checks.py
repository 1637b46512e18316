"""What EC2 can be asked of a launch before it: everything that does not exist or does not fit, all at once."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

from rehost.aws._errors import AwsError, NotFound, translated
from rehost.aws._instance_types import InstanceTypes
from rehost.aws._launch import Interface
from rehost.aws._session import Session
from rehost.aws._tags import from_list

T = TypeVar("T")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def is_kept_by_aws(address: Address, network: Network) -> bool:
    """The first four addresses of a subnet and the last one (VPC user guide, "Subnet sizing")."""
    return int(address) - int(network.network_address) < 4 or address == network.broadcast_address


@dataclass(frozen=True)
class Problem:
    """One argument that AWS does not know or does not take."""

    field: str  # as the spec calls it
    message: str


@dataclass(frozen=True)
class Asked:
    """Of a launch; what is None or empty is not looked at."""

    instance_type: str | None = None
    subnet: str | None = None
    security_groups: Sequence[str] = ()
    key_name: str | None = None
    instance_profile: str | None = None
    private_ip: str | None = None
    interfaces: Sequence[Interface] = ()
    zone: str | None = None
    placement_group: str | None = None
    host: str | None = None
    template: Mapping[str, str] | None = None
    owner: Mapping[str, str] | None = (
        None  # tags: an instance that has them all gives its addresses back before the launch
    )


class LaunchChecks:
    def __init__(self, session: Session, types: InstanceTypes) -> None:
        self._session = session
        self._ec2 = session.client("ec2")
        self._types = types
        self._known: dict[Hashable, Any] = {}

    def problems(self, asked: Asked) -> list[Problem]:
        """Raises `AwsError` only where asking again may help."""
        found: list[Problem] = []
        subnet = self._subnet("subnet", asked.subnet, found)
        zone = str(subnet["AvailabilityZone"]) if subnet else asked.zone
        if subnet and asked.zone not in (None, zone):
            found.append(Problem("placement", f"subnet {asked.subnet} is in {zone}, not in {asked.zone}"))
        for field, key, check in self._existing(asked):
            self._try(field, partial(self._once, key, check), found)
        if asked.instance_type and zone and not any(each.field in ("instanceType", "placement") for each in found):
            offered = partial(self._require_offered, asked.instance_type, zone)
            self._try("instanceType", partial(self._once, ("offered", asked.instance_type, zone), offered), found)
        found += self._addresses("privateIp", subnet, asked.private_ip, asked.owner)
        found += self._group_problems("securityGroups", subnet, asked.security_groups)
        for number, each in enumerate(asked.interfaces, 2):
            found += self._interface(number, each, zone, asked.owner)
        return found

    def _once(self, key: Hashable, ask: Callable[[], T]) -> T:
        """The answer for all launches of this process: a wave of servers has a few types and keys. A refusal is not kept."""
        if key not in self._known:
            self._known[key] = ask()
        return cast(T, self._known[key])

    def _groups(self, groups: Sequence[str]) -> dict[str, Any]:
        found: dict[str, Any] = self._ec2.describe_security_groups(GroupIds=list(groups))
        return found

    def zone_of(self, subnet: str) -> str:
        """Raises `AwsError`."""
        with translated():
            return str(self._ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["AvailabilityZone"])

    def _existing(self, asked: Asked) -> Iterator[tuple[str, Hashable, Callable[[], Any]]]:
        if asked.instance_type:
            types = [asked.instance_type]
            yield "instanceType", ("type", *types), lambda: self._ec2.describe_instance_types(InstanceTypes=types)
        if asked.security_groups and not asked.subnet:
            yield "securityGroups", ("groups", *asked.security_groups), lambda: self._groups(asked.security_groups)
        if asked.key_name:
            keys = [asked.key_name]
            yield "keyName", ("key", *keys), lambda: self._ec2.describe_key_pairs(KeyNames=keys)
        if asked.instance_profile:
            name = asked.instance_profile.rsplit("/", 1)[-1]
            yield (
                "instanceProfile",
                ("profile", name),
                lambda: self._session.client("iam").get_instance_profile(InstanceProfileName=name),
            )
        if asked.placement_group:
            names = [asked.placement_group]
            yield "placement", ("group", *names), lambda: self._ec2.describe_placement_groups(GroupNames=names)
        if asked.host:
            yield "placement", ("host", asked.host), lambda: self._require_host(str(asked.host))
        if asked.template:
            words = {"id": "LaunchTemplateId", "name": "LaunchTemplateName"}
            which = {words[key]: value for key, value in asked.template.items() if key in words}
            versions = [asked.template["version"]]
            key = ("template", *which.items(), *versions)
            yield "launchTemplate", key, lambda: self._require_version(which, versions)

    def _require_version(self, which: Mapping[str, str], versions: Sequence[str]) -> None:
        if not self._ec2.describe_launch_template_versions(**which, Versions=list(versions))["LaunchTemplateVersions"]:
            raise NotFound(
                operation="DescribeLaunchTemplateVersions",
                message=f"launch template {' '.join(which.values())} has no version {versions[0]}",
            )

    def _require_host(self, host: str) -> None:
        found = self._ec2.describe_hosts(HostIds=[host])["Hosts"]
        if not found or found[0].get("State", "available") != "available":
            state = f"is {found[0]['State']}" if found else "does not exist"
            raise NotFound(operation="DescribeHosts", message=f"dedicated host {host} {state}")

    def _require_offered(self, instance_type: str, zone: str) -> None:
        if not self._types.offered(instance_type, zone):
            raise NotFound(
                operation="DescribeInstanceTypeOfferings",
                message=f"{zone} does not offer {instance_type}; name another type, or a subnet of another zone",
            )

    def _interface(
        self, number: int, asked: Interface, zone: str | None, owner: Mapping[str, str] | None
    ) -> list[Problem]:
        found: list[Problem] = []
        subnet = self._subnet("networkInterfaces", asked.subnet, found)
        if subnet and zone and subnet["AvailabilityZone"] != zone:
            where = f"subnet {asked.subnet} of network interface {number} is in {subnet['AvailabilityZone']}"
            found.append(Problem("networkInterfaces", f"{where}; all of an instance are in one zone, here {zone}"))
        found += self._addresses("networkInterfaces", subnet, asked.private_ip, owner)
        found += self._group_problems("networkInterfaces", subnet, asked.security_groups)
        return found

    def _subnet(self, field: str, subnet: str | None, found: list[Problem]) -> Mapping[str, Any] | None:
        if not subnet:
            return None
        answer: dict[str, Any] = {}
        # Each time: launches take its addresses.
        self._try(field, lambda: answer.update(self._ec2.describe_subnets(SubnetIds=[subnet])), found)
        return answer["Subnets"][0] if answer.get("Subnets") else None

    def _group_problems(self, field: str, subnet: Mapping[str, Any] | None, groups: Sequence[str]) -> list[Problem]:
        """Groups that do not exist, or are of another network than the subnet."""
        found: list[Problem] = []
        if not groups or subnet is None:
            return found
        answer: dict[str, Any] = {}
        ask = partial(self._once, ("groups", *groups), lambda: self._groups(groups))
        self._try(field, lambda: answer.update(ask()), found)
        for each in answer.get("SecurityGroups", ()):
            if each.get("VpcId") not in (None, subnet["VpcId"]):
                message = f"security group {each['GroupId']} is of {each['VpcId']}, subnet {subnet['SubnetId']} of {subnet['VpcId']}"
                found.append(Problem(field, message))
        return found

    def _addresses(
        self, field: str, subnet: Mapping[str, Any] | None, address: str | None, owner: Mapping[str, str] | None
    ) -> list[Problem]:
        if subnet is None:
            return []
        if not address:
            if int(subnet.get("AvailableIpAddressCount", 1)) < 1:
                return [Problem("subnet", f"subnet {subnet['SubnetId']} has no free address")]
            return []
        network = ipaddress.ip_network(subnet["CidrBlock"])
        place = ipaddress.ip_address(address)
        if place not in network:
            return [Problem(field, f"{address} is not in {network} of subnet {subnet['SubnetId']}")]
        if is_kept_by_aws(place, network):
            return [Problem(field, f"{address} is one of the five addresses of {network} that AWS keeps for itself")]
        filters = [
            {"Name": "subnet-id", "Values": [subnet["SubnetId"]]},
            {"Name": "addresses.private-ip-address", "Values": [address]},
        ]
        found: list[Problem] = []
        answer: dict[str, Any] = {}
        self._try(field, lambda: answer.update(self._ec2.describe_network_interfaces(Filters=filters)), found)
        for each in answer.get("NetworkInterfaces", ()):
            instance = each.get("Attachment", {}).get("InstanceId")
            user = instance or each["NetworkInterfaceId"]
            if instance and owner and self._has_tags(instance, owner):
                continue
            found.append(Problem(field, f"{address} is taken by {user}"))
        return found

    def _has_tags(self, instance_id: str, tags: Mapping[str, str]) -> bool:
        with translated():
            reservations = self._ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
        has = [from_list(each.get("Tags")) for entry in reservations for each in entry["Instances"]]
        return any(tags.items() <= each.items() for each in has)

    @staticmethod
    def _try(field: str, check: Callable[[], Any], found: list[Problem]) -> None:
        try:
            with translated():
                check()
        except AwsError as error:
            if error.retryable:
                raise
            found.append(Problem(field, str(error)))
