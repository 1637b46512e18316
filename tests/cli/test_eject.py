"""`rehost eject`: of instances that run, with everything that hangs on them; and what it refuses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import hcl2
import pytest

from rehost.aws import SERVER_TAG, STACK_TAG, DiskImage, LaunchRequest, VolumeSettings
from rehost.control import Phase
from tests.aws.conftest import snapshot
from tests.connector.conftest import Site

from .conftest import Command

FILES = {
    "pulumi": {"Pulumi.yaml", "__main__.py", "import.json", "requirements.txt"},
    "terraform": {"main.tf", "imports.tf"},
}
SECRET = "#!/bin/sh\nexport PASSWORD=a-word-of-its-own\n"


@dataclass
class Shop:
    site: Site
    ec2: Any
    command: Command

    def launch(self, server: str = "web-01", disks: int = 1) -> str:
        stack = self.site.stack
        tags = {STACK_TAG: stack, SERVER_TAG: server, "Name": server}
        devices = ["/dev/sda1", "/dev/sdf"][:disks]
        image = self.site.aws.images.register(
            name=f"{stack}/{server}/{self.site.aws.region}",
            disks=[DiskImage(device, snapshot(self.site.aws, tags), 1) for device in devices],
            architecture="x86_64",
            boot_mode=None,
            description="",
            tags=tags,
        )
        request = LaunchRequest(
            f"{stack}/{server}", image, "t3.micro", user_data=SECRET, volume=VolumeSettings("gp3"), tags=tags
        )
        return self.site.aws.instances.launch(request, on_progress=lambda _: None).instance_id

    def read(self, name: str) -> str:
        return (self.site.folder / "handover" / "shop" / name).read_text("utf-8")


@pytest.fixture
def shop(site: Site, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "sandbox")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sandbox")
    site.write(range(1))
    site.declare(application="shop")
    ec2 = boto3.client("ec2", endpoint_url=site.sandbox.endpoint, region_name="eu-central-1")
    return Shop(site, ec2, Command(site.folder, REHOST_DATABASE=site.database))


def written(folder: Path) -> dict[str, set[str]]:
    return {each.name: {file.name for file in each.iterdir()} for each in folder.iterdir()}


def test_what_runs_is_written_down(shop: Shop) -> None:
    instance = shop.launch(disks=2)
    seen = shop.ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    volumes = {each["DeviceName"]: each["Ebs"]["VolumeId"] for each in seen["BlockDeviceMappings"]}
    vpc = shop.ec2.describe_subnets(SubnetIds=[seen["SubnetId"]])["Subnets"][0]["VpcId"]
    group = shop.ec2.create_security_group(GroupName=shop.site.stack, Description="shop", VpcId=vpc)["GroupId"]
    shop.ec2.modify_instance_attribute(InstanceId=instance, Groups=[group])
    second = shop.ec2.create_network_interface(SubnetId=seen["SubnetId"], Groups=[group])["NetworkInterface"]
    shop.ec2.create_tags(Resources=[second["NetworkInterfaceId"]], Tags=[{"Key": "Name", "Value": "backup"}])
    shop.ec2.attach_network_interface(
        NetworkInterfaceId=second["NetworkInterfaceId"], InstanceId=instance, DeviceIndex=1
    )
    address = shop.ec2.allocate_address(Domain="vpc")
    shop.ec2.associate_address(AllocationId=address["AllocationId"], InstanceId=instance)
    shop.ec2.modify_instance_attribute(InstanceId=instance, DisableApiTermination={"Value": True})

    said = shop.command("eject", "shop", "--force")
    assert said.code == 0, said.err
    assert written(shop.site.folder / "handover" / "shop") == FILES
    imported = {(each["type"], each["id"]) for each in json.loads(shop.read("pulumi/import.json"))["resources"]}
    assert imported == {
        ("aws:ec2/instance:Instance", instance),
        ("aws:ebs/volume:Volume", volumes["/dev/sdf"]),
        ("aws:ec2/volumeAttachment:VolumeAttachment", f"/dev/sdf:{volumes['/dev/sdf']}:{instance}"),
        ("aws:ec2/networkInterface:NetworkInterface", second["NetworkInterfaceId"]),
        ("aws:ec2/eip:Eip", address["AllocationId"]),
    }
    blocks = hcl2.loads(shop.read("terraform/imports.tf"))["import"]
    assert {json.loads(each["id"]) for each in blocks} == {each for _kind, each in imported}
    (machine,) = (
        entry['"aws_instance"']['"web-01"']
        for entry in hcl2.loads(shop.read("terraform/main.tf"))["resource"]
        if '"aws_instance"' in entry
    )
    assert json.loads(machine["private_ip"]) == seen["PrivateIpAddress"]
    after = shop.ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    groups = {each["GroupId"] for each in after["NetworkInterfaces"][0]["Groups"]}
    assert {json.loads(each) for each in machine["vpc_security_group_ids"]} == groups >= {group}
    assert machine["disable_api_termination"] is True
    everything = (
        said.out + said.err + "".join(shop.read(f"{kind}/{name}") for kind, names in FILES.items() for name in names)
    )
    assert "a-word-of-its-own" not in everything
    assert "sandbox" not in everything
    shop.ec2.modify_instance_attribute(InstanceId=instance, DisableApiTermination={"Value": False})


def test_one_format_into_a_folder_of_choice_and_nothing_is_replaced(shop: Shop) -> None:
    shop.launch()
    said = shop.command("eject", "shop", "--force", "--format", "terraform", "--output", "out")
    assert said.code == 0, said.err
    assert written(shop.site.folder / "out") == {"terraform": FILES["terraform"]}
    assert "pulumi" not in said.err
    again = shop.command("eject", "shop", "--force", "--format", "terraform", "--output", "out")
    assert again.code == 2
    assert "out/terraform/main.tf" in again.err


def test_before_complete_it_is_refused(shop: Shop) -> None:
    shop.launch()
    said = shop.command("eject", "shop")
    assert (said.code, said.out) == (2, "")
    assert "shop is not complete" in said.err
    assert "phase: complete" in said.err
    assert not (shop.site.folder / "handover").exists()


def test_what_counts_is_the_phase_that_was_reached(shop: Shop) -> None:
    shop.launch()
    stack, store = shop.site.stack, shop.site.control.applications
    images = {"web-01": {"run": "run-1", "image": "ami-1"}}
    for phase in (Phase.TEST, Phase.CUTOVER):
        store.enter(stack, "shop", phase, servers=["web-01"])
        assert store.reached(stack, "shop", phase, images=images)
    store.enter(stack, "shop", Phase.COMPLETE, servers=["web-01"])
    said = shop.command("eject", "shop")
    assert (said.code, "it has reached cutover" in said.err) == (2, True)
    assert store.reached(stack, "shop", Phase.COMPLETE, images=images)
    said = shop.command("eject", "shop")
    assert said.code == 0, said.err
    assert written(shop.site.folder / "handover" / "shop") == FILES


@pytest.mark.parametrize("instances", [0, 2])
def test_one_instance_a_server_is_wanted(shop: Shop, instances: int) -> None:
    ids = [shop.launch() for _ in range(min(instances, 1))]
    if instances == 2:  # a copy that somebody made, tags and all
        tags = [{"Key": STACK_TAG, "Value": shop.site.stack}, {"Key": SERVER_TAG, "Value": "web-01"}]
        seen = shop.ec2.describe_instances(InstanceIds=ids)["Reservations"][0]["Instances"][0]
        made = shop.ec2.run_instances(
            ImageId=seen["ImageId"], InstanceType="t3.micro", MinCount=1, MaxCount=1,
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
        )  # fmt: skip
        ids.append(made["Instances"][0]["InstanceId"])
    said = shop.command("eject", "shop", "--force")
    assert said.code == 1
    assert ("several instances for web-01" if instances else "no instance for web-01") in said.err
    assert all(each in said.err for each in ids)
    assert not (shop.site.folder / "handover").exists()


def test_an_unknown_application_is_named_with_those_that_are_known(shop: Shop) -> None:
    said = shop.command("eject", "shoop")
    assert said.code == 2
    assert "no application 'shoop'; known applications: shop" in said.err
