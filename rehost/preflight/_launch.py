"""Whether EC2 would launch the servers as their launch configs say, one server by itself."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator

from rehost.aws import InstanceTypeView, is_kept_by_aws
from rehost.connector import ImageSettings
from rehost.preflight._facts import Facts
from rehost.preflight._finding import Raw
from rehost.preflight._plan import ApplicationPlan, LaunchPlan, ServerPlan

Check = Callable[[ApplicationPlan, Facts], Iterator[Raw]]


def _launched(plan: ApplicationPlan) -> Iterator[tuple[ServerPlan, LaunchPlan]]:
    for server in plan.servers:
        if server.launch is not None:
            yield server, server.launch


def configured(plan: ApplicationPlan, _facts: Facts) -> Iterator[Raw]:
    for server in plan.servers:
        if server.launch is None and plan.name:
            yield Raw("no-launch-config", "it has no launch config, which the phase test needs", server.name)


def subnets(plan: ApplicationPlan, facts: Facts) -> Iterator[Raw]:
    known = facts.subnets() if any(True for _ in _launched(plan)) else {}
    for server, launch in _launched(plan):
        for subnet in launch.subnets:
            if subnet not in known:
                yield Raw("subnet", f"there is no subnet {subnet} in {facts.aws.region}", server.name)
        if not (launch.subnets or launch.template) and not any(each.is_default for each in known.values()):
            message = f"its launch config names no subnet, and {facts.aws.region} has no default VPC"
            yield Raw("no-default-subnet", message, server.name)
        if launch.private_ip and launch.subnets and launch.subnets[0] in known:
            yield from _private_address(server, launch.private_ip, launch.subnets[0], known[launch.subnets[0]].cidr)


def _private_address(server: ServerPlan, address: str, subnet: str, cidr: str) -> Iterator[Raw]:
    network = ipaddress.ip_network(cidr)
    wanted = ipaddress.ip_address(address)
    if wanted not in network:
        yield Raw("private-ip", f"{address} is not within {cidr}, the range of {subnet}", server.name)
    elif is_kept_by_aws(wanted, network):
        yield Raw("private-ip", f"{address} is one of the five addresses of {subnet} that AWS keeps", server.name)


def security_groups(plan: ApplicationPlan, facts: Facts) -> Iterator[Raw]:
    if not any(launch.security_groups for _server, launch in _launched(plan)):
        return
    vpcs, known = facts.security_groups(), facts.subnets()
    for server, launch in _launched(plan):
        own = known[launch.subnets[0]].vpc_id if launch.subnets and launch.subnets[0] in known else None
        for group in launch.security_groups:
            if group not in vpcs:
                yield Raw("security-group", f"there is no security group {group} in {facts.aws.region}", server.name)
            elif own and vpcs[group] != own:
                message = f"security group {group} is of {vpcs[group]}, and subnet {launch.subnets[0]} of {own}"
                yield Raw("security-group-vpc", message, server.name)


def key_pairs(plan: ApplicationPlan, facts: Facts) -> Iterator[Raw]:
    wanted = [(server.name, launch.key_name) for server, launch in _launched(plan) if launch.key_name]
    known = facts.key_pairs() if wanted else frozenset()
    for server, key in wanted:
        if key not in known:
            yield Raw("key-pair", f"there is no key pair {key} in {facts.aws.region}", server)


def instance_profiles(plan: ApplicationPlan, facts: Facts) -> Iterator[Raw]:
    for server, launch in _launched(plan):
        if launch.instance_profile is None:
            continue
        roles = facts.profile_roles(launch.instance_profile)
        if roles is None:
            yield Raw("instance-profile", f"there is no instance profile {launch.instance_profile}", server.name)
        elif roles == 0:
            message = f"the instance profile {launch.instance_profile} has no role"
            yield Raw("instance-profile-empty", message, server.name)


def instance_types(plan: ApplicationPlan, facts: Facts) -> Iterator[Raw]:
    names = {launch.instance_type for _server, launch in _launched(plan) if launch.instance_type}
    known = facts.instance_types(names)
    for server, launch in _launched(plan):
        if launch.instance_type in known:
            yield from _suits(server, known[launch.instance_type])
        elif launch.instance_type is not None:
            message = f"there is no instance type {launch.instance_type} in {facts.aws.region}"
            yield Raw("instance-type", message, server.name)


def _suits(server: ServerPlan, view: InstanceTypeView) -> Iterator[Raw]:
    image = ImageSettings(server.image)
    if view.architectures and image.architecture not in view.architectures:
        message = f"{view.name} is {' and '.join(view.architectures)}, and the image is {image.architecture}"
        yield Raw("instance-type-processor", message, server.name)
    modes = {"uefi", "legacy-bios"} if image.boot_mode == "uefi-preferred" else {image.boot_mode}
    if image.boot_mode and view.boot_modes and not modes & set(view.boot_modes):
        message = f"{view.name} boots by {' and '.join(view.boot_modes)} alone, and the image by {image.boot_mode}"
        yield Raw("instance-type-firmware", message, server.name)
    if view.needs_ena and not image.ena:
        yield Raw(
            "instance-type-drivers", f"{view.name} needs an ENA driver, and the image says ena: false", server.name
        )
    if image.tpm and not view.has_tpm:
        yield Raw("instance-type-tpm", f"{view.name} has no NitroTPM, and the image says tpm: true", server.name)


def zones(plan: ApplicationPlan, facts: Facts) -> Iterator[Raw]:
    placed = [
        (server, launch.instance_type, launch.subnets[0])
        for server, launch in _launched(plan)
        if launch.instance_type and launch.subnets
    ]
    types = {instance_type for _server, instance_type, _subnet in placed}
    known = facts.subnets() if placed else {}
    exist, offered = facts.instance_types(types), facts.zones(types)
    for server, instance_type, subnet in placed:
        zone = known[subnet].zone if subnet in known else None
        if zone and instance_type in exist and zone not in offered.get(instance_type, ()):
            elsewhere = ", ".join(sorted(offered.get(instance_type, ()))) or "no zone of the region"
            message = f"{instance_type} is not offered in {zone}, the zone of {subnet}, but in {elsewhere}"
            yield Raw("instance-type-zone", message, server.name)


#: Each asks its own question, so that one which may not be asked leaves the others their answers.
CHECKS: tuple[Check, ...] = (
    configured,
    subnets,
    security_groups,
    key_pairs,
    instance_profiles,
    instance_types,
    zones,
)
