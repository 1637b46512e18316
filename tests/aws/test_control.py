"""Everything of AWS but the blocks: access, snapshots, images, instances, and what is not ours."""

from __future__ import annotations

import subprocess
from pathlib import Path

import boto3
import pytest

from rehost.aws import (
    Asked,
    Aws,
    AwsError,
    AwsSettings,
    CredentialsMissing,
    CredentialsRefused,
    DiskImage,
    EndpointUnreachable,
    ImportRequest,
    Interface,
    LaunchRequest,
    NotFound,
    NotOurs,
    ProfileMissing,
    Refused,
    RegionMissing,
    VolumeSettings,
)
from sandbox import Sandbox

from .conftest import FakeTime, snapshot


def client(sandbox: Sandbox, service: str) -> object:
    return boto3.client(service, endpoint_url=sandbox.endpoint, region_name="eu-central-1")


def quiet(_: str) -> None:
    pass


def test_access_says_who_we_are(aws: Aws) -> None:
    identity = aws.check_access()
    assert (identity.account, identity.region) == ("123456789012", "eu-central-1")


def test_the_region_is_taken_from_the_stack_else_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert Aws(AwsSettings()).region == "us-east-1"
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert Aws(AwsSettings()).region == "eu-west-1"
    assert Aws(AwsSettings(region="eu-central-1")).region == "eu-central-1"


def test_missing_settings_are_said_with_what_to_do(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RegionMissing, match="rehost:region"):
        Aws(AwsSettings(endpoint=sandbox.endpoint)).check_access()
    with pytest.raises(ProfileMissing, match="nobody"):
        Aws(AwsSettings(profile="nobody", region="eu-central-1")).check_access()
    with pytest.raises(EndpointUnreachable, match="Connection refused"):
        Aws(AwsSettings(region="eu-central-1", endpoint="http://127.0.0.1:9")).check_access()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(CredentialsMissing, match="AWS_PROFILE"):
        Aws(AwsSettings(region="eu-central-1", endpoint=sandbox.endpoint)).check_access()


def test_refused_credentials_are_said_without_the_secret(tmp_path: Path, time: FakeTime) -> None:
    with Sandbox(tmp_path, options=("--no-boot", "--access-key", "GOOD")) as strict:
        aws = Aws(AwsSettings(region="eu-central-1", endpoint=strict.endpoint), time.policy())
        for call in (
            aws.check_access,
            lambda: aws.ebs.describe("snap-0123"),
            lambda: list(aws.ebs.blocks_of("snap-0123")),
        ):
            with pytest.raises(CredentialsRefused) as caught:
                call()
            assert "very-secret-key" not in str(caught.value) + repr(caught.value)
            assert "\n" not in str(caught.value)


def test_certificates_are_verified_against_the_bundle_that_the_sdk_is_told(
    tmp_path: Path, time: FakeTime, monkeypatch: pytest.MonkeyPatch, tags: dict[str, str]
) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    options = ("--no-boot", "--tls-cert", str(certificate), "--tls-key", str(key))
    with Sandbox(tmp_path / "sandbox", options=options) as secure:
        assert secure.endpoint.startswith("https://")
        settings = AwsSettings(region="eu-central-1", endpoint=secure.endpoint)
        with pytest.raises(EndpointUnreachable, match="certificate"):
            Aws(settings, time.policy(1)).check_access()
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
        assert snapshot(Aws(settings, time.policy()), tags)


def test_the_same_token_starts_one_snapshot(aws: Aws, tags: dict[str, str]) -> None:
    first = aws.ebs.start(volume_gib=2, token="once", description="", tags=tags)
    assert aws.ebs.start(volume_gib=2, token="once", description="", tags=tags) == first
    with pytest.raises(Refused):
        aws.ebs.start(volume_gib=3, token="once", description="", tags=tags)


def test_registering_twice_finds_the_first_and_a_foreign_name_is_refused(
    aws: Aws, sandbox: Sandbox, tags: dict[str, str]
) -> None:
    disks = [DiskImage("/dev/sda1", snapshot(aws, tags), 1), DiskImage("/dev/sdf", snapshot(aws, tags), 2)]
    name = f"rehost/{tags['rehost:run']}"
    values = {"disks": disks, "architecture": "x86_64", "boot_mode": None, "description": "", "tags": tags}
    image = aws.images.register(name=name, **values)  # type: ignore[arg-type]
    assert aws.images.register(name=name, **values) == image  # type: ignore[arg-type]
    assert aws.images.wait_available(image).snapshot_ids == (disks[0].snapshot_id, disks[1].snapshot_id)
    other = tags | {"rehost:stack": "somebody-else"}
    with pytest.raises(Refused, match="in use"):
        aws.images.register(name=name, **(values | {"tags": other}))  # type: ignore[arg-type]


