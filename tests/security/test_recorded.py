"""A real `pulumi up` and a connector with an identity of their own each: what they call is what their policies allow."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest

from tests.engine.conftest import EngineProject

from .client_calls import code_calls
from .policies import FREE, IMPLIED, TAGGED_AT_CREATION, actions

pytestmark = pytest.mark.engine

#: Allowed and not to be seen in an undisturbed life of an estate, with the reason. The code calls them all the same.
RARE = {
    "connector": {"ec2:CancelImportTask": "only a job that is ended while AWS imports its disks"},
    "operator": {
        "ec2:DescribeAddresses": "only `rehost eject`",
        "ec2:DescribeInstanceAttribute": "only `rehost eject`",
        "ec2:CancelImportTask": "only a job that is ended while AWS imports its disks",
        "ec2:GetEbsDefaultKmsKeyId": "only where a spec begins or ceases to name a key",
        "ec2:GetEbsEncryptionByDefault": "the same",
        "ec2:DescribeNetworkInterfaces": "only `rehost eject`, and where a launch config has a private address",
        "ec2:DescribeHosts": "only where a launch config names a dedicated host",
    },
}


@contextmanager
def connector(project: EngineProject, access_key: str) -> Iterator[dict[str, str]]:
    """A connector as a service, under its own access key; yields its environment."""
    environment = {**project.environment, "AWS_ACCESS_KEY_ID": access_key}
    with (project.folder / "service.log").open("wb") as log:
        process = subprocess.Popen(
            ["rehost", "connector", "run"], cwd=project.folder, env=environment, stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 60
        while not (project.folder / ".rehost" / "control.db").exists() or not project.status()["connectors"]:
            assert process.poll() is None, (project.folder / "service.log").read_text()
            assert time.monotonic() < deadline, "the connector did not report"
            time.sleep(0.1)
        yield environment
    finally:
        process.terminate()
        process.wait(timeout=60)


def furnish(project: EngineProject) -> str:
    """What launch configs refer to, made by somebody else; returns the other security group."""
    ec2, iam, kms = (project.aws(service) for service in ("ec2", "iam", "kms"))
    subnet = ec2.describe_subnets()["Subnets"][0]
    first, second = (
        ec2.create_security_group(GroupName=f"{project.stack}-{name}", Description=name, VpcId=subnet["VpcId"])[
            "GroupId"
        ]
        for name in ("first", "second")
    )
    ec2.create_key_pair(KeyName=project.stack)
    ec2.create_placement_group(GroupName=project.stack)
    for name in ("", "-other"):
        iam.create_instance_profile(InstanceProfileName=f"{project.stack}{name}")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    config = (
        f"instanceType: t3.micro, subnet: {subnet['SubnetId']}, securityGroups: [{first}], keyName: {project.stack}, "
        f"instanceProfile: {project.stack}, volumeType: gp3, tags: {{colour: red, shape: round}}, "
        f"placement: {{group: {project.stack}}}"
    )
    project.edit("instanceType: t3.micro", config)
    project.edit("{conversion: register}", f"{{conversion: register, encrypt: true, kmsKey: {key}}}")
    project.edit("keepImages: 3", "keepImages: 1")
    project.edit("phase: replicate", "phase: test")
    return f"[{first}] -> [{second}]"


def called(project: EngineProject, access_key: str) -> set[str]:
    """What the key called, by IAM's names, with what AWS checks besides."""
    calls = {name.replace(".", ":", 1) for name in project.sandbox.calls(access_key)}
    return calls | ({"ec2:CreateTags"} if calls & TAGGED_AT_CREATION else set())


def test_each_identity_calls_what_its_policy_allows(project: EngineProject) -> None:
    keys = {"operator": f"OPERATOR{uuid4().hex}", "connector": f"CONNECTOR{uuid4().hex}"}
    project.environment["AWS_ACCESS_KEY_ID"] = keys["operator"]
    groups = furnish(project).split(" -> ")
    with connector(project, keys["connector"]) as environment:
        project.up()
        beside = EngineProject(project.folder, project.sandbox, project.stack, environment)
        beside.rehost("run", "web-01", "db-01")
        beside.rehost("run", "web-01", "db-01")  # and the image before is no longer kept
        beside.rehost("verify")
        project.edit(groups[0], groups[1])
        project.edit("colour: red, shape: round", "colour: blue")
        project.edit(
            "instanceType: t3.micro", "instanceType: t3.small, terminationProtection: true, metadataHopLimit: 2"
        )
        project.edit(f"instanceProfile: {project.stack}", f"instanceProfile: {project.stack}-other")
        project.edit("volumeType: gp3", "volumeType: gp3, volumeIops: 4000")
        project.up()
        project.edit("terminationProtection: true", "privateIp: copy, terminationProtection: false")
        project.edit(f"instanceProfile: {project.stack}-other, ", "")
        assert "an IPv4 address" in project.pulumi("preview", ok=False).stdout  # a folder of images knows none
        project.edit("privateIp: copy, ", "")
        project.up()
        project.edit("metadataHopLimit: 2", f"metadataHopLimit: 2, instanceProfile: {project.stack}")
        project.up()
        project.pulumi("destroy", "--yes", "--skip-preview")
    assert project.owned() == []
    for name, key in keys.items():
        calls, allowed = called(project, key) - FREE, actions(name)
        assert calls - allowed == set(), f"the {name} called what its policy does not allow"
        unseen = allowed - calls - IMPLIED.keys()
        assert unseen == RARE[name].keys(), f"what is allowed to the {name}, and was not called, has no reason in RARE"
        assert unseen <= code_calls()
