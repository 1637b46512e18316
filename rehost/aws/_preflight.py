"""What AWS can be asked before a byte moves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rehost.aws._errors import AccessDenied, NotFound, Refused, translated
from rehost.aws._session import Session


@dataclass(frozen=True)
class KeyView:
    arn: str
    is_managed_by_aws: bool  # such a key cannot be shared with another account


class Preflight:
    def __init__(self, session: Session) -> None:
        self._session = session

    def key_arn(self, key: str) -> str:
        """The ARN of a usable KMS key given by id, alias or ARN. Raises `AwsError`; see `key`."""
        return self.key(key).arn

    def key(self, key: str) -> KeyView:
        """A KMS key of this region, given by id, alias or ARN, that EBS can use now. Raises `AwsError` with what it lacks."""
        region = key.split(":")[3] if key.startswith("arn:") and key.count(":") >= 5 else self._session.region
        if region != self._session.region:
            raise _unusable(key, "WrongRegion", f"is a key of {region}; {self._session.region} needs one of its own")
        with translated():
            found = self._session.client("kms").describe_key(KeyId=key)["KeyMetadata"]
        state = found["KeyState"]
        if state == "PendingDeletion":
            date = found.get("DeletionDate")
            raise _unusable(key, state, f"is to be deleted{f' on {date:%Y-%m-%d}' if date else ''}; cancel that")
        if state != "Enabled":
            raise _unusable(key, state, "is not enabled; enable it")
        kind = str(found.get("KeySpec") or "SYMMETRIC_DEFAULT")
        if kind != "SYMMETRIC_DEFAULT" or found.get("KeyUsage") in ("SIGN_VERIFY", "GENERATE_VERIFY_MAC"):
            raise _unusable(key, kind, "is not a symmetric key for encryption, which EBS needs; make one")
        return KeyView(str(found["Arn"]), found.get("KeyManager") == "AWS")

    def may_encrypt(self, key: str) -> bool:
        """Whether these credentials may make data keys under a KMS key, as EBS does for them; nothing is made.

        KMS API reference, "Testing your permissions": a dry run that would succeed is answered with DryRunOperationException.
        That EBS may be given a grant cannot be tried so: the condition kms:GrantIsForAWSResource refuses a caller's own grants.
        """
        try:
            with translated():
                self._session.client("kms").generate_data_key_without_plaintext(
                    KeyId=key, KeySpec="AES_256", DryRun=True
                )
        except Refused as answer:
            if answer.code == "DryRunOperationException":
                return True
            raise
        except AccessDenied:
            return False
        return True

    def encryption(self) -> tuple[bool, str]:
        """Whether this account encrypts every new snapshot of the region unasked, and the id or ARN of its default key."""
        ec2 = self._session.client("ec2")
        with translated():
            always = bool(ec2.get_ebs_encryption_by_default()["EbsEncryptionByDefault"])
            return always, str(ec2.get_ebs_default_kms_key_id()["KmsKeyId"])

    def check_role(self, role: str) -> None:
        """The role that VM import assumes must exist, and let it (VM Import/Export user guide, "Required service role")."""
        try:
            with translated():
                found = self._session.client("iam").get_role(RoleName=role.rsplit("/", 1)[-1])["Role"]
        except NotFound:
            raise NotFound(
                operation="GetRole",
                message=f"VM import needs the IAM role {role!r}, which does not exist; docs/security.md has its policy, or use conversion: register",
            ) from None
        if not _is_assumable(found["AssumeRolePolicyDocument"]):
            raise Refused(
                operation="GetRole",
                code="NotAssumable",
                message=f"VM import cannot assume the IAM role {role!r}: its trust policy must allow sts:AssumeRole to vmie.amazonaws.com, with sts:ExternalId vmimport; docs/security.md has it",
            )


def _unusable(key: str, code: str, what: str) -> Refused:
    return Refused(operation="DescribeKey", code=code, message=f"KMS key {key} {what}, or name another one")


def _is_assumable(document: Mapping[str, Any] | str) -> bool:
    """Whether a trust policy lets VM import in. A condition that it does not know is taken to hold."""
    policy = json.loads(document) if isinstance(document, str) else document
    for statement in _listed(policy.get("Statement")):
        principal = statement.get("Principal", {})
        services = _listed(principal.get("Service")) if isinstance(principal, dict) else [principal]
        trusted = "vmie.amazonaws.com" in services or "*" in services
        actions = {str(action).lower() for action in _listed(statement.get("Action"))}
        ids = [
            value
            for conditions in statement.get("Condition", {}).values()
            for key, value in conditions.items()
            if key.lower() == "sts:externalid"
        ]
        wanted = all("vmimport" in _listed(each) for each in ids)
        if statement.get("Effect") == "Allow" and trusted and actions & {"sts:assumerole", "sts:*", "*"} and wanted:
            return True
    return False


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
