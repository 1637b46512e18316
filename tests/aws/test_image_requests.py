"""What is asked of EC2 for an image, against botocore's service model, and against the sandbox by way of boto3."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import boto3
import botocore.exceptions
import botocore.session
import pytest
from botocore.validate import ParamValidator

from rehost.aws import RUN_TAG, STACK_TAG, Aws, DiskImage, ImportRequest, NotFound, NotOurs, Refused
from sandbox import Sandbox

from .conftest import snapshot

MODEL = botocore.session.get_session().get_service_model("ec2")


def refused_by_the_model(operation: str, arguments: Mapping[str, Any]) -> list[str]:
    """Unknown names, wrong types, missing arguments, and values that are not of their enumeration."""
    shape = MODEL.operation_model(operation).input_shape
    problems = [ParamValidator().validate(arguments, shape).generate_report()]
    problems += [
        f"{name}: {value}"
        for name, value in arguments.items()
        if (enum := getattr(shape.members.get(name), "enum", None)) and value not in enum
    ]
    return [problem for problem in problems if problem]


@pytest.mark.parametrize("boot_mode", ["legacy-bios", "uefi", None])
@pytest.mark.parametrize("platform", ["Linux", "Windows", None])
def test_import_image_is_asked_in_the_words_of_the_service_model(boot_mode: str | None, platform: str | None) -> None:
    request = ImportRequest(
        snapshots=["snap-01", "snap-02"],
        token="run-1",
        description="a" * 300,
        role="vmimport",
        tags={STACK_TAG: "dev"},
        license_type="BYOL",
        boot_mode=boot_mode,
        platform=platform,
        encrypted=True,
        kms_key_arn="arn:aws:kms:eu-central-1:123456789012:key/1",
    )
    arguments = request.arguments()
    assert refused_by_the_model("ImportImage", arguments) == []
    assert arguments["DiskContainers"] == [{"SnapshotId": "snap-01"}, {"SnapshotId": "snap-02"}]
    kinds = MODEL.shape_for("ResourceType").enum
    assert {each["ResourceType"] for each in arguments["TagSpecifications"]} <= set(kinds)


def test_the_checker_knows_a_wrong_argument() -> None:
    assert refused_by_the_model("ImportImage", {"BootMode": "efi"})
    assert refused_by_the_model("ImportImage", {"Snapshots": []})


def registered(aws: Aws, tags: dict[str, str], **values: Any) -> str:
    arguments: dict[str, Any] = {
        "name": f"rehost/{tags[RUN_TAG]}",
        "disks": [
            DiskImage("/dev/sda1", snapshot(aws, tags), 1),
            DiskImage("/dev/sdf", snapshot(aws, tags, seed=2), 2),
        ],
        "architecture": "x86_64",
        "boot_mode": None,
        "description": "",
        "tags": tags,
    }
    return aws.images.register(**(arguments | values))


def test_root_and_data_disks_stand_in_order(aws: Aws, tags: dict[str, str]) -> None:
    image = registered(aws, tags)
    found = boto3.client("ec2", endpoint_url=aws.session.settings.endpoint, region_name="eu-central-1").describe_images(
        ImageIds=[image]
    )["Images"][0]
    assert found["RootDeviceName"] == "/dev/sda1"
    assert [(each["DeviceName"], each["Ebs"]["VolumeSize"]) for each in found["BlockDeviceMappings"]] == [
        ("/dev/sda1", 1),
        ("/dev/sdf", 2),
    ]


@pytest.mark.parametrize(
    "values",
    [
        {"tpm": True},
        {"tpm": True, "boot_mode": "legacy-bios"},
        {"uefi_data": "QU1aTlVFRkk=", "boot_mode": "legacy-bios"},
        {"architecture": "arm64", "boot_mode": "legacy-bios"},
        {"name": "no:colons"},
    ],
)
def test_the_sandbox_refuses_what_register_image_refuses(aws: Aws, tags: dict[str, str], values: Any) -> None:
    with pytest.raises(Refused):
        registered(aws, tags, **values)


def test_metadata_version_2_can_be_required_later(aws: Aws, tags: dict[str, str]) -> None:
    image = registered(aws, tags)
    aws.images.require_imdsv2(image)
    view = aws.images.describe(image)
    assert view is not None
    assert view.imdsv2


def copied(aws: Aws, there: Aws, image: str, tags: dict[str, str], **values: Any) -> str:
    arguments: dict[str, Any] = {
        "from_region": "eu-central-1",
        "name": f"rehost/{tags[RUN_TAG]}",
        "description": "",
        "tags": tags,
        "encrypted": False,
        "kms_key_arn": None,
    }
    return there.copies.copy(image, **(arguments | values))


def test_a_copy_is_made_once_and_waited_for(aws: Aws, tags: dict[str, str]) -> None:
    image, there = registered(aws, tags), aws.in_region("eu-west-1")
    assert aws.in_region("eu-central-1") is aws
    assert aws.in_region("eu-west-1") is there
    copy = copied(aws, there, image, tags)
    pending = there.images.describe(copy)
    assert pending is not None
    assert pending.state == "pending"
    assert copied(aws, there, image, tags) == copy
    assert (
        copied(aws, there, image, tags, description="changed meanwhile") == copy
    )  # another request: found by its name
    view = there.images.wait_available(copy)
    assert (view.tags, len(view.snapshot_ids)) == (tags, 2)
    for snapshot_id in view.snapshot_ids:
        found = there.ebs.describe(snapshot_id)
        assert found is not None
        assert found.tags == tags
        assert aws.ebs.describe(snapshot_id) is None  # it is in the other region alone


def test_a_copy_with_a_key_of_another_region_fails_later_as_in_aws(aws: Aws, tags: dict[str, str]) -> None:
    image, there = registered(aws, tags), aws.in_region("eu-west-1")
    kms = boto3.client("kms", endpoint_url=aws.session.settings.endpoint, region_name="eu-central-1")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    copy = copied(aws, there, image, tags, encrypted=True, kms_key_arn=key)
    with pytest.raises(Refused, match="is not in eu-west-1"):
        there.images.wait_available(copy)
    with pytest.raises(Refused, match="is a key of eu-central-1"):
        there.preflight.key_arn(key)


def test_copy_snapshot_makes_an_encrypted_one_of_one_that_is_not(aws: Aws, tags: dict[str, str]) -> None:
    made = snapshot(aws, tags)
    ec2 = boto3.client("ec2", endpoint_url=aws.session.settings.endpoint, region_name="eu-west-1")
    copy = ec2.copy_snapshot(SourceSnapshotId=made, SourceRegion="eu-central-1", Encrypted=True)["SnapshotId"]
    found = aws.in_region("eu-west-1").ebs.describe(copy)
    assert found is not None
    assert (found.encrypted, found.state) == (True, "completed")
    with pytest.raises(botocore.exceptions.ClientError, match="does not exist in us-east-1"):
        ec2.copy_snapshot(SourceSnapshotId=made, SourceRegion="us-east-1")


def test_sharing_comes_and_goes_and_what_is_not_ours_is_left_alone(aws: Aws, tags: dict[str, str]) -> None:
    image, stack = registered(aws, tags), tags[STACK_TAG]
    ec2 = boto3.client("ec2", endpoint_url=aws.session.settings.endpoint, region_name="eu-central-1")
    view = aws.images.describe(image)
    assert view is not None

    def accounts() -> list[list[str]]:
        shown = [ec2.describe_image_attribute(ImageId=image, Attribute="launchPermission")["LaunchPermissions"]]
        shown += [
            ec2.describe_snapshot_attribute(SnapshotId=each, Attribute="createVolumePermission")[
                "CreateVolumePermissions"
            ]
            for each in view.snapshot_ids
        ]
        return [sorted(each["UserId"] for each in entries) for entries in shown]

    both = ["210987654321", "321098765432"]
    aws.sharing.share(image, both, stack=stack)
    aws.sharing.share(image, both, stack=stack)
    assert accounts() == [both] * 3
    with pytest.raises(NotOurs):
        aws.sharing.unshare(image, both, stack="another")
    aws.sharing.unshare(image, both[:1], stack=stack)
    assert accounts() == [both[1:]] * 3
    aws.sharing.unshare("ami-0123456789abcdef0", both, stack=stack)
    with pytest.raises(NotFound):
        aws.sharing.share("ami-0123456789abcdef0", both, stack=stack)


def test_a_grant_is_made_once_and_taken_back_by_its_name(aws: Aws) -> None:
    kms = boto3.client("kms", endpoint_url=aws.session.settings.endpoint, region_name="eu-central-1")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    for _ in range(2):
        aws.sharing.grant(key, "210987654321", "rehost/dev/web-01")
    aws.sharing.grant(key, "210987654321", "rehost/dev/web-02")
    assert len(kms.list_grants(KeyId=key)["Grants"]) == 2
    aws.sharing.revoke(key, "210987654321", "rehost/dev/web-01")
    aws.sharing.revoke(key, "210987654321", "rehost/dev/web-01")
    assert [grant["Name"] for grant in kms.list_grants(KeyId=key)["Grants"]] == ["rehost/dev/web-02"]


TRUST = {
    "Effect": "Allow",
    "Principal": {"Service": "vmie.amazonaws.com"},
    "Action": "sts:AssumeRole",
    "Condition": {"StringEquals": {"sts:Externalid": "vmimport"}},
}


@pytest.mark.parametrize(
    ("changes", "is_good"),
    [
        ({}, True),
        ({"Principal": {"Service": ["ec2.amazonaws.com", "vmie.amazonaws.com"]}}, True),
        ({"Condition": {}}, True),
        ({"Principal": {"Service": "ec2.amazonaws.com"}}, False),
        ({"Effect": "Deny"}, False),
        ({"Action": "sts:TagSession"}, False),
        ({"Condition": {"StringEquals": {"sts:ExternalId": "another"}}}, False),
    ],
)
def test_a_role_must_let_vm_import_assume_it(
    aws: Aws, tags: dict[str, str], changes: dict[str, Any], is_good: bool
) -> None:
    iam = boto3.client("iam", endpoint_url=aws.session.settings.endpoint, region_name="us-east-1")
    document = {"Version": "2012-10-17", "Statement": [{**TRUST, **changes}]}
    role = f"role-{tags[STACK_TAG]}"[:64]
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(document))
    if is_good:
        aws.preflight.check_role(role)
    else:
        with pytest.raises(Refused, match=r"vmie\.amazonaws\.com"):
            aws.preflight.check_role(role)


def test_a_key_that_is_to_be_deleted_or_cannot_encrypt_is_said_so(aws: Aws) -> None:
    kms = boto3.client("kms", endpoint_url=aws.session.settings.endpoint, region_name="eu-central-1")
    doomed = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.schedule_key_deletion(KeyId=doomed, PendingWindowInDays=7)
    with pytest.raises(Refused, match=r"is to be deleted on 20\d\d-"):
        aws.preflight.key(doomed)
    signing = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="RSA_2048")["KeyMetadata"]["KeyId"]
    with pytest.raises(Refused, match="not a symmetric key"):
        aws.preflight.key(signing)


def test_the_accounts_default_encryption_is_known(aws: Aws, sandbox: Sandbox) -> None:
    always, default = aws.preflight.encryption()
    assert not always
    assert aws.preflight.key_arn(default) == default


def test_an_overloaded_service_is_no_missing_thing(aws: Aws, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    from rehost.aws import ServiceFailed

    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _seconds: None)
    sandbox.fault(action="error", service="ec2", operation="DescribeImages", status=503, code="Unavailable")
    with pytest.raises(ServiceFailed):
        aws.images.describe("ami-0123456789abcdef0")
