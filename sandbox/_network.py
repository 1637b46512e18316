"""Which network card an instance's guest has: the subnet's addresses, and the ports that security groups let in.

moto knows subnets, addresses and rules as names; here they become what a guest can do. A public address is one of loopback, since
the sandbox's Internet is this machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import elastic_network_interfaces

from sandbox.machines import LOOPBACK, Card, door

#: A rule of more ports than these lets nothing through: each port is a socket of its own.
WIDEST = 32
PEERS = 64
_HERE = IPv4Address("127.0.0.1")


def install_addresses() -> None:
    """Public addresses of loopback. Once a process: moto is global."""
    setattr(elastic_network_interfaces, "random_public_ip", door)  # noqa: B010 - moto types it otherwise


def check_addresses(ec2_backend: Any, asked: Mapping[str, Any]) -> None:
    """What RunInstances refuses of the private addresses that are asked for; moto fails over them, or takes them."""
    for interface in asked.get("NetworkInterfaces") or [asked]:
        address, subnet_id = interface.get("PrivateIpAddress"), interface.get("SubnetId")
        if not address or not subnet_id:
            continue
        subnet = ec2_backend.get_subnet(subnet_id)
        if ip_address(address) not in ip_network(subnet.cidr_block):
            raise EC2ClientError(
                "InvalidParameterValue", f"Address {address} does not fall within the subnet's address range"
            )
        taken = {each.private_ip_address for each in ec2_backend.enis.values() if each.subnet.id == subnet.id}
        if address in subnet._subnet_ips or address in taken:
            raise EC2ClientError("InvalidIPAddress.InUse", f"Address {address} is in use.")


def release_addresses(instance: Any) -> None:
    """A terminated instance has no address any longer; moto keeps it until the instance is forgotten."""
    subnet: Any = instance.nics[0].subnet if instance.nics else None
    for address in instance._private_ips if subnet is not None else ():
        if subnet._subnet_ips.get(address) is instance:
            subnet.del_subnet_ip(address)
    instance._private_ips.clear()  # else moto gives back, later on, what is somebody else's by then


def card_of(instance: Any, own: str) -> Card | None:
    """`own` is the loopback address of the guest's door. None where QEMU's user network cannot be this subnet."""
    interface = instance.nics[0] if instance.nics else None
    if interface is None or not interface.private_ip_address:
        return None
    network = ip_network(interface.subnet.cidr_block)
    address = ip_address(interface.private_ip_address)
    if not isinstance(network, IPv4Network) or not isinstance(address, IPv4Address):
        return None
    if address not in network or network.num_addresses < 16:
        return None
    public = interface.public_ip
    doors = [(own, port) for port in sorted({port for port, _ in _let_in(instance)})]
    if public and ip_address(public) in LOOPBACK:
        doors += [(public, port) for port in _open_to(instance, _HERE, frozenset())]
    return Card(network, address, interface.mac_address, doors, list(_peers(instance, network, address)))


def _peers(instance: Any, network: IPv4Network, address: IPv4Address) -> Iterator[tuple[str, int]]:
    """What runs in its subnet when it starts, where its security groups let it in."""
    groups = frozenset(group.id for group in _groups(instance))
    found = 0
    for other in instance.ec2_backend.all_instances():
        if other is instance or other.state not in ("pending", "running") or other.subnet_id != instance.subnet_id:
            continue
        if not other.private_ip or ip_address(other.private_ip) not in network:
            continue
        for port in _open_to(other, address, groups):
            found += 1
            if found > PEERS:
                return
            yield other.private_ip, port


def _open_to(instance: Any, address: IPv4Address, groups: frozenset[str]) -> list[int]:
    """The TCP ports at which it may be reached from an address, whose instance is in these groups."""
    found = set()
    for port, rule in _let_in(instance):
        by_range = rule.cidr_ipv4 and address in ip_network(rule.cidr_ipv4, strict=False)
        if by_range or rule.source_group.get("GroupId") in groups:
            found.add(port)
    return sorted(found)


def _let_in(instance: Any) -> Iterator[tuple[int, Any]]:
    for group in _groups(instance):
        for rule in group.ingress_rules:
            if rule.ip_protocol == "tcp" and 0 <= rule.to_port - rule.from_port < WIDEST:
                for port in range(max(1, rule.from_port), rule.to_port + 1):
                    yield port, rule


def _groups(instance: Any) -> list[Any]:
    found = {group.id: group for group in (*instance.security_groups, *instance.nics[0].group_set)}
    return list(found.values())
