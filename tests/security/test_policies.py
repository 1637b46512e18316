"""The policies that docs/security.md hands out, against what the code calls and what AWS lets a policy say."""

from __future__ import annotations

import json
import re

import pytest

from sandbox import Sandbox

from .client_calls import calls_in, code_calls, operation_names
from .policies import BY_SPEC, FOLDER, FREE, IMPLIED, actions, document, statements

OURS = ("connector", "operator", "spreading", "validation")
TAG = "rehost:stack"
#: Actions on things that exist, for which AWS supports `aws:ResourceTag` (service authorization reference, EC2 and EBS).
RESOURCE_TAG = frozenset(
    {
        "ebs:CompleteSnapshot", "ebs:GetSnapshotBlock", "ebs:ListSnapshotBlocks", "ebs:PutSnapshotBlock",
        "ec2:CancelImportTask", "ec2:DeleteSnapshot", "ec2:DeleteTags", "ec2:DeregisterImage",
        "ec2:ModifyImageAttribute", "ec2:ModifySnapshotAttribute",
        "ec2:AssociateIamInstanceProfile", "ec2:DisassociateIamInstanceProfile",
        "ec2:ModifyInstanceAttribute", "ec2:ModifyInstanceMetadataOptions", "ec2:ModifyVolume",
        "ec2:ReplaceIamInstanceProfileAssociation",
        "ec2:StartInstances", "ec2:StopInstances", "ec2:TerminateInstances", "ec2:GetConsoleOutput",
    }
)  # fmt: skip
#: Actions that make something, with the resources of theirs that AWS compares `aws:RequestTag` for.
REQUEST_TAG = {
    "ebs:StartSnapshot": {"snapshot"},
    "ec2:CopyImage": {"image", "snapshot"},
    "ec2:ImportImage": {"import-image-task"},
    "ec2:RegisterImage": {"image"},
    "ec2:RunInstances": {"instance", "network-interface", "volume"},
}
#: AWS supports no resources for them (service authorization reference, Systems Manager).
NO_RESOURCES = frozenset({"ssm:CancelCommand"})
MANAGED_POLICY_CHARACTERS = 6144  # IAM quotas; white space does not count


def test_the_policies_allow_what_the_code_calls_and_nothing_else() -> None:
    allowed = {action for name in OURS for action in actions(name)}
    called = code_calls() - FREE - BY_SPEC
    assert called - allowed == set(), "called, and no policy allows it"
    assert allowed - called - IMPLIED.keys() == set(), "allowed, and never called"


@pytest.mark.parametrize("name", OURS)
def test_what_is_implied_is_implied_by_something_allowed(name: str) -> None:
    allowed = actions(name)
    for action in (allowed & IMPLIED.keys()) - code_calls():
        assert IMPLIED[action] & allowed, action


def test_a_call_that_cannot_be_told_is_not_overlooked() -> None:
    assert calls_in('x = s.client("ec2")\nx.run_instances()\ns.client("kms").describe_key()') == {
        "ec2:RunInstances",
        "kms:DescribeKey",
    }
    assert calls_in('ec2 = s.client("ec2")\nec2.get_paginator("describe_images").paginate()') == {"ec2:DescribeImages"}
    with pytest.raises(AssertionError, match="of which service"):
        calls_in("something.run_instances()")


@pytest.mark.parametrize("name", [*OURS, "vmimport-role", "kms-key-statements"])
def test_each_action_is_one_that_aws_has(name: str) -> None:
    for action in actions(name) - IMPLIED.keys() - {"kms:Encrypt", "kms:GenerateDataKey"}:
        service, operation = action.split(":")
        known = operation_names(service)
        if operation.endswith("*"):
            assert any(each.startswith(operation[:-1]) for each in known), action
        else:
            assert operation in known, action


