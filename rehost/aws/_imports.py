"""VM import: EBS snapshots in, an AMI with adapted drivers, fstab and boot loader out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rehost.aws._errors import NotFound, translated
from rehost.aws._session import Session
from rehost.aws._tags import from_list, specification, to_list


@dataclass(frozen=True)
class ImportRequest:
    """What ImportImage is asked. `snapshots`: the root disk first.

    Names and values are those of EC2's service model; a test compares them with botocore's. A UEFI machine that is
    imported from snapshots needs `platform` (VM Import/Export user guide, "Limitations for resources").
    """

    snapshots: Sequence[str]
    token: str  # the same one never starts a second task
    description: str
    role: str
    tags: Mapping[str, str]
    license_type: str | None = None  # AWS or BYOL; None leaves it to AWS
    boot_mode: str | None = None  # legacy-bios or uefi; None leaves it to AWS
    platform: str | None = None  # Linux or Windows
    encrypted: bool = False
    kms_key_arn: str | None = None

    def arguments(self) -> dict[str, Any]:
        """As boto3's `import_image` takes them."""
        optional = {
            "LicenseType": self.license_type,
            "BootMode": self.boot_mode,
            "Platform": self.platform,
            "KmsKeyId": self.kms_key_arn,
            "Encrypted": self.encrypted or None,
        }
        return {
            "Architecture": "x86_64",
            "ClientToken": self.token,
            "Description": self.description[:255],
            "DiskContainers": [{"SnapshotId": snapshot} for snapshot in self.snapshots],
            "RoleName": self.role,
            "TagSpecifications": [specification("import-image-task", self.tags)],
            **{key: value for key, value in optional.items() if value is not None},
        }


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


@dataclass(frozen=True)
class ImportTask:
    id: str
    tags: Mapping[str, str]
    progress: ImportProgress


class Imports:
    """Thread-safe."""

    def __init__(self, session: Session) -> None:
        self._ec2 = session.client("ec2")

    def start(self, request: ImportRequest) -> str:
        """Start a task and return its id; the same request finds the task that it started before."""
        with translated():
            return str(self._ec2.import_image(**request.arguments())["ImportTaskId"])

    def progress(self, task: str) -> ImportProgress:
        with translated():
            found = self._ec2.describe_import_image_tasks(ImportTaskIds=[task])["ImportImageTasks"]
        if not found:
            raise NotFound(operation="DescribeImportImageTasks", message=f"import task {task} does not exist")
        return _progress_of(found[0])

    def owned(self, tags: Mapping[str, str]) -> list[ImportTask]:
        """The tasks with all of these tags. EC2 filters tasks by their state alone, so the listing is gone through here."""
        found = []
        with translated():
            for page in self._ec2.get_paginator("describe_import_image_tasks").paginate():
                for entry in page["ImportImageTasks"]:
                    given = from_list(entry.get("Tags"))
                    if tags.items() <= given.items():
                        found.append(ImportTask(entry["ImportTaskId"], given, _progress_of(entry)))
        return found

    def cancel(self, task: str) -> None:
        with translated():
            self._ec2.cancel_import_task(ImportTaskId=task)

    def claim(self, image_id: str, snapshot_ids: Sequence[str], tags: Mapping[str, str]) -> None:
        """Put our tags onto the image that a task of ours made, and onto its snapshots. A retry is safe."""
        with translated():
            self._ec2.create_tags(Resources=[image_id, *snapshot_ids], Tags=to_list(tags))


def _progress_of(entry: Mapping[str, Any]) -> ImportProgress:
    return ImportProgress(
        status=entry["Status"],
        percent=int(entry["Progress"]) if str(entry.get("Progress", "")).isdigit() else None,
        message=entry.get("StatusMessage", ""),
        image_id=entry.get("ImageId"),
    )
