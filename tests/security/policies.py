"""The policy files of docs/policies, as documents to reason about."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "policies"

#: What AWS asks of the caller on behalf of a call: nobody calls it by this name. Action -> the calls that need it.
IMPLIED: Mapping[str, frozenset[str]] = {
    # EC2 user guide, "Grant a user permissions to pass an IAM role to EC2"
    "iam:PassRole": frozenset(
        {"ec2:AssociateIamInstanceProfile", "ec2:ReplaceIamInstanceProfileAssociation", "ec2:RunInstances"}
    ),
    # EBS user guide, "Requirements for Amazon EBS encryption"
    "kms:CreateGrant": frozenset({"ebs:StartSnapshot", "ec2:RunInstances"}),
    "kms:Decrypt": frozenset({"ebs:GetSnapshotBlock", "ec2:CopyImage", "ec2:RunInstances"}),
    "kms:DescribeKey": frozenset({"ec2:RunInstances"}),
    "kms:GenerateDataKeyWithoutPlaintext": frozenset({"ebs:StartSnapshot", "ec2:CopyImage", "ec2:RunInstances"}),
    "kms:ReEncryptFrom": frozenset({"ebs:StartSnapshot", "ec2:CopyImage", "ec2:RunInstances"}),
    "kms:ReEncryptTo": frozenset({"ebs:StartSnapshot", "ec2:CopyImage", "ec2:RunInstances"}),
}

#: Tags in the request that makes something are checked as CreateTags of it (EC2 user guide, "Grant permission to tag
#: Amazon EC2 resources during creation"). StartSnapshot names no such dependency (service authorization reference).
TAGGED_AT_CREATION = frozenset({"ec2:CopyImage", "ec2:ImportImage", "ec2:RegisterImage", "ec2:RunInstances"})

#: Any credentials may call it: no policy allows it, and none can deny it (STS API reference).
FREE = frozenset({"sts:GetCallerIdentity"})

#: Called for a secret that a spec keeps in Systems Manager: which one, only the spec knows.
BY_SPEC = frozenset({"ssm:GetParameter"})


@dataclass(frozen=True)
class Statement:
    sid: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    condition: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def condition_keys(self) -> set[str]:
        return {key for block in self.condition.values() for key in block}


def document(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return found


def statements(name: str) -> Iterator[Statement]:
    for entry in document(name)["Statement"]:
        assert entry["Effect"] == "Allow"
        yield Statement(
            entry["Sid"], _several(entry["Action"]), _several(entry["Resource"]), entry.get("Condition", {})
        )


def actions(name: str) -> set[str]:
    return {action for statement in statements(name) for action in statement.actions}


def _several(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
