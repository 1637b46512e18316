"""Images and keys that other accounts may use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rehost.aws._errors import NotFound, translated
from rehost.aws._images import Images
from rehost.aws._session import Session
from rehost.aws._tags import require_ours

#: What an account needs of a key to launch from, and to copy, an image that it encrypts (KMS developer guide, "Grants";
#: EC2 user guide, "Allow organizations and OUs to use a KMS key").
GRANTED = ("Decrypt", "DescribeKey", "CreateGrant", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo")


class Sharing:
    """In the region of its session. Thread-safe. Every call may be repeated."""

    def __init__(self, session: Session, images: Images) -> None:
        self._session, self._images = session, images
        self._ec2 = session.client("ec2")

    def share(self, image_id: str, accounts: Sequence[str], *, stack: str) -> None:
        """Let accounts (12 digits each) launch from an image of ours and copy its snapshots. Raises `NotOurs`, `NotFound`."""
        self._change(image_id, accounts, "add", stack)

    def unshare(self, image_id: str, accounts: Sequence[str], *, stack: str) -> None:
        """Take that back. What they launched or copied meanwhile is theirs. An image that is gone is no error."""
        try:
            self._change(image_id, accounts, "remove", stack)
        except NotFound:
            return

    def grant(self, key_arn: str, account: str, name: str) -> None:
        """Let an account use a key. A grant with the same name and terms is the same grant (KMS, CreateGrant)."""
        kms = self._session.client("kms")
        if self._grants(key_arn, account, name):
            return
        with translated():
            kms.create_grant(
                KeyId=key_arn, GranteePrincipal=_root(key_arn, account), Operations=list(GRANTED), Name=name
            )

    def revoke(self, key_arn: str, account: str, name: str) -> None:
        """Take the grants of that name back; a key that is gone has none."""
        try:
            for grant in self._grants(key_arn, account, name):
                with translated():
                    self._session.client("kms").revoke_grant(KeyId=key_arn, GrantId=grant)
        except NotFound:
            return

    def _grants(self, key_arn: str, account: str, name: str) -> list[str]:
        found: list[str] = []
        with translated():
            for page in self._session.client("kms").get_paginator("list_grants").paginate(KeyId=key_arn):
                found += [
                    grant["GrantId"]
                    for grant in page["Grants"]
                    if grant.get("Name") == name and grant.get("GranteePrincipal") == _root(key_arn, account)
                ]
        return found

    def _change(self, image_id: str, accounts: Sequence[str], operation: str, stack: str) -> None:
        if not accounts:
            return
        view = self._images.describe(image_id)
        if view is None:
            raise NotFound(operation="DescribeImages", message=f"image {image_id} does not exist")
        require_ours(f"image {image_id}", view.tags, stack)
        permission: dict[str, Any] = {operation.capitalize(): [{"UserId": account} for account in accounts]}
        with translated():
            self._ec2.modify_image_attribute(ImageId=image_id, LaunchPermission=permission)
            for snapshot in view.snapshot_ids:
                self._ec2.modify_snapshot_attribute(
                    Attribute="createVolumePermission",
                    OperationType=operation,
                    SnapshotId=snapshot,
                    UserIds=list(accounts),
                )


def _root(key_arn: str, account: str) -> str:
    """The account as a principal, in the partition of the key."""
    return f"arn:{key_arn.split(':')[1]}:iam::{account}:root"
