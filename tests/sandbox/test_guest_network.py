"""Which network card a guest gets, and addresses as EC2 gives, refuses and takes them back. No guest is booted here."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sandbox._network import card_of
from sandbox.machines import LOOPBACK, Card, open_door, shut_door
from sandbox.machines import _network as machines_network
from tests.sandbox.conftest import Clients, made, refusal

NETWORK = IPv4Network("10.80.0.0/24")


@pytest.fixture
def image(aws: Clients) -> str:
    return str(
        aws.ec2.register_image(
            Name=f"net {id(aws)} {threading.get_ident()} {len(aws.ec2.describe_images(Owners=['self'])['Images'])}",
            RootDeviceName="/dev/sda1", Architecture="x86_64", VirtualizationType="hvm",
            BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": made(aws, {0: bytes(512 * 1024)})}}],
        )["ImageId"]
    )  # fmt: skip


@pytest.fixture
def subnet(aws: Clients) -> str:
    vpc = aws.ec2.create_vpc(CidrBlock="10.80.0.0/16")["Vpc"]["VpcId"]
    return str(aws.ec2.create_subnet(VpcId=vpc, CidrBlock=str(NETWORK))["Subnet"]["SubnetId"])


def test_an_address_belongs_to_one_instance_until_it_is_terminated(aws: Clients, image: str, subnet: str) -> None:
    wanted = {
        "ImageId": image,
        "MinCount": 1,
        "MaxCount": 1,
        "NetworkInterfaces": [
            {
                "DeviceIndex": 0,
                "SubnetId": subnet,
                "PrivateIpAddress": "10.80.0.11",
                "AssociatePublicIpAddress": True,
                "DeleteOnTermination": True,
            }
        ],
    }
    first = aws.ec2.run_instances(**wanted)["Instances"][0]
    assert first["PrivateIpAddress"] == "10.80.0.11"
    shown = aws.ec2.describe_instances(InstanceIds=[first["InstanceId"]])["Reservations"][0]["Instances"][0]
    assert ip_address(shown["PublicIpAddress"]) in LOOPBACK
    assert refusal(aws.ec2.run_instances, **wanted)[0] == "InvalidIPAddress.InUse"
    aws.ec2.terminate_instances(InstanceIds=[first["InstanceId"]])
    second = aws.ec2.run_instances(**wanted)["Instances"][0]
    assert second["PrivateIpAddress"] == "10.80.0.11"
    aws.ec2.terminate_instances(InstanceIds=[second["InstanceId"]])


def test_an_address_outside_of_its_subnet_is_refused(aws: Clients, image: str, subnet: str) -> None:
    asked = {"ImageId": image, "MinCount": 1, "MaxCount": 1, "SubnetId": subnet, "PrivateIpAddress": "10.81.0.11"}
    assert refusal(aws.ec2.run_instances, **asked)[0] == "InvalidParameterValue"


def _rule(port: int, *, cidr: str | None = None, group: str | None = None, to: int | None = None) -> Any:
    source = {"GroupId": group} if group else {}
    return SimpleNamespace(ip_protocol="tcp", from_port=port, to_port=to or port, cidr_ipv4=cidr, source_group=source)


def _instance(others: list[Any], name: str, address: str, rules: list[Any], public: str | None = None) -> Any:
    group = SimpleNamespace(id=f"sg-{name}", ingress_rules=rules)
    interface = SimpleNamespace(
        private_ip_address=address, public_ip=public, mac_address="02:00:00:00:00:01", group_set=[],
        subnet=SimpleNamespace(cidr_block=str(NETWORK)),
    )  # fmt: skip
    backend = SimpleNamespace(all_instances=lambda: others)
    made = SimpleNamespace(
        nics=[interface], security_groups=[group], ec2_backend=backend, state="running", subnet_id="subnet-1",
        private_ip=address,
    )  # fmt: skip
    others.append(made)
    return made


def test_a_guest_is_reached_where_its_security_groups_let_in() -> None:
    """The database lets the application in, the application the web server, and that everybody."""
    others: list[Any] = []
    db = _instance(others, "db", "10.80.0.11", [_rule(15432, group="sg-app")])
    app = _instance(others, "app", "10.80.0.12", [_rule(18081, cidr="10.80.0.13/32")])
    web = _instance(others, "web", "10.80.0.13", [_rule(18080, cidr="0.0.0.0/0")], public="127.64.0.9")
    cards = [card_of(each, "127.64.0.1") for each in (db, app, web)]
    assert [list(each.peers) for each in cards if each] == [
        [("10.80.0.13", 18080)],
        [("10.80.0.11", 15432), ("10.80.0.13", 18080)],
        [("10.80.0.12", 18081)],
    ]
    assert [list(each.doors) for each in cards if each] == [
        [("127.64.0.1", 15432)],
        [("127.64.0.1", 18081)],
        [("127.64.0.1", 18080), ("127.64.0.9", 18080)],
    ]


def test_a_public_address_lets_in_only_what_is_open_to_this_machine() -> None:
    web = _instance([], "web", "10.80.0.13", [_rule(18080, group="sg-lb"), _rule(1, to=65535)], public="127.64.0.9")
    card = card_of(web, "127.64.0.1")
    assert card is not None
    assert list(card.doors) == [("127.64.0.1", 18080)]


@pytest.fixture
def echo() -> Iterator[int]:
    """Answers with what it was told, once the other side has ended."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                told = b""
                while data := connection.recv(65536):
                    told += data
                connection.sendall(told.upper())

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(timeout=10)


def _relayed(doors: Path, port: int, told: bytes) -> bytes:
    ours, its = socket.socketpair()
    with ours, its:
        relay = str(Path(machines_network.__file__).with_name("relay.py"))
        command = [sys.executable, "-I", "-S", relay, str(doors / "10.80.0.11"), str(port)]
        with subprocess.Popen(command, stdin=its.fileno(), stdout=its.fileno()) as process:
            its.close()
            ours.settimeout(20)
            ours.sendall(told)
            ours.shutdown(socket.SHUT_WR)
            answer = b""
            while data := ours.recv(65536):
                answer += data
            process.wait(timeout=20)
    return answer


def test_a_relay_goes_through_the_door_there_is_now(tmp_path: Path, echo: int) -> None:
    open_door(tmp_path, "10.80.0.11", "127.64.0.1")
    open_door(tmp_path, "10.80.0.11", "127.0.0.1")  # another guest has the address by now
    shut_door(tmp_path, "10.80.0.11", "127.64.0.1")  # the first one ends late
    assert _relayed(tmp_path, echo, b"ping" * 50_000) == b"PING" * 50_000


def test_a_relay_to_nobody_ends(tmp_path: Path) -> None:
    assert _relayed(tmp_path, 1, b"") == b""


def test_a_port_that_somebody_holds_is_left_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        card = Card(NETWORK, IPv4Address("10.80.0.11"), "02:00:00:00:00:01", [("127.0.0.1", port)])
        assert not any("hostfwd" in each for each in card.arguments(Path("doors")))
