"""AMIs: registered from snapshots, or made by VM import."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rehost.aws._errors import NotFound, Refused, TooSlow, translated
from rehost.aws._session import Session
from rehost.aws._tags import STACK_TAG, from_list, require_ours, specification, to_list


@dataclass(frozen=True)
class DiskImage:
    """One disk of an image to be. `device` is EC2's name for it; the root disk comes first."""

    device: str
    snapshot_id: str
    size_gib: int


@dataclass(frozen=True)
class ImageView:
    image_id: str
    name: str
    state: str  # pending, available, failed, ...
    snapshot_ids: tuple[str, ...]
    tags: Mapping[str, str]
    reason: str = ""


@dataclass(frozen=True)
class ImportProgress:
    """Where a VM import task stands (EC2, DescribeImportImageTasks)."""

    status: str  # active, deleting, deleted, completed
    percent: int | None
    message: str
    image_id: str | None

    @property
    def is_completed(self) -> bool:
        return self.status == "completed"

    @property
    def is_failed(self) -> bool:
        """AWS ends a failed import as `deleted`, with the reason as its message."""
        return self.status in ("deleting", "deleted")


class Images:
    def __init__(self, session: Session) -> None:
        self._ec2 = session.client("ec2")

    def register(
        self,
        *,
        name: str,
        disks: Sequence[DiskImage],
        architecture: str,
        boot_mode: str | None,
        description: str,
        tags: Mapping[str, str],
    ) -> str:
        """Register an AMI and return its id.

        RegisterImage has no client token, but names are unique: a repeated call finds the image of the first by its name
        and tags.
        """
        request: dict[str, Any] = {
            "Name": name,
            "Description": description[:255],
            "Architecture": architecture,
            "VirtualizationType": "hvm",
            "EnaSupport": True,
            "RootDeviceName": disks[0].device,
            "BlockDeviceMappings": [
                {
                    "DeviceName": disk.device,
                    "Ebs": {
                        "SnapshotId": disk.snapshot_id,
                        "VolumeSize": disk.size_gib,
                        "DeleteOnTermination": True,
                        "VolumeType": "gp3",
                    },
                }
                for disk in disks
            ],
            "TagSpecifications": [specification("image", tags)],
        }
        if boot_mode:
            request["BootMode"] = boot_mode
        try:
            with translated():
                return str(self._ec2.register_image(**request)["ImageId"])
        except Refused as refused:
            if refused.code != "InvalidAMIName.Duplicate":
                raise
            found = self._find(
                [{"Name": "name", "Values": [name]}, {"Name": f"tag:{STACK_TAG}", "Values": [tags[STACK_TAG]]}]
            )
            if not found:
                raise
            return found[0].image_id

    def start_import(
        self,
        *,
        snapshots: Sequence[str],
        token: str,
        description: str,
        role: str,
        license_type: str | None,
        boot_mode: str | None,
        encrypted: bool,
        kms_key_arn: str | None,
        tags: Mapping[str, str],
    ) -> str:
        """Start a VM import of the snapshots, the root disk first, and return the task's id; a retry finds the same task."""
        request: dict[str, Any] = {
            "Architecture": "x86_64",
            "ClientToken": token,
            "Description": description[:255],
            "DiskContainers": [{"SnapshotId": snapshot} for snapshot in snapshots],
            "RoleName": role,
            "TagSpecifications": [specification("import-image-task", tags)],
        }
        optional = {
            "LicenseType": license_type,
            "BootMode": boot_mode,
            "KmsKeyId": kms_key_arn,
            "Encrypted": encrypted or None,
        }
        with translated():
            answer = self._ec2.import_image(
                **request, **{key: value for key, value in optional.items() if value is not None}
            )
        return str(answer["ImportTaskId"])

    def import_progress(self, task: str) -> ImportProgress:
        with translated():
            found = self._ec2.describe_import_image_tasks(ImportTaskIds=[task])["ImportImageTasks"]
        if not found:
            raise NotFound(operation="DescribeImportImageTasks", message=f"import task {task} does not exist")
        entry = found[0]
        return ImportProgress(
            status=entry["Status"],
            percent=int(entry["Progress"]) if str(entry.get("Progress", "")).isdigit() else None,
            message=entry.get("StatusMessage", ""),
            image_id=entry.get("ImageId"),
        )

    def cancel_import(self, task: str) -> None:
        with translated():
            self._ec2.cancel_import_task(ImportTaskId=task)

    def claim_import(self, image_id: str, tags: Mapping[str, str]) -> None:
        """Put our tags onto the image that an import task of ours made, and onto its snapshots. A retry is safe."""
        view = self.describe(image_id)
        if view is None:
            raise NotFound(operation="DescribeImages", message=f"image {image_id} of the import task does not exist")
        with translated():
            self._ec2.create_tags(Resources=[image_id, *view.snapshot_ids], Tags=to_list(tags))

    def describe(self, image_id: str) -> ImageView | None:
        """None where it does not exist (any more)."""
        try:
            with translated():
                found = self._ec2.describe_images(ImageIds=[image_id])["Images"]
        except NotFound:
            return None
        return view_of(found[0]) if found else None

    def wait_available(
        self, image_id: str, *, seconds: float = 1800.0, sleep: Callable[[float], None] = time.sleep
    ) -> ImageView:
        deadline = time.monotonic() + seconds
        pause = 0.05
        while True:
            view = self.describe(image_id)
            if view is not None and view.state == "available":
                return view
            if view is not None and view.state not in ("pending", "transient"):
                raise Refused(
                    operation="RegisterImage",
                    code=view.state,
                    message=view.reason or f"image {image_id} is {view.state}",
                )
            if time.monotonic() > deadline:
                raise TooSlow(
                    resource=f"image {image_id}", state=view.state if view else "not visible", seconds=seconds
                )
            sleep(pause)
            pause = min(pause * 2, 10.0)

    def deregister(self, image_id: str, *, stack: str) -> tuple[str, ...]:
        """Deregister an image of ours; returns the snapshots it held, which stay. Raises `NotOurs`."""
        view = self.describe(image_id)
        if view is None:
            return ()
        require_ours(f"image {image_id}", view.tags, stack)
        try:
            with translated():
                self._ec2.deregister_image(ImageId=image_id)
        except NotFound:
            pass
        return view.snapshot_ids

    def in_use(self, image_ids: Sequence[str]) -> set[str]:
        """Which of them an instance that is not terminated was launched from; anybody's instance counts."""
        used: set[str] = set()
        if not image_ids:
            return used
        states = ["pending", "running", "shutting-down", "stopping", "stopped"]
        filters = [{"Name": "image-id", "Values": list(image_ids)}, {"Name": "instance-state-name", "Values": states}]
        with translated():
            for page in self._ec2.get_paginator("describe_instances").paginate(Filters=filters):
                used |= {
                    instance["ImageId"] for reservation in page["Reservations"] for instance in reservation["Instances"]
                }
        return used

    def _find(self, filters: list[dict[str, Any]]) -> list[ImageView]:
        with translated():
            return [view_of(image) for image in self._ec2.describe_images(Owners=["self"], Filters=filters)["Images"]]


def view_of(image: Mapping[str, Any]) -> ImageView:
    mappings = image.get("BlockDeviceMappings", ())
    snapshots = tuple(entry["Ebs"]["SnapshotId"] for entry in mappings if entry.get("Ebs", {}).get("SnapshotId"))
    reason = (image.get("StateReason") or {}).get("Message", "")
    return ImageView(
        image["ImageId"], image.get("Name", ""), image["State"], snapshots, from_list(image.get("Tags")), reason
    )