def test_an_import_ends_with_an_image_of_ours(aws: Aws, tags: dict[str, str]) -> None:
    request = ImportRequest(
        snapshots=[snapshot(aws, tags)],
        token=tags["rehost:run"],
        description="",
        role="vmimport",
        license_type="BYOL",
        boot_mode="uefi",
        platform="Linux",
        tags=tags,
    )
    task = aws.imports.start(request)
    assert aws.imports.start(request) == task
    while not (progress := aws.imports.progress(task)).is_completed:
        assert not progress.is_failed
    assert progress.image_id
    view = aws.images.describe(progress.image_id)
    assert view is not None
    aws.imports.claim(progress.image_id, view.snapshot_ids, tags)
    assert [found.id for found in aws.imports.owned(tags)] == [task]
    kinds = sorted(each.kind for each in aws.list_owned(tags["rehost:stack"]))
    assert kinds == ["image", "snapshot", "snapshot"]


def test_what_is_not_ours_is_left_alone(aws: Aws, tags: dict[str, str]) -> None:
    made = snapshot(aws, tags)
    image = aws.images.register(
        name=tags["rehost:run"],
        disks=[DiskImage("/dev/sda1", made, 1)],
        architecture="x86_64",
        boot_mode=None,
        description="",
        tags=tags,
    )
    instance = aws.instances.launch(LaunchRequest("token", image, "t3.micro", tags=tags), on_progress=quiet).instance_id
    with pytest.raises(NotOurs, match="left alone"):
        aws.ebs.delete(made, stack="another")
    with pytest.raises(NotOurs):
        aws.images.deregister(image, stack="another")
    with pytest.raises(NotOurs):
        aws.instances.terminate(instance, stack="another")
    with pytest.raises(NotOurs):
        aws.instance_changes.change_type(instance, "t3.small", stack="another", on_progress=quiet)
    assert len(aws.list_owned(tags["rehost:stack"])) == 4  # the instance's volume, too


def test_an_instance_is_launched_once_and_anew_after_its_end(aws: Aws, tags: dict[str, str]) -> None:
    image = aws.images.register(
        name=tags["rehost:run"],
        disks=[DiskImage("/dev/sda1", snapshot(aws, tags), 1)],
        architecture="x86_64",
        boot_mode=None,
        description="",
        tags=tags,
    )
    request = LaunchRequest(
        f"{tags['rehost:stack']}/web-01",
        image,
        "t3.micro",
        volume=VolumeSettings("gp3"),
        user_data="#!/bin/sh",
        tags=tags,
    )
    first = aws.instances.launch(request, on_progress=quiet)
    assert aws.instances.launch(request, on_progress=quiet).instance_id == first.instance_id
    aws.instances.terminate(first.instance_id, stack=tags["rehost:stack"])
    assert aws.instances.describe(first.instance_id) is None
    second = aws.instances.launch(request, on_progress=quiet)
    assert second.instance_id != first.instance_id
    assert second.state == "running"


def test_a_change_of_type_stops_and_starts(aws: Aws, tags: dict[str, str]) -> None:
    image = aws.images.register(
        name=tags["rehost:run"],
        disks=[DiskImage("/dev/sda1", snapshot(aws, tags), 1)],
        architecture="x86_64",
        boot_mode=None,
        description="",
        tags=tags,
    )
    made = aws.instances.launch(LaunchRequest(tags["rehost:run"], image, "t3.micro", tags=tags), on_progress=quiet)
    aws.instance_changes.change_type(made.instance_id, "t3.small", stack=tags["rehost:stack"], on_progress=quiet)
    view = aws.instances.describe(made.instance_id)
    assert view is not None
    assert (view.instance_type, view.state) == ("t3.small", "running")


def test_everything_wrong_with_a_launch_is_said_at_once(aws: Aws) -> None:
    problems = aws.launch_checks.problems(
        Asked(
            instance_type="t9.huge",
            security_groups=["sg-0123"],
            key_name="none",
            instance_profile="none",
            interfaces=[Interface("subnet-0123")],
            placement_group="none",
            host="h-0123",
            template={"id": "lt-0123", "version": "1"},
        )
    )
    assert [problem.field for problem in problems] == [
        "instanceType",
        "securityGroups",
        "keyName",
        "instanceProfile",
        "placement",
        "placement",
        "launchTemplate",
        "networkInterfaces",
    ]


def test_a_key_is_found_by_id_alias_and_arn(aws: Aws, sandbox: Sandbox, tags: dict[str, str]) -> None:
    kms = boto3.client("kms", endpoint_url=sandbox.endpoint, region_name="eu-central-1")
    key = kms.create_key()["KeyMetadata"]
    alias = f"alias/{tags['rehost:run']}"
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    assert {aws.preflight.key_arn(name) for name in (key["KeyId"], alias, key["Arn"])} == {key["Arn"]}
    kms.disable_key(KeyId=key["KeyId"])
    with pytest.raises(Refused, match="not enabled"):
        aws.preflight.key_arn(alias)
    with pytest.raises(NotFound):
        aws.preflight.key_arn("alias/none")


def test_a_missing_import_role_is_said_before_a_byte_moves(aws: Aws) -> None:
    aws.preflight.check_role("vmimport")
    with pytest.raises(NotFound, match="conversion: register"):
        aws.preflight.check_role("nobody")


def test_every_error_is_one_line(sandbox: Sandbox) -> None:
    with pytest.raises(AwsError) as caught:
        Aws(AwsSettings(region="eu-central-1", endpoint="not a url")).check_access()
    assert "\n" not in str(caught.value)
