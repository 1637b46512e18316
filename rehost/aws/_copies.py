"""Copies of an image in further regions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rehost.aws._errors import Refused, translated
from rehost.aws._images import Images
from rehost.aws._session import Session
from rehost.aws._tags import RUN_TAG, STACK_TAG, specification


class Copies:
    """Made in the region of its session. Thread-safe."""

    def __init__(self, session: Session, images: Images) -> None:
        self._ec2 = session.client("ec2")
        self._images = images

    def copy(
        self,
        image_id: str,
        *,
        from_region: str,
        name: str,
        description: str,
        tags: Mapping[str, str],
        encrypted: bool,
        kms_key_arn: str | None,
    ) -> str:
        """Begin to copy an image of `from_region` here and return the copy's id; it is `pending` for a while.

        Repeating it is safe: the client token is the image's id, and when AWS has forgotten the token (after a day), the
        copy is found by its name and tags. The tags go onto the copy's snapshots, too (EC2 API reference, CopyImage).
        """
        request: dict[str, Any] = {
            "SourceImageId": image_id,
            "SourceRegion": from_region,
            "Name": name,
            "Description": description[:255],
            "ClientToken": image_id,
            "TagSpecifications": [specification("image", tags), specification("snapshot", tags)],
        }
        if encrypted:
            request["Encrypted"] = True
            if kms_key_arn:
                request["KmsKeyId"] = kms_key_arn
        try:
            with translated():
                return str(self._ec2.copy_image(**request)["ImageId"])
        except Refused as refused:
            if refused.code not in ("InvalidAMIName.Duplicate", "IdempotentParameterMismatch"):
                raise
            wanted = {key: tags[key] for key in (STACK_TAG, RUN_TAG)}
            found = [view for view in self._images.find(wanted) if view.name == name]
            if not found:
                raise
            return found[0].image_id
