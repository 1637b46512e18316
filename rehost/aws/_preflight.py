"""What AWS can be asked before a byte moves or an instance is launched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rehost.aws._errors import AwsError, NotFound, Refused, translated
from rehost.aws._session import Session


@dataclass(frozen=True)
class Problem:
    """One argument that AWS does not know or does not take."""

    field: str  # as the spec calls it
    message: str


class Preflight:
    def __init__(self, session: Session) -> None:
        self._session = session

    def key_arn(self, key: str) -> str:
        """The ARN of an enabled KMS key given by id, alias or ARN. Raises `AwsError`."""
        with translated():
            found = self._session.client("kms").describe_key(KeyId=key)["KeyMetadata"]
        if found["KeyState"] != "Enabled":
            raise Refused(
                operation="DescribeKey",
                code=found["KeyState"],
                message=f"KMS key {key} is not enabled; enable it or name another one in image.kmsKey",
            )
        return str(found["Arn"])

    def check_role(self, role: str) -> None:
        """The role that VM import assumes must exist (VM Import/Export user guide, "Required service role")."""
        try:
            with translated():
                self._session.client("iam").get_role(RoleName=role)
        except NotFound:
            raise NotFound(
                operation="GetRole",
                message=f"VM import needs the IAM role {role!r}, which does not exist; docs/security.md has its policy, or use conversion: register",
            ) from None

    def launch_problems(
        self,
        *,
        instance_type: str | None,
        subnet: str | None,
        security_groups: Sequence[str],
        key_name: str | None,
        instance_profile: str | None,
    ) -> list[Problem]:
        """Every argument that does not exist, all at once."""
        ec2 = self._session.client("ec2")
        checks: list[tuple[str, Callable[[], Any]]] = []
        if instance_type:
            checks.append(("instanceType", lambda: ec2.describe_instance_types(InstanceTypes=[instance_type])))
        if subnet:
            checks.append(("subnet", lambda: ec2.describe_subnets(SubnetIds=[subnet])))
        if security_groups:
            checks.append(("securityGroups", lambda: ec2.describe_security_groups(GroupIds=list(security_groups))))
        if key_name:
            checks.append(("keyName", lambda: ec2.describe_key_pairs(KeyNames=[key_name])))
        if instance_profile:
            name = instance_profile.rsplit("/", 1)[-1]
            checks.append(
                ("instanceProfile", lambda: self._session.client("iam").get_instance_profile(InstanceProfileName=name))
            )
        problems = []
        for field, check in checks:
            try:
                with translated():
                    check()
            except AwsError as error:
                if error.retryable:
                    raise
                problems.append(Problem(field, str(error)))
        return problems
