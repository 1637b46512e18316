"""CopyImage, CopySnapshot and the attributes of images, as the EC2 API reference describes them."""

from __future__ import annotations

import json
import secrets
import time
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError

from sandbox._requests import backend, service_backends, tags_of

if TYPE_CHECKING:
    from sandbox._ec2 import Ec2
    from sandbox._store import Snapshot

#: How long a copy is `pending`: long enough that whoever does not wait for it is found out.
COPY_SECONDS = 0.3


def copy_methods(ec2: Ec2, original: dict[str, Any]) -> dict[str, Any]:
    """What replaces methods of moto's EC2; `original` holds the ones that go on being needed."""

    def copy_image(self: Any) -> ActionResult:
        asked = {key: value for key, value in self.params.items() if key != "Action"}
        self.error_on_dryrun()
        return ActionResult(
            {"ImageId": _once(ec2, self.region, "image", asked, lambda: _copy_image(ec2, self.region, asked))}
        )

    def copy_snapshot(self: Any) -> ActionResult:
        asked = {key: value for key, value in self.params.items() if key != "Action"}
        self.error_on_dryrun()
        source = _source_snapshot(ec2, asked["SourceSnapshotId"], asked["SourceRegion"])
        key = _key(self.region, source, asked)
        copied = _copy_snapshot(ec2, source, self.region, key, tags_of(asked, "snapshot"), asked.get("Description", ""))
        return ActionResult({"SnapshotId": copied})

    def modify_image_attribute(self: Any) -> Any:
        support = self._get_param("ImdsSupport", {})
        if support:
            image = backend(self.region).amis.get(self._get_param("ImageId"))
            if image is None:
                raise EC2ClientError(
                    "InvalidAMIID.NotFound", f"The image id '[{self._get_param('ImageId')}]' does not exist"
                )
            if support.get("Value") != "v2.0":
                raise EC2ClientError("InvalidParameterValue", "ImdsSupport can be v2.0, and cannot be taken back.")
            image.imds_support = "v2.0"
            return ActionResult({"Return": True})
        return original["modify_image_attribute"](self)

    def get_ebs_default_kms_key_id(self: Any) -> ActionResult:
        return ActionResult({"KmsKeyId": default_key(self.region)})

    return {
        "copy_image": copy_image,
        "copy_snapshot": copy_snapshot,
        "modify_image_attribute": modify_image_attribute,
        "get_ebs_default_kms_key_id": get_ebs_default_kms_key_id,
    }


def _once(ec2: Ec2, region: str, kind: str, asked: dict[str, Any], make: Any) -> str:
    """A token stands for one request: the same one gives what it made, another one with it is refused."""
    token = asked.get("ClientToken")
    fingerprint = json.dumps(asked, sort_keys=True, default=str)
    known = ec2.copied.get((region, f"{kind}/{token}")) if token else None
    if known is not None:
        if known[0] != fingerprint:
            raise EC2ClientError(
                "IdempotentParameterMismatch", "The client token was used before, with other parameters."
            )
        return known[1]
    made = str(make())
    if token:
        ec2.copied[region, f"{kind}/{token}"] = (fingerprint, made)
    return made


def _copy_image(ec2: Ec2, region: str, asked: dict[str, Any]) -> str:
    source = backend(asked["SourceRegion"]).amis.get(asked["SourceImageId"])
    if source is None or not hasattr(source, "mappings"):
        raise EC2ClientError(
            "InvalidAMIID.NotFound",
            f"The image id '[{asked['SourceImageId']}]' does not exist in {asked['SourceRegion']}",
        )
    if source.state != "available":
        raise EC2ClientError("InvalidAMIID.Unavailable", f"The image {source.id} is {source.state}.")
    tags = tags_of(asked, "snapshot")
    mappings, problem = [], None
    for each in source.mappings:
        snapshot = _source_snapshot(ec2, each["Ebs"]["SnapshotId"], asked["SourceRegion"])
        try:
            key = _key(region, snapshot, asked)
        except EC2ClientError as error:
            # AWS looks at the key later: the request is taken, and the image fails (CopyImage, `KmsKeyId`).
            key, problem = None, str(error.message)
        copied = _copy_snapshot(
            ec2, snapshot, region, key, tags, f"Copied for {source.id} from {asked['SourceRegion']}"
        )
        ebs = {key: value for key, value in each["Ebs"].items() if key != "Encrypted"}
        mappings.append({"DeviceName": each["DeviceName"], "Ebs": {**ebs, "SnapshotId": copied}})
    image = ec2.register(
        region,
        {
            "Name": asked["Name"],
            "Description": asked.get("Description") or source.description,
            "Architecture": source.architecture,
            "VirtualizationType": "hvm",
            "RootDeviceName": source.root_device_name,
            "BlockDeviceMappings": mappings,
            "EnaSupport": source.ena_support,
            "BootMode": source.boot_mode,
            "ImdsSupport": source.imds_support,
            "TpmSupport": source.tpm_support,
        },
        tags_of(asked, "image"),
    )
    image.available_at = time.time() + COPY_SECONDS
    if problem:
        image.failure = problem
    return str(image.id)


def _copy_snapshot(
    ec2: Ec2, source: Snapshot, region: str, key: str | None, tags: dict[str, str], description: str
) -> str:
    changes: dict[str, Any] = {"tags": tags, "description": description}
    if key:
        changes |= {"encrypted": True, "kms_key_arn": key}
    copied = ec2.store.copy(source, "snap-0" + secrets.token_hex(8), region, **changes)
    ec2.show(copied)
    return copied.meta.snapshot_id


def _source_snapshot(ec2: Ec2, snapshot_id: str, region: str) -> Snapshot:
    found = ec2.store.get(snapshot_id)
    if found is None or found.meta.region != region or found.meta.state != "completed":
        raise EC2ClientError("InvalidSnapshot.NotFound", f"The snapshot '{snapshot_id}' does not exist in {region}.")
    return found


def _key(region: str, source: Snapshot, asked: dict[str, Any]) -> str | None:
    """The key of a copy: the one asked for, which must be of the region, else the region's default one."""
    encrypted, wanted = str(asked.get("Encrypted", "")).lower() == "true", asked.get("KmsKeyId")
    if wanted and not encrypted:
        raise EC2ClientError("InvalidParameterDependency", "KmsKeyId requires Encrypted.")
    if not (encrypted or source.meta.encrypted):
        return None
    if not wanted:
        return default_key(region)
    kms = service_backends("kms")[region]
    name = str(wanted)
    if name.startswith("arn:") and name.split(":")[3] != region:
        raise EC2ClientError("InvalidKmsKey.InvalidState", f"The KMS key {name} is not in {region}.")
    try:
        found = kms.describe_key(kms.any_id_to_key_id(name))
    except Exception:
        raise EC2ClientError("InvalidKmsKey.NotFound", f"The KMS key {name} does not exist.") from None
    if found.key_state != "Enabled":
        raise EC2ClientError("InvalidKmsKey.InvalidState", f"The KMS key {name} is {found.key_state}.")
    return str(found.arn)


def default_key(region: str) -> str:
    """The key behind alias/aws/ebs, made on first use as AWS does."""
    kms = service_backends("kms")[region]
    key = kms.get_key_id_from_alias("alias/aws/ebs") or backend(region)._create_default_encryption_key()
    return str(kms.describe_key(key).arn)
