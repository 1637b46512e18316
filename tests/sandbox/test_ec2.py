"""What the sandbox adds to moto's EC2: images of real snapshots, VM import, launch tokens, snapshots in use."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import pytest

from tests.sandbox.conftest import Clients, content, data_of, made, put, refusal, start

NOBODY = "snap-0123456789abcdef0"


@pytest.fixture
def snapshot(aws: Clients) -> str:
    return made(aws, {0: data_of(0)})


def image_of(aws: Clients, *snapshots: str, **asked: Any) -> str:
    names = ["/dev/sda1", "/dev/sdf", "/dev/sdg"]
    mappings = [
        {"DeviceName": name, "Ebs": {"SnapshotId": each, "DeleteOnTermination": True}}
        for name, each in zip(names, snapshots, strict=False)
    ]
    values = {
        "Name": f"test/{uuid4().hex}", "Architecture": "x86_64", "VirtualizationType": "hvm", "EnaSupport": True,
        "RootDeviceName": "/dev/sda1", "BlockDeviceMappings": mappings,
    }  # fmt: skip
    return str(aws.ec2.register_image(**(values | asked))["ImageId"])


# RegisterImage and DeleteSnapshot


def test_an_image_has_the_disks_it_was_registered_with(aws: Clients, snapshot: str) -> None:
    data = made(aws, {1: data_of(1)}, VolumeSize=3)
    tags = [{"ResourceType": "image", "Tags": [{"Key": "run", "Value": "7"}]}]
    image = image_of(aws, snapshot, data, BootMode="uefi", Description="two disks", TagSpecifications=tags)
    [shown] = aws.ec2.describe_images(ImageIds=[image])["Images"]
    disks = {each["DeviceName"]: each["Ebs"] for each in shown["BlockDeviceMappings"]}
    assert {name: (disk["SnapshotId"], disk["VolumeSize"]) for name, disk in disks.items()} == {
        "/dev/sda1": (snapshot, 1),
        "/dev/sdf": (data, 3),
    }
    assert (shown["State"], shown["Architecture"], shown["BootMode"]) == ("available", "x86_64", "uefi")
    assert (shown["EnaSupport"], shown["VirtualizationType"]) == (True, "hvm")
    assert shown["Tags"] == [{"Key": "run", "Value": "7"}]
    assert (shown["OwnerId"], shown["RootDeviceName"]) == ("123456789012", "/dev/sda1")


def test_registering_makes_no_snapshot_up(aws: Clients, snapshot: str) -> None:
    def mine() -> set[str]:
        return {each["SnapshotId"] for each in aws.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]}

    before = mine()
    image_of(aws, snapshot)
    assert mine() == before


def test_images_that_cannot_be(aws: Clients, snapshot: str) -> None:
    pending = start(aws)
    large = made(aws, {}, VolumeSize=2)
    small = [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": large, "VolumeSize": 1}}]
    for code, call in (
        ("InvalidSnapshot.NotFound", lambda: image_of(aws, NOBODY)),
        ("IncorrectState", lambda: image_of(aws, pending)),
        ("InvalidBlockDeviceMapping", lambda: image_of(aws, snapshot, RootDeviceName="/dev/xvda")),
        ("InvalidBlockDeviceMapping", lambda: image_of(aws, large, BlockDeviceMappings=small)),
    ):
        assert refusal(call)[0] == code
    name = f"test/{uuid4().hex}"
    image_of(aws, snapshot, Name=name)
    assert refusal(image_of, aws, snapshot, Name=name)[0] == "InvalidAMIName.Duplicate"


def test_another_regions_snapshot_makes_no_image(aws: Clients, other: Clients, snapshot: str) -> None:
    assert refusal(image_of, other, snapshot)[0] == "InvalidSnapshot.NotFound"
    assert refusal(
        other.ec2.import_image, DiskContainers=[{"SnapshotId": snapshot}], LicenseType="BYOL"
    )[0] == "InvalidSnapshot.NotFound"  # fmt: skip


def test_a_snapshot_in_use_is_not_deleted(aws: Clients, snapshot: str) -> None:
    image = image_of(aws, snapshot)
    assert refusal(aws.ec2.delete_snapshot, SnapshotId=snapshot)[0] == "InvalidSnapshot.InUse"
    assert content(aws, snapshot) == {0: data_of(0)}
    aws.ec2.deregister_image(ImageId=image)
    aws.ec2.delete_snapshot(SnapshotId=snapshot)
    assert refusal(aws.ec2.delete_snapshot, SnapshotId=snapshot)[0] == "InvalidSnapshot.NotFound"
    assert refusal(aws.ebs.list_snapshot_blocks, SnapshotId=snapshot)[0] == "ResourceNotFoundException"
    assert refusal(aws.ec2.describe_snapshots, SnapshotIds=[snapshot])[0] == "InvalidSnapshot.NotFound"


def test_a_pending_snapshot_may_be_deleted(aws: Clients) -> None:
    pending = start(aws)
    aws.ec2.delete_snapshot(SnapshotId=pending)
    assert refusal(put, aws, pending, 0, data_of(0))[0] == "ResourceNotFoundException"


# VM import


def imported(aws: Clients, *snapshots: str, **asked: Any) -> dict[str, Any]:
    values = {"DiskContainers": [{"SnapshotId": each} for each in snapshots], "LicenseType": "BYOL"}
    return dict(aws.ec2.import_image(**(values | asked)))


def task_of(aws: Clients, task: str) -> dict[str, Any]:
    [shown] = aws.ec2.describe_import_image_tasks(ImportTaskIds=[task])["ImportImageTasks"]
    return dict(shown)


def finished(aws: Clients, task: str) -> list[dict[str, Any]]:
    """Every view of the task until it is no longer active."""
    views = [task_of(aws, task)]
    while views[-1]["Status"] == "active":
        time.sleep(0.02)
        views.append(task_of(aws, task))
    return views


def test_an_import_goes_through_its_stages(aws: Clients, snapshot: str) -> None:
    tags = [{"ResourceType": "import-image-task", "Tags": [{"Key": "run", "Value": "7"}]}]
    answer = imported(aws, snapshot, Description="web-01", BootMode="uefi", Platform="Linux", TagSpecifications=tags)
    assert answer["ImportTaskId"].startswith("import-ami-")
    views = finished(aws, answer["ImportTaskId"])
    progress = [int(each["Progress"]) for each in views if each["Status"] == "active"]
    assert progress == sorted(progress)
    assert all(0 <= each < 100 for each in progress)
    assert all(each["StatusMessage"] for each in views if each["Status"] == "active")
    assert not any(each.get("ImageId") for each in views[:-1])
    last = views[-1]
    assert (last["Status"], last["Description"], last["LicenseType"]) == ("completed", "web-01", "BYOL")
    assert last["Tags"] == [{"Key": "run", "Value": "7"}]
    [image] = aws.ec2.describe_images(ImageIds=[last["ImageId"]])["Images"]
    assert (image["Name"], image["BootMode"], image["EnaSupport"]) == (answer["ImportTaskId"], "uefi", True)


def test_an_import_leaves_its_sources_and_makes_disks_of_its_own(aws: Clients, snapshot: str) -> None:
    data = made(aws, {1: data_of(1)})
    image_id = finished(aws, imported(aws, snapshot, data)["ImportTaskId"])[-1]["ImageId"]
    [image] = aws.ec2.describe_images(ImageIds=[image_id])["Images"]
    disks = {each["DeviceName"]: each["Ebs"]["SnapshotId"] for each in image["BlockDeviceMappings"]}
    assert list(disks) == ["/dev/sda1", "/dev/sdf"]
    assert not {snapshot, data} & set(disks.values())
    for source in (snapshot, data):
        aws.ec2.delete_snapshot(SnapshotId=source)
    assert content(aws, disks["/dev/sda1"]) == {0: data_of(0)}
    assert content(aws, disks["/dev/sdf"]) == {1: data_of(1)}


def test_an_import_may_encrypt(aws: Clients, snapshot: str) -> None:
    key = aws.kms.create_key()["KeyMetadata"]["Arn"]
    task = imported(aws, snapshot, Encrypted=True, KmsKeyId=key)["ImportTaskId"]
    image_id = finished(aws, task)[-1]["ImageId"]
    [disk] = aws.ec2.describe_images(ImageIds=[image_id])["Images"][0]["BlockDeviceMappings"]
    [shown] = aws.ec2.describe_snapshots(SnapshotIds=[disk["Ebs"]["SnapshotId"]])["Snapshots"]
    assert (disk["Ebs"]["Encrypted"], shown["Encrypted"], shown["KmsKeyId"]) == (True, True, key)


def test_import_tokens(aws: Clients, snapshot: str) -> None:
    token = uuid4().hex
    first = imported(aws, snapshot, ClientToken=token)["ImportTaskId"]
    assert imported(aws, snapshot, ClientToken=token)["ImportTaskId"] == first
    assert refusal(imported, aws, snapshot, ClientToken=token, Description="x")[0] == "IdempotentParameterMismatch"
    assert imported(aws, snapshot)["ImportTaskId"] != first


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"BootMode": "uefi-preferred"}, "InvalidParameter"),
        ({"Architecture": "arm64"}, "InvalidParameter"),
        ({"LicenseType": "MINE"}, "InvalidParameter"),
        ({"RoleName": "nobody"}, "InvalidParameter"),
        ({"DiskContainers": []}, "MissingParameter"),
        ({"DiskContainers": [{"SnapshotId": NOBODY}]}, "InvalidSnapshot.NotFound"),
        ({"DiskContainers": [{"SnapshotId": NOBODY}] * 22}, "InvalidParameter"),
        ({"DiskContainers": [{"UserBucket": {"S3Bucket": "b", "S3Key": "k"}}]}, "InvalidParameter"),
    ],
    ids=str,
)
def test_imports_that_are_refused(aws: Clients, snapshot: str, asked: dict[str, Any], code: str) -> None:
    before = len(aws.ec2.describe_import_image_tasks()["ImportImageTasks"])
    assert refusal(imported, aws, snapshot, **asked)[0] == code
    assert len(aws.ec2.describe_import_image_tasks()["ImportImageTasks"]) == before


def test_the_import_needs_its_role(own_clients: Clients) -> None:
    own_clients.iam.delete_role(RoleName="vmimport")
    snapshot = made(own_clients, {0: data_of(0)})
    assert refusal(imported, own_clients, snapshot)[0] == "InvalidParameter"


def test_a_cancelled_import_makes_no_image(aws: Clients, snapshot: str) -> None:
    task = imported(aws, snapshot)["ImportTaskId"]
    answer = aws.ec2.cancel_import_task(ImportTaskId=task)
    if answer["PreviousState"] == "active":  # else this machine was too slow, and it was complete before
        assert task_of(aws, task)["Status"] == "deleted"
        assert not task_of(aws, task).get("ImageId")
    assert refusal(aws.ec2.describe_import_image_tasks, ImportTaskIds=["import-ami-0"])[0] == (
        "InvalidConversionTaskId.Malformed"
    )


# RunInstances


def launched(aws: Clients, image: str, **asked: Any) -> dict[str, Any]:
    values = {"ImageId": image, "MinCount": 1, "MaxCount": 1, "InstanceType": "t3.micro"}
    return dict(aws.ec2.run_instances(**(values | asked))["Instances"][0])


def test_launch_tokens(aws: Clients, snapshot: str) -> None:
    image, token = image_of(aws, snapshot), uuid4().hex
    first = launched(aws, image, ClientToken=token)["InstanceId"]
    assert launched(aws, image, ClientToken=token)["InstanceId"] == first
    assert refusal(launched, aws, image, ClientToken=token, InstanceType="t3.large")[0] == (
        "IdempotentParameterMismatch"
    )
    assert launched(aws, image)["InstanceId"] != first


def test_an_instance_has_its_images_disks_and_its_tags(aws: Clients, snapshot: str) -> None:
    data = made(aws, {1: data_of(1)}, VolumeSize=2)
    image = image_of(aws, snapshot, data)
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "run", "Value": uuid4().hex}]}]
    override = [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeType": "gp3"}}]
    instance = launched(aws, image, TagSpecifications=tags, BlockDeviceMappings=override)["InstanceId"]
    wanted = [{"Name": "tag:run", "Values": [tags[0]["Tags"][0]["Value"]]}]  # type: ignore[index]
    [found] = aws.ec2.describe_instances(Filters=wanted)["Reservations"]
    [shown] = found["Instances"]
    assert (shown["InstanceId"], shown["ImageId"], shown["State"]["Name"]) == (instance, image, "running")
    attached = [{"Name": "attachment.instance-id", "Values": [instance]}]
    volumes = {each["SnapshotId"]: each for each in aws.ec2.describe_volumes(Filters=attached)["Volumes"]}
    assert {each: volumes[each]["Size"] for each in volumes} == {snapshot: 1, data: 2}
    assert volumes[snapshot]["VolumeType"] == "gp3"


def test_an_instance_of_no_image(aws: Clients) -> None:
    assert refusal(launched, aws, "ami-0123456789abcdef0")[0] == "InvalidAMIID.NotFound"


def test_an_instance_ends(aws: Clients, snapshot: str) -> None:
    instance = launched(aws, image_of(aws, snapshot))["InstanceId"]
    aws.ec2.terminate_instances(InstanceIds=[instance])
    [found] = aws.ec2.describe_instances(InstanceIds=[instance])["Reservations"]
    assert found["Instances"][0]["State"]["Name"] == "terminated"
