"""Systems Manager's commands: they run in an agent, or they are not said to have run."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox import Sandbox
from tests.agents import LocalAgent

from .conftest import Clients, complete, data_of, put, refusal, start


@pytest.fixture
def instance(aws: Clients) -> Iterator[str]:
    snapshot = start(aws)
    put(aws, snapshot, 0, data_of("root"))
    complete(aws, snapshot, {0: data_of("root")})
    image = aws.ec2.register_image(
        Name=f"ssm {snapshot}", RootDeviceName="/dev/sda1", VirtualizationType="hvm", Architecture="x86_64",
        BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot}}],
    )["ImageId"]  # fmt: skip
    made = aws.ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, InstanceType="t3.micro")
    instance_id = made["Instances"][0]["InstanceId"]
    yield instance_id
    aws.ec2.terminate_instances(InstanceIds=[instance_id])


def send(aws: Clients, instance: str, *commands: str, **more: Any) -> str:
    asked = {"DocumentName": "AWS-RunShellScript", "Parameters": {"commands": list(commands)}, **more}
    return str(aws.ssm.send_command(InstanceIds=[instance], **asked)["Command"]["CommandId"])


def look(aws: Clients, command: str, instance: str) -> dict[str, Any]:
    return dict(aws.ssm.get_command_invocation(CommandId=command, InstanceId=instance))


def ended(aws: Clients, command: str, instance: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while (seen := look(aws, command, instance))["Status"] in ("Pending", "InProgress"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return seen


def test_without_an_agent_nothing_is_accepted(aws: Clients, instance: str) -> None:
    filters = [{"Key": "InstanceIds", "Values": [instance]}]
    assert aws.ssm.describe_instance_information(Filters=filters)["InstanceInformationList"] == []
    asked = {"DocumentName": "AWS-RunShellScript", "Parameters": {"commands": ["true"]}}
    assert refusal(aws.ssm.send_command, InstanceIds=[instance], **asked)[0] == "InvalidInstanceId"


def test_a_command_runs_and_its_output_is_its_own(aws: Clients, sandbox: Sandbox, instance: str) -> None:
    with LocalAgent(sandbox, instance):
        nodes = aws.ssm.describe_instance_information()["InstanceInformationList"]
        # Other tests of this worker had nodes in the same sandbox.
        assert [(each["PingStatus"], each["PlatformType"]) for each in nodes if each["InstanceId"] == instance] == [
            ("Online", "Linux")
        ]
        good = ended(aws, send(aws, instance, "echo $((6 * 7))", "echo odd >&2"), instance)
        bad = ended(aws, send(aws, instance, "exit 3"), instance)
    assert (good["Status"], good["ResponseCode"]) == ("Success", 0)
    assert (good["StandardOutputContent"], good["StandardErrorContent"]) == ("42\n", "odd\n")
    assert (bad["Status"], bad["StatusDetails"], bad["ResponseCode"]) == ("Failed", "Failed", 3)
    lost = aws.ssm.describe_instance_information()["InstanceInformationList"]
    assert [each["PingStatus"] for each in lost if each["InstanceId"] == instance] == ["ConnectionLost"]


def test_what_takes_too_long_is_ended(aws: Clients, sandbox: Sandbox, instance: str) -> None:
    with LocalAgent(sandbox, instance) as agent:
        asked = {"Parameters": {"commands": ["echo began", "sleep 600"], "executionTimeout": ["1"]}}
        seen = ended(aws, send(aws, instance, **asked), instance)
        assert (seen["Status"], seen["StatusDetails"], seen["ResponseCode"]) == ("TimedOut", "ExecutionTimedOut", -1)
        command = send(aws, instance, "sleep 600")
        while look(aws, command, instance)["Status"] != "InProgress":
            time.sleep(0.05)
        aws.ssm.cancel_command(CommandId=command)
        assert ended(aws, command, instance)["Status"] == "Cancelled"
        assert all(process.wait(timeout=20) for process in agent._processes)


def test_what_is_found_again_and_what_is_refused(aws: Clients, sandbox: Sandbox, instance: str) -> None:
    with LocalAgent(sandbox, instance):
        command = send(aws, instance, "true", Comment="mine")
        ended(aws, command, instance)
        found = aws.ssm.list_command_invocations(InstanceId=instance)["CommandInvocations"]
        assert [(each["CommandId"], each["Comment"]) for each in found] == [(command, "mine")]
        assert refusal(aws.ssm.send_command, InstanceIds=[instance], DocumentName="Absent")[0] == "InvalidDocument"
        code, _ = refusal(aws.ssm.get_command_invocation, CommandId=command, InstanceId="i-0123456789abcdef0")
        assert code == "InvocationDoesNotExist"
        joined = send(aws, instance, DocumentName="AWS-JoinDirectoryServiceDomain", Parameters={})
        assert "no plugin aws:domainJoin" in ended(aws, joined, instance)["StandardErrorContent"]


def test_a_document_of_ones_own(aws: Clients, sandbox: Sandbox, instance: str) -> None:
    content = {
        "schemaVersion": "2.2",
        "parameters": {"who": {"type": "String"}, "greeting": {"type": "String", "default": "hello"}},
        "mainSteps": [
            {"name": "say", "action": "aws:runShellScript", "inputs": {"runCommand": ["echo {{ greeting }} {{who}}"]}}
        ],
    }
    aws.ssm.create_document(Content=json.dumps(content), Name=f"greet-{instance}", DocumentType="Command")
    with LocalAgent(sandbox, instance):
        seen = ended(aws, send(aws, instance, DocumentName=f"greet-{instance}", Parameters={"who": ["you"]}), instance)
    assert seen["StandardOutputContent"] == "hello you\n"
