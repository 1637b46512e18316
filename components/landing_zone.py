"""LandingZone: what an estate needs in an account before the first run, made with `pulumi_aws`. Optional, part by part.

`pulumi_aws` is not among rehost's requirements (docs/decisions.md): it is imported when a LandingZone is made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi

from components._policies import key_policy, policy

INSTALL = "pip install 'rehost[landing-zone]'"


class LandingZoneError(ValueError):
    """The arguments do not go together, or `pulumi_aws` is missing."""


@dataclass(frozen=True)
class Ingress:
    """A door of the security group: TCP ports from one network, or from one security group."""

    port: int
    from_network: str | None = None  # CIDR, IPv4
    from_group: str | None = None  # id
    to_port: int | None = None  # the last of a range; `port` without it

    def problem(self) -> str | None:
        if (self.from_network is None) == (self.from_group is None):
            return f"ingress of port {self.port}: give one of from_network and from_group"
        last = self.port if self.to_port is None else self.to_port
        if not 0 <= self.port <= last <= 65535:
            return f"ingress of ports {self.port} to {last}: ports are 0 to 65535, the smaller one first"
        return None


@dataclass(frozen=True)
class LandingZoneArgs:
    """What is given is used and not made. Without `vpc`, `subnet` and `security_groups` no network is made.

    `key_users` are ARNs of existing roles that the key's policy is to name (the connector's, the operator's); none is needed where
    their own policies allow the key, as the connector's does.
    """

    stack: str  # the tag `rehost:stack` that the policies demand
    account: str  # 12 digits
    region: str
    kms_key: pulumi.Input[str] | None = None  # ARN
    topic: pulumi.Input[str] | None = None  # ARN
    import_role: str | None = None  # its name
    connector_policy: pulumi.Input[str] | None = None  # ARN
    vpc: pulumi.Input[str] | None = None
    subnet_cidr: str | None = None
    zone: str | None = None
    subnet: pulumi.Input[str] | None = None
    security_groups: Sequence[pulumi.Input[str]] | None = None
    ingress: Sequence[Ingress] = ()
    key_users: Sequence[str] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    def problems(self) -> list[str]:
        """Everything that does not go together, each as a sentence."""
        found = [problem for each in self.ingress if (problem := each.problem())]
        if not (len(self.account) == 12 and self.account.isdigit()):
            found.append(f"account {self.account!r} is not 12 digits")
        if self.subnet is not None and self.subnet_cidr is not None:
            found.append("give subnet, an existing one, or subnet_cidr for one to be made")
        if self.subnet_cidr is not None and self.vpc is None:
            found.append("subnet_cidr needs vpc")
        if self.security_groups is not None and self.ingress:
            found.append("ingress is for the security group that is made; security_groups are given")
        if self.ingress and self.vpc is None:
            found.append("ingress needs vpc")
        if self.kms_key is not None and self.key_users:
            found.append("key_users are for the key that is made; kms_key is given")
        return found


class LandingZone(pulumi.ComponentResource):
    """`rehost:index:LandingZone`: key and alias, topic, `vmimport` role, the connector's policy, security group, subnet.

    Raises LandingZoneError before anything is registered.
    """

    kms_key: pulumi.Output[str]  # ARN
    topic: pulumi.Output[str]  # ARN
    import_role: pulumi.Output[str]  # name
    connector_policy: pulumi.Output[str]  # ARN, to attach to the connector's role
    security_groups: pulumi.Output[Sequence[str]]  # ids
    subnet: pulumi.Output[str | None]

    def __init__(self, name: str, args: LandingZoneArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        problems = args.problems()
        if problems:
            raise LandingZoneError("; ".join(problems))
        self._aws = _pulumi_aws()
        super().__init__("rehost:index:LandingZone", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._tags = {**args.tags, "rehost:stack": args.stack}
        self.import_role = self._import_role()
        self.kms_key = self._key()
        self.topic = self._topic()
        self.connector_policy = self._connector_policy()
        self.security_groups = self._security_groups()
        self.subnet = self._subnet()
        self.register_outputs(
            {
                "kmsKey": self.kms_key,
                "topic": self.topic,
                "importRole": self.import_role,
                "connectorPolicy": self.connector_policy,
                "securityGroups": self.security_groups,
                "subnet": self.subnet,
            }
        )

    def spec(self, instance_type: str) -> pulumi.Output[dict[str, Any]]:
        """What the spec language says of it: a file for `migration_specs/`, for JSON is YAML.

        A launch config `landing-zone` and a channel of the same name; `kms_key` and `import_role` go into `image` of a server.
        """
        known = pulumi.Output.all(subnet=self.subnet, groups=self.security_groups, topic=self.topic)
        return known.apply(
            lambda each: {
                "apiVersion": "rehost/v1",
                "launchConfigs": {
                    "landing-zone": {
                        "instanceType": instance_type,
                        **({"subnet": each["subnet"]} if each["subnet"] else {}),
                        **({"securityGroups": list(each["groups"])} if each["groups"] else {}),
                    }
                },
                "notifications": {"landing-zone": {"topic": each["topic"]}},
            }
        )

    def _import_role(self) -> pulumi.Output[str]:
        args = self._args
        if args.import_role is not None:
            return pulumi.Output.from_input(args.import_role)
        where = {"account": args.account, "region": args.region, "stack": args.stack}
        role = self._aws.iam.Role(
            f"{self._name}-vmimport",
            name="vmimport",  # the one that VM import takes where a request names none
            assume_role_policy=json.dumps(policy("vmimport-trust", **where)),
            description="AWS's VM import makes images of rehost's snapshots under it",
            tags=self._tags,
            opts=self._child,
        )
        self._aws.iam.RolePolicy(
            f"{self._name}-vmimport",
            name="vmimport",
            role=role.name,
            policy=json.dumps(policy("vmimport-role", **where)),
            opts=self._child,
        )
        return pulumi.Output.from_input(role.name)

    def _key(self) -> pulumi.Output[str]:
        args = self._args
        if args.kms_key is not None:
            return pulumi.Output.from_input(args.kms_key)
        # By the role's output: the key's policy may only name what exists.
        document = self.import_role.apply(
            lambda role: json.dumps(
                key_policy(account=args.account, region=args.region, users=args.key_users, import_role=role)
            )
        )
        key = self._aws.kms.Key(
            f"{self._name}-key",
            description=f"Disks that rehost moves, stack {args.stack}",
            enable_key_rotation=True,
            policy=document,
            tags=self._tags,
            # A disk is lost with its key.
            opts=pulumi.ResourceOptions(parent=self, protect=True),
        )
        self._aws.kms.Alias(
            f"{self._name}-key", name=f"alias/rehost-{args.stack}", target_key_id=key.key_id, opts=self._child
        )
        return pulumi.Output.from_input(key.arn)

    def _topic(self) -> pulumi.Output[str]:
        if self._args.topic is not None:
            return pulumi.Output.from_input(self._args.topic)
        topic = self._aws.sns.Topic(
            f"{self._name}-topic", name=f"rehost-{self._args.stack}", tags=self._tags, opts=self._child
        )
        return pulumi.Output.from_input(topic.arn)

    def _connector_policy(self) -> pulumi.Output[str]:
        args = self._args
        if args.connector_policy is not None:
            return pulumi.Output.from_input(args.connector_policy)
        document = pulumi.Output.all(key=self.kms_key, topic=self.topic, role=self.import_role).apply(
            lambda known: json.dumps(self._connector_document(known["key"], known["topic"], known["role"]))
        )
        made = self._aws.iam.Policy(
            f"{self._name}-connector",
            name=f"rehost-connector-{args.stack}",
            description="What rehost's connector may do: docs/security.md",
            policy=document,
            tags=self._tags,
            opts=self._child,
        )
        return pulumi.Output.from_input(made.arn)

    def _connector_document(self, key: str, topic: str, role: str) -> dict[str, Any]:
        args = self._args
        found = policy(
            "connector", account=args.account, region=args.region, stack=args.stack, key=key, import_role=role
        )
        # The topic is known here; docs/policies is for estates with and without one.
        tell = {"Sid": "Tell", "Effect": "Allow", "Action": "sns:Publish", "Resource": topic}
        return {**found, "Statement": [*found["Statement"], tell]}

    def _security_groups(self) -> pulumi.Output[Sequence[str]]:
        args = self._args
        if args.security_groups is not None:
            return pulumi.Output.all(*args.security_groups)
        if args.vpc is None:
            return pulumi.Output.from_input([])
        group = self._aws.ec2.SecurityGroup(
            f"{self._name}-servers",
            name=f"rehost-{args.stack}",
            description="Servers that rehost moved",
            vpc_id=args.vpc,
            tags={**self._tags, "Name": f"rehost-{args.stack}"},
            opts=self._child,
        )
        self._aws.vpc.SecurityGroupEgressRule(
            f"{self._name}-out", security_group_id=group.id, ip_protocol="-1", cidr_ipv4="0.0.0.0/0", opts=self._child
        )
        for each in args.ingress:
            last = each.port if each.to_port is None else each.to_port
            self._aws.vpc.SecurityGroupIngressRule(
                f"{self._name}-{each.port}-{last}-{each.from_network or each.from_group}",
                security_group_id=group.id,
                ip_protocol="tcp",
                from_port=each.port,
                to_port=last,
                cidr_ipv4=each.from_network,
                referenced_security_group_id=each.from_group,
                opts=self._child,
            )
        return pulumi.Output.all(group.id)

    def _subnet(self) -> pulumi.Output[str | None]:
        args = self._args
        if args.subnet is not None or args.subnet_cidr is None:
            return pulumi.Output.from_input(args.subnet)
        subnet = self._aws.ec2.Subnet(
            f"{self._name}-staging",
            vpc_id=args.vpc,
            cidr_block=args.subnet_cidr,
            availability_zone=args.zone,
            map_public_ip_on_launch=False,
            tags={**self._tags, "Name": f"rehost-{args.stack}-staging"},
            opts=self._child,
        )
        return pulumi.Output.from_input(subnet.id)


def _pulumi_aws() -> Any:
    try:
        import pulumi_aws
    except ModuleNotFoundError:
        message = f"a LandingZone is made with pulumi_aws, which is not installed: {INSTALL}"
        raise LandingZoneError(message) from None
    return pulumi_aws
