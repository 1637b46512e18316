"""What a launch asks of EC2, what it leaves when it fails, and what is changed in place; against the sandbox."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from rehost.aws import (
    Asked,
    Aws,
    DiskImage,
    Interface,
    LaunchRequest,
    Need,
    NoCapacity,
    NotFound,
    NotOurs,
    QuotaReached,
    Refused,
    VolumeSettings,
)
from rehost.aws._instance_types import InstanceType, choose
from sandbox import Sandbox

from .conftest import snapshot


@pytest.fixture
def ec2(sandbox: Sandbox) -> Any:
    return boto3.client("ec2", endpoint_url=sandbox.endpoint, region_name="eu-central-1")


@pytest.fixture
def image(aws: Aws, tags: dict[str, str]) -> str:
    disks = [DiskImage(device, snapshot(aws, tags), 1) for device in ("/dev/sda1", "/dev/sdb")]
    return aws.images.register(
        name=tags["rehost:run"], disks=disks, architecture="x86_64", boot_mode=None, description="", tags=tags
    )


def quiet(_line: str) -> None: ...


def subnets(ec2: Any) -> list[dict[str, Any]]:
    return sorted(ec2.describe_subnets()["Subnets"], key=lambda each: str(each["AvailabilityZone"]))


def described(ec2: Any, instance_id: str) -> dict[str, Any]:
    found: dict[str, Any] = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
    return found


def tags_of(entry: dict[str, Any], key: str = "Tags") -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in entry.get(key, [])}


def test_everything_that_a_launch_config_says_is_placed(aws: Aws, ec2: Any, tags: dict[str, str], image: str) -> None:
    subnet = subnets(ec2)[0]["SubnetId"]
    vpc = subnets(ec2)[0]["VpcId"]
    groups = [
        ec2.create_security_group(GroupName=f"{tags['rehost:run']}-{number}", Description="x", VpcId=vpc)["GroupId"]
        for number in range(3)
    ]
    ec2.create_placement_group(GroupName=tags["rehost:run"], Strategy="cluster")
    base = subnets(ec2)[0]["CidrBlock"].rsplit(".", 2)[0]
    first, second = f"{base}.9.77", f"{base}.9.78"
    request = LaunchRequest(
        tags["rehost:run"],
        image,
        "t3.micro",
        subnet=subnet,
        security_groups=(groups[0],),
        private_ip=first,
        interfaces=(Interface(subnet, (groups[1],), second, "storage"),),
        volume=VolumeSettings("gp3", 4000),
        volumes={2: VolumeSettings("io2", 5000)},
        hop_limit=2,
        tenancy="dedicated",
        placement_group=tags["rehost:run"],
        termination_protection=True,
        started=False,
        tags=tags,
    )
    view = aws.instances.launch(request, on_progress=quiet)
    assert view.state == "stopped"
    assert aws.instances.launch(request, on_progress=quiet).instance_id == view.instance_id
    has = described(ec2, view.instance_id)
    assert [nic["PrivateIpAddress"] for nic in has["NetworkInterfaces"]] == [first, second]
    assert [nic["Groups"][0]["GroupId"] for nic in has["NetworkInterfaces"]] == groups[:2]
    assert has["NetworkInterfaces"][1]["Description"] == "storage"
    assert (has["Placement"]["Tenancy"], has["Placement"]["GroupName"]) == ("dedicated", tags["rehost:run"])
    assert (has["MetadataOptions"]["HttpTokens"], has["MetadataOptions"]["HttpPutResponseHopLimit"]) == ("required", 2)
    volumes = {each["VolumeId"]: each for each in ec2.describe_volumes(VolumeIds=list(view.volumes))["Volumes"]}
    assert [(volumes[each]["VolumeType"], volumes[each]["Iops"]) for each in view.volumes] == [
        ("gp3", 4000),
        ("io2", 5000),
    ]
    nics = ec2.describe_network_interfaces(NetworkInterfaceIds=list(view.interfaces))["NetworkInterfaces"]
    for tagged in [tags_of(each) for each in volumes.values()] + [tags_of(each, "TagSet") for each in nics]:
        assert tags.items() <= tagged.items()

    # Ended by hand or by us: EC2 refuses while it is protected, and nothing stays when it is not.
    stack = tags["rehost:stack"]
    with pytest.raises(Refused):
        aws.instances.terminate(view.instance_id, stack=stack)
    changes = aws.instance_changes
    with pytest.raises(NotOurs):
        aws.instances.set_protection(view.instance_id, False, stack="another")
    aws.instances.set_protection(view.instance_id, False, stack=stack)
    changes.set_security_groups(view.instance_id, [[groups[2]], []], stack=stack)
    changes.set_metadata(view.instance_id, imdsv2="optional", hop_limit=None, stack=stack)
    changes.set_tags(view.instance_id, {"colour": "red"}, gone=[], stack=stack)
    changes.set_volumes(view.instance_id, VolumeSettings("gp3", 4500), {}, stack=stack, on_progress=quiet)
    changes.change_type(view.instance_id, "t3.small", started=False, stack=stack, on_progress=quiet)
    has = described(ec2, view.instance_id)
    assert (has["InstanceType"], has["State"]["Name"]) == ("t3.small", "stopped")
    assert [nic["Groups"][0]["GroupId"] for nic in has["NetworkInterfaces"]] == [groups[2], groups[1]]
    assert has["MetadataOptions"]["HttpTokens"] == "optional"
    found = ec2.describe_volumes(VolumeIds=list(view.volumes))["Volumes"]
    assert {(each["VolumeType"], each["Iops"], tags_of(each)["colour"]) for each in found} == {("gp3", 4500, "red")}
    changes.set_started(view.instance_id, True, stack=stack, on_progress=quiet)
    assert described(ec2, view.instance_id)["State"]["Name"] == "running"
    aws.instances.terminate(view.instance_id, stack=stack)
    ours = [{"Name": "tag:rehost:run", "Values": [tags["rehost:run"]]}]
    assert ec2.describe_network_interfaces(Filters=ours)["NetworkInterfaces"] == []
    assert ec2.describe_volumes(Filters=ours)["Volumes"] == []


def test_an_instance_profile_comes_changes_and_goes(
    aws: Aws, ec2: Any, sandbox: Sandbox, tags: dict[str, str], image: str
) -> None:
    iam = boto3.client("iam", endpoint_url=sandbox.endpoint, region_name="eu-central-1")
    names = [f"{tags['rehost:run']}-{number}" for number in range(2)]
    for each in names:
        iam.create_instance_profile(InstanceProfileName=each)
    made = aws.instances.launch(LaunchRequest(tags["rehost:run"], image, "t3.micro", tags=tags), on_progress=quiet)
    wanted: list[str | None] = [names[0], names[1], None, None]
    for name in wanted:
        aws.instance_changes.set_instance_profile(made.instance_id, name, stack=tags["rehost:stack"])
        filters = [{"Name": "instance-id", "Values": [made.instance_id]}]
        known = ec2.describe_iam_instance_profile_associations(Filters=filters)["IamInstanceProfileAssociations"]
        assert [each["IamInstanceProfile"]["Arn"].rsplit("/")[-1] for each in known] == ([name] if name else [])


def test_a_launch_template_is_the_base(aws: Aws, ec2: Any, tags: dict[str, str], image: str) -> None:
    name = tags["rehost:run"]
    ec2.create_key_pair(KeyName=name)
    ec2.create_launch_template(
        LaunchTemplateName=name, LaunchTemplateData={"InstanceType": "t3.small", "KeyName": name}
    )
    template = {"name": name, "version": "1"}
    assert aws.launch_checks.problems(Asked(template=template)) == []
    assert [each.field for each in aws.launch_checks.problems(Asked(template={**template, "version": "7"}))] == [
        "launchTemplate"
    ]
    made = aws.instances.launch(LaunchRequest(name, image, template=template, tags=tags), on_progress=quiet)
    has = described(ec2, made.instance_id)
    assert (has["InstanceType"], has["KeyName"], has["ImageId"]) == ("t3.small", name, image)


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("InsufficientInstanceCapacity", 400, NoCapacity),
        ("VcpuLimitExceeded", 400, QuotaReached),
        ("InvalidSubnetID.NotFound", 400, NotFound),
        ("InsufficientFreeAddressesInSubnet", 400, Refused),
    ],
)
def test_a_launch_that_fails_leaves_nothing_and_is_repeated(
    aws: Aws, ec2: Any, sandbox: Sandbox, tags: dict[str, str], image: str, code: str, status: int, expected: type
) -> None:
    request = LaunchRequest(tags["rehost:run"], image, "t3.micro", tags=tags)
    sandbox.fault(action="error", service="ec2", operation="RunInstances", code=code, status=status, message="sorry")
    try:
        with pytest.raises(expected, match="sorry"):
            aws.instances.launch(request, on_progress=quiet)
    finally:
        sandbox.clear_faults()
    owned = {each.kind for each in aws.list_owned(tags["rehost:stack"])}
    assert owned == {"image", "snapshot"}
    assert aws.instances.launch(request, on_progress=quiet).state == "running"


def test_what_an_interrupted_launch_left_is_taken_over_only_where_it_is_the_same(
    aws: Aws, ec2: Any, tags: dict[str, str], image: str
) -> None:
    here, there = (each["SubnetId"] for each in subnets(ec2)[:2])
    made = aws.instances.launch(
        LaunchRequest(tags["rehost:run"], image, "t3.micro", subnet=here, tags=tags), on_progress=quiet
    )
    other = LaunchRequest(tags["rehost:run"], image, "t3.micro", subnet=there, tags=tags)
    with pytest.raises(Refused, match=f"{made.instance_id}.*its subnet is {here}, not {there}"):
        aws.instances.launch(other, on_progress=quiet)
    aws.instances.terminate(made.instance_id, stack=tags["rehost:stack"])
    assert aws.instances.launch(other, on_progress=quiet).subnet == there


def test_a_disk_that_the_image_lacks_is_said(aws: Aws, tags: dict[str, str], image: str) -> None:
    request = LaunchRequest(tags["rehost:run"], image, "t3.micro", volumes={3: VolumeSettings("gp3")}, tags=tags)
    with pytest.raises(Refused, match=r"disk-3.* has 2 disks"):
        aws.instances.launch(request, on_progress=quiet)


def test_what_a_subnet_cannot_give_is_said_before(aws: Aws, ec2: Any, tags: dict[str, str], image: str) -> None:
    here, there = subnets(ec2)[:2]
    vpc = ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    foreign = ec2.create_security_group(GroupName=tags["rehost:run"], Description="x", VpcId=vpc)["GroupId"]
    made = aws.instances.launch(
        LaunchRequest(tags["rehost:run"], image, "t3.micro", subnet=here["SubnetId"], tags=tags), on_progress=quiet
    )
    network = here["CidrBlock"].split("/")[0]

    def said(**asked: Any) -> list[str]:
        problems = aws.launch_checks.problems(Asked(subnet=here["SubnetId"], **asked))
        return [f"{each.field}: {each.message}" for each in problems]

    assert said() == []
    assert said(private_ip=made.private_ip) == [f"privateIp: {made.private_ip} is taken by {made.instance_id}"]
    owner = {"rehost:stack": made.tags["rehost:stack"]}
    assert said(private_ip=made.private_ip, owner=owner) == [], "a replacement gets what its predecessor gives back"
    assert said(private_ip=made.private_ip, owner={"rehost:stack": "another"}) != []
    assert "is not in" in said(private_ip="192.0.2.1")[0]
    assert "AWS keeps for itself" in said(private_ip=network.rsplit(".", 1)[0] + ".3")[0]
    assert "of" in said(security_groups=[foreign])[0]
    assert said(zone=there["AvailabilityZone"])[0].startswith("placement: subnet")
    assert "all of an instance are in one zone" in said(interfaces=[Interface(there["SubnetId"])])[0]
    assert "does not offer x2gd.medium" in said(instance_type="x2gd.medium")[0]


NITRO = ("legacy-bios", "uefi")
TYPES = [
    InstanceType("m7i.large", 2, 8192, NITRO),
    InstanceType("c6i.large", 2, 4096, NITRO),
    InstanceType("c7i.large", 2, 4096, NITRO),
    InstanceType("c7i.xlarge", 4, 8192, NITRO),
    InstanceType("r7i.large", 2, 16384, ("uefi",)),
    InstanceType("r6i.large", 2, 16384, NITRO),
]


@pytest.mark.parametrize(
    ("need", "expected"),
    [
        (Need(1, 512), "c7i.large"),
        (Need(2, 4096), "c7i.large"),
        (Need(2, 4097), "m7i.large"),
        (Need(3, 1024), "c7i.xlarge"),
        (Need(2, 9000, firmware="uefi"), "r7i.large"),
        (Need(2, 9000, firmware="bios"), "r6i.large"),
        (Need(8, 1024), None),
        (Need(2, 20000), None),
    ],
    ids=str,
)
def test_the_smallest_type_that_fits(need: Need, expected: str | None) -> None:
    found = choose(need, TYPES)
    assert (found.name if found else None) == expected
    assert choose(need, TYPES[::-1]) == found


def test_a_type_is_chosen_of_what_ec2_offers(aws: Aws) -> None:
    choice = aws.instance_types.choose(Need(4, 6000, "x86_64", "bios"), "eu-central-1a")
    assert choice.instance_type == "c7i.xlarge"
    assert choice.reason == (
        "the source has 4 CPUs, 5.86 GiB, x86_64, bios: c7i.xlarge (4 vCPUs, 8 GiB) is the smallest that fits in eu-central-1a"
    )
    assert aws.instance_types.choose(Need(1, 1024, "arm64")).instance_type.startswith(("c7g.", "m7g.", "r7g.", "c6g."))
    with pytest.raises(NotFound, match=r"no instance type of .* has 9000 CPUs"):
        aws.instance_types.choose(Need(9000, 1024))


def test_what_many_launches_share_is_asked_once(aws: Aws, ec2: Any) -> None:
    asked: list[str] = []
    checks = Aws(aws.session.settings).launch_checks
    checks._ec2.meta.events.register("before-call.ec2", lambda model, **_: asked.append(model.name))
    subnet = subnets(ec2)[0]["SubnetId"]
    for _ in range(3):
        assert checks.problems(Asked(instance_type="t3.micro", subnet=subnet)) == []
    assert asked.count("DescribeInstanceTypes") == 1
    assert asked.count("DescribeSubnets") == 3, "launches take addresses"
    for _ in range(2):
        assert checks.problems(Asked(key_name="nobody")) != [], "a refusal is asked again"
    assert asked.count("DescribeKeyPairs") == 2
