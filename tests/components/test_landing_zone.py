"""The landing zone in Pulumi's mocks: what is made, under which policies, and what is left out when it is given."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components import Ingress, LandingZone, LandingZoneArgs, LandingZoneError
from rehost import spec
from tests.components.conftest import Asked, run_program
from tests.security.policies import actions, document

ACCOUNT = "444455556666"
MAKE = LandingZoneArgs(
    stack="shop",
    account=ACCOUNT,
    region="us-east-2",
    vpc="vpc-1",
    subnet_cidr="10.1.0.0/24",
    zone="us-east-2a",
    ingress=(Ingress(443, from_network="10.0.0.0/8"), Ingress(5432, from_group="sg-app", to_port=5433)),
    key_users=(f"arn:aws:iam::{ACCOUNT}:role/rehost-connector",),
    tags={"owner": "team"},
)
GIVEN = LandingZoneArgs(
    stack="shop",
    account=ACCOUNT,
    region="us-east-2",
    kms_key="arn:aws:kms:us-east-2:444455556666:key/theirs",
    topic="arn:aws:sns:us-east-2:444455556666:theirs",
    import_role="their-vmimport",
    connector_policy="arn:aws:iam::444455556666:policy/theirs",
    subnet="subnet-0123456789abcdef0",
    security_groups=("sg-0123456789abcdef0",),
)


def made(args: LandingZoneArgs) -> tuple[dict[str, Asked], dict[str, Any]]:
    """What is registered, by `kind/name`, and the outputs."""
    outputs: dict[str, Any] = {}

    def program() -> None:
        zone = LandingZone("zone", args)
        pulumi.Output.all(
            key=zone.kms_key,
            topic=zone.topic,
            role=zone.import_role,
            policy=zone.connector_policy,
            groups=zone.security_groups,
            subnet=zone.subnet,
            spec=zone.spec("m7i.large"),
        ).apply(outputs.update)

    asked = run_program(program)
    return {f"{each.kind}/{each.name}": each for each in asked}, outputs


def test_everything_is_made_below_the_component() -> None:
    asked, _ = made(MAKE)
    assert {label: each.type for label, each in asked.items() if each.parent == "LandingZone/zone"} == {
        "Role/zone-vmimport": "aws:iam/role:Role",
        "RolePolicy/zone-vmimport": "aws:iam/rolePolicy:RolePolicy",
        "Key/zone-key": "aws:kms/key:Key",
        "Alias/zone-key": "aws:kms/alias:Alias",
        "Topic/zone-topic": "aws:sns/topic:Topic",
        "Policy/zone-connector": "aws:iam/policy:Policy",
        "SecurityGroup/zone-servers": "aws:ec2/securityGroup:SecurityGroup",
        "SecurityGroupEgressRule/zone-out": "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
        "SecurityGroupIngressRule/zone-443-443-10.0.0.0/8": "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
        "SecurityGroupIngressRule/zone-5432-5433-sg-app": "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
        "Subnet/zone-staging": "aws:ec2/subnet:Subnet",
    }
    assert len(asked) == 12
    assert asked["Alias/zone-key"].inputs["name"] == "alias/rehost-shop"
    assert asked["Topic/zone-topic"].inputs["name"] == "rehost-shop"
    assert asked["Key/zone-key"].protected
    for label in (
        "Role/zone-vmimport",
        "Key/zone-key",
        "Topic/zone-topic",
        "Policy/zone-connector",
        "Subnet/zone-staging",
    ):
        assert asked[label].inputs["tags"].items() >= {"owner": "team", "rehost:stack": "shop"}.items(), label


def test_what_is_given_is_used_and_nothing_is_made() -> None:
    asked, outputs = made(GIVEN)
    assert asked.keys() == {"LandingZone/zone"}
    assert {key: value for key, value in outputs.items() if key != "spec"} == {
        "key": GIVEN.kms_key, "topic": GIVEN.topic, "role": GIVEN.import_role, "policy": GIVEN.connector_policy,
        "groups": ["sg-0123456789abcdef0"], "subnet": "subnet-0123456789abcdef0",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("part", "kinds"),
    [
        ("kms_key", {"Key", "Alias"}),
        ("topic", {"Topic"}),
        ("import_role", {"Role", "RolePolicy"}),
        ("connector_policy", {"Policy"}),
        ("subnet", {"Subnet"}),
        ("security_groups", {"SecurityGroup", "SecurityGroupEgressRule", "SecurityGroupIngressRule"}),
    ],
)
def test_each_part_can_be_given(part: str, kinds: set[str]) -> None:
    without: dict[str, dict[str, Any]] = {
        "kms_key": {"key_users": ()}, "subnet": {"subnet_cidr": None}, "security_groups": {"ingress": ()},
    }  # fmt: skip
    everything = {each.kind for each in made(MAKE)[0].values()}
    given = replace(MAKE, **{part: getattr(GIVEN, part)}, **without.get(part, {}))
    assert everything - {each.kind for each in made(given)[0].values()} == kinds


def test_without_a_network_none_is_made() -> None:
    asked, outputs = made(replace(MAKE, vpc=None, subnet_cidr=None, ingress=()))
    assert not {each.kind for each in asked.values()} & {"Subnet", "SecurityGroup"}
    assert (outputs["groups"], outputs["subnet"]) == ([], None)


def test_the_import_role_is_trusted_and_allowed_as_the_policies_say() -> None:
    role = made(MAKE)[0]["Role/zone-vmimport"].inputs
    trust = json.loads(role["assumeRolePolicy"])
    assert trust == document("vmimport-trust")
    assert trust["Statement"][0]["Condition"] == {"StringEquals": {"sts:Externalid": "vmimport"}}
    assert role["name"] == "vmimport"
    inline = made(MAKE)[0]["RolePolicy/zone-vmimport"].inputs
    assert json.loads(inline["policy"]) == document("vmimport-role")


def test_the_connectors_policy_is_the_page_s_for_this_account() -> None:
    found = json.loads(made(MAKE)[0]["Policy/zone-connector"].inputs["policy"])
    allowed = {
        action
        for each in found["Statement"]
        for action in ([each["Action"]] if isinstance(each["Action"], str) else each["Action"])
    }
    assert allowed == actions("connector") | {"sns:Publish"}
    text = json.dumps(found)
    assert not any(word in text for word in ("111122223333", "eu-central-1", '"prod"', "11111111-2222"))
    assert '"aws:ResourceTag/rehost:stack": "shop"' in text
    assert f"arn:aws:iam::{ACCOUNT}:role/vmimport" in text
    assert '"Resource": "arn:mock:zone-key"' in text
    assert found["Statement"][-1]["Resource"] == "arn:mock:zone-topic"


def test_the_key_is_for_its_users_and_the_importer() -> None:
    found = json.loads(made(MAKE)[0]["Key/zone-key"].inputs["policy"])
    users = {each["Sid"]: each["Principal"]["AWS"] for each in found["Statement"]}
    connector, importer = f"arn:aws:iam::{ACCOUNT}:role/rehost-connector", f"arn:aws:iam::{ACCOUNT}:role/vmimport"
    assert users == {
        "Administer": f"arn:aws:iam::{ACCOUNT}:root",
        "MoveDisks": [connector],
        "ImportDisks": [importer],
        "LetEbsUseTheKey": [connector, importer],
    }
    alone = json.loads(made(replace(MAKE, key_users=()))[0]["Key/zone-key"].inputs["policy"])
    assert [each["Sid"] for each in alone["Statement"]] == ["Administer", "ImportDisks", "LetEbsUseTheKey"]


def test_other_partitions() -> None:
    asked, _ = made(replace(MAKE, region="cn-north-1", key_users=()))
    for label, key in (("Policy/zone-connector", "policy"), ("Key/zone-key", "policy")):
        assert "arn:aws:" not in asked[label].inputs[key]
        assert "arn:aws-cn:" in asked[label].inputs[key]


def test_its_outputs_are_a_file_of_the_spec(tmp_path: Path) -> None:
    _, outputs = made(GIVEN)
    folder = tmp_path / "migration_specs"
    folder.mkdir()
    (folder / "landing-zone.yaml").write_text(json.dumps(outputs["spec"]))
    (folder / "servers.yaml").write_text(
        "sources: {exports: {type: images, path: ../exports}}\n"
        "servers: {web-01: {source: exports, locator: {name: web-01}, launchConfig: landing-zone}}\n"
    )
    config = spec.load(folder, root=tmp_path).servers["web-01"].launch_config
    assert config is not None
    assert (config.instance_type, config.subnet, tuple(config.security_groups)) == (
        "m7i.large", "subnet-0123456789abcdef0", ("sg-0123456789abcdef0",),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"account": "4444"}, "account '4444' is not 12 digits"),
        ({"vpc": None}, "subnet_cidr needs vpc; ingress needs vpc"),
        ({"subnet": "subnet-1"}, "give subnet, an existing one, or subnet_cidr"),
        ({"security_groups": ("sg-1",)}, "security_groups are given"),
        ({"kms_key": "arn"}, "key_users are for the key that is made"),
        ({"ingress": (Ingress(22),)}, "ingress of port 22: give one of from_network and from_group"),
        ({"ingress": (Ingress(22, "10.0.0.0/8", to_port=21),)}, "ports are 0 to 65535, the smaller one first"),
    ],
)
def test_what_does_not_go_together_is_said_before_anything_is_registered(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(LandingZoneError, match=said.replace("(", r"\(")):
        made(replace(MAKE, **wrong))


def test_without_pulumi_aws_only_a_landing_zone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pulumi_aws", None)
    with pytest.raises(LandingZoneError, match=r"pip install 'rehost\[landing-zone\]'"):
        made(MAKE)