@pytest.mark.parametrize("name", OURS)
def test_nothing_is_changed_that_lacks_our_tag(name: str) -> None:
    for statement in statements(name):
        for action in statement.actions:
            operation = action.split(":")[1]
            if action in RESOURCE_TAG:
                assert statement.condition == {"StringEquals": {f"aws:ResourceTag/{TAG}": "prod"}}, statement.sid
            if f"aws:RequestTag/{TAG}" in statement.condition_keys and operation != "CreateTags":
                assert _kinds(statement.resources) <= REQUEST_TAG[action], statement.sid
            if action in REQUEST_TAG and not statement.condition:
                assert not _kinds(statement.resources) & (REQUEST_TAG[action] - {"image"}), statement.sid
            if operation == "CreateTags":
                assert statement.condition_keys & {"ec2:CreateAction", f"aws:ResourceTag/{TAG}"}, statement.sid
            if action == "ssm:SendCommand" and "instance" in _kinds(statement.resources):
                assert statement.condition == {"StringEquals": {f"aws:ResourceTag/{TAG}": "prod"}}, statement.sid
            free = action in NO_RESOURCES or operation.startswith(("Describe", "Get", "List"))
            if not free and not action.startswith(("kms:", "iam:")):
                assert statement.resources != ("*",), f"{statement.sid}: {action} on everything"


def test_each_creating_call_needs_the_tag_in_its_request() -> None:
    made = {
        action: set().union(
            *(
                _kinds(statement.resources)
                for name in OURS
                for statement in statements(name)
                if action in statement.actions and f"aws:RequestTag/{TAG}" in statement.condition_keys
            )
        )
        for action in REQUEST_TAG
    }
    assert made == REQUEST_TAG


# `spreading` is for accounts that the spec names; it bounds what a grant can allow instead.
@pytest.mark.parametrize("name", ["connector", "operator", "kms-key-statements"])
def test_roles_and_grants_go_to_aws_services_only(name: str) -> None:
    wanted = {
        "iam:PassRole": {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
        "kms:CreateGrant": {"Bool": {"kms:GrantIsForAWSResource": "true"}},
    }
    for statement in statements(name):
        for action in wanted.keys() & set(statement.actions):
            assert statement.actions == (action,)
            assert statement.condition == wanted[action]


#: The others are AWS's: what Azure makes of its role, tests/sources/test_azure_faults.py says.
AWS = sorted(path for path in FOLDER.glob("*.json") if not path.stem.startswith("azure-"))


@pytest.mark.parametrize("path", AWS, ids=lambda path: path.stem)
def test_each_file_is_a_policy_that_iam_takes(path: object) -> None:
    name = getattr(path, "stem")  # noqa: B009 - pytest types parameters as object
    found = document(name)
    assert found["Version"] == "2012-10-17"
    assert len(re.sub(r"\s", "", json.dumps(found))) <= MANAGED_POLICY_CHARACTERS
    sids = [entry.get("Sid", "trust") for entry in found["Statement"]]
    assert len(set(sids)) == len(sids)
    assert all(re.fullmatch(r"[A-Za-z0-9]+", sid) for sid in sids)


def test_the_sandbox_trusts_its_import_role_as_the_policy_says(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3

    iam = boto3.client(
        "iam",
        endpoint_url=sandbox.endpoint,
        region_name="eu-central-1",
        aws_access_key_id="sandbox",
        aws_secret_access_key="sandbox",
    )
    assert iam.get_role(RoleName="vmimport")["Role"]["AssumeRolePolicyDocument"] == document("vmimport-trust")


def test_the_page_names_every_file_and_action() -> None:
    page = (FOLDER.parent / "security.md").read_text("utf-8")
    for path in FOLDER.glob("*.json"):
        assert f"policies/{path.name}" in page, path.name
    for name in OURS:
        for action in actions(name):
            assert f"`{action}`" in page, action


def _kinds(resources: tuple[str, ...]) -> set[str]:
    """`{"image", "snapshot"}` of EC2's ARNs."""
    return {resource.rsplit(":", 1)[1].split("/")[0] for resource in resources}
