"""VM import tasks: checked as AWS checks them, ended with an image or, on demand, as AWS ends those that fail."""

from __future__ import annotations

import secrets
import threading
import time
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError

from sandbox._requests import service_backends, tags_of

if TYPE_CHECKING:
    from sandbox._ec2 import Ec2

IMPORT_SECONDS = 0.6
_STEPS = ("pending", "validating", "converting", "updating", "booting", "preparing ami")


class ImportTasks:
    """The tasks of all regions. `fail` makes coming ones end as `deleted`, with a message of AWS's."""

    def __init__(self, ec2: Ec2) -> None:
        self.ec2 = ec2
        self.tasks: dict[str, dict[str, Any]] = {}
        self.failures: list[dict[str, Any]] = []
        self._finishing = threading.Lock()

    def fail(self, message: str, count: int = 1) -> None:
        """The next `count` tasks that start fail with `message`, for example `ClientError: Unknown OS / Missing OS files.`"""
        self.failures.append({"message": message, "count": count})

    def _next_failure(self) -> str | None:
        for each in self.failures:
            if each["count"] > 0:
                each["count"] -= 1
                return str(each["message"])
        return None

    def start(self, region: str, asked: dict[str, Any], tags: dict[str, str]) -> dict[str, Any]:
        token = asked.get("ClientToken")
        for task in self.tasks.values():
            if token and task["token"] == token and task["region"] == region:
                if task["asked"] != asked:
                    raise EC2ClientError(
                        "IdempotentParameterMismatch", "The client token was used before, with other parameters."
                    )
                return task
        containers = asked.get("DiskContainers", [])
        if not containers:
            raise EC2ClientError("MissingParameter", "The request must contain the parameter diskContainers")
        if len(containers) > 21:
            raise EC2ClientError("InvalidParameter", "At most 21 volumes can be imported with an image.")
        if asked.get("Architecture", "x86_64") not in ("x86_64", "i386"):
            raise EC2ClientError("InvalidParameter", "VM Import does not support this architecture.")
        if asked.get("BootMode") not in (None, "legacy-bios", "uefi"):
            raise EC2ClientError("InvalidParameter", f"BootMode {asked['BootMode']} is not supported by VM Import.")
        if asked.get("BootMode") == "uefi" and not asked.get("Platform"):
            raise EC2ClientError(
                "InvalidParameter", "A UEFI machine that is imported from EBS snapshots needs the parameter Platform."
            )
        if asked.get("Platform") not in (None, "Linux", "Windows"):
            raise EC2ClientError("InvalidParameter", f"Platform {asked['Platform']} is not supported by VM Import.")
        if asked.get("LicenseType") not in (None, "AWS", "BYOL"):
            raise EC2ClientError("InvalidParameter", "LicenseType must be AWS or BYOL.")
        role = asked.get("RoleName", "vmimport")
        if role not in {each.name for each in service_backends("iam")["aws"].roles.values()}:
            raise EC2ClientError(
                "InvalidParameter",
                f"The service role {role} provided does not exist or does not have sufficient permissions",
            )
        for container in containers:
            if not container.get("SnapshotId"):
                raise EC2ClientError(
                    "InvalidParameter",
                    "The sandbox imports EBS snapshots (DiskContainers.SnapshotId), not objects of S3.",
                )
            snapshot = self.ec2.snapshot(region, container["SnapshotId"])
            if snapshot is None or snapshot.meta.state != "completed":
                raise EC2ClientError(
                    "InvalidSnapshot.NotFound",
                    f"The snapshot '{container['SnapshotId']}' does not exist or is not completed.",
                )
        task = {
            "id": f"import-ami-{secrets.token_hex(9)[:17]}",
            "region": region,
            "token": token,
            "asked": asked,
            "tags": tags,
            "started": time.time(),
            "image": None,
            "cancelled": False,
            "failure": self._next_failure(),
        }
        self.tasks[task["id"]] = task
        return task

    def view(self, task: dict[str, Any]) -> dict[str, Any]:
        """A task as DescribeImportImageTasks answers it; time passes when somebody looks."""
        asked = task["asked"]
        share = min(1.0, (time.time() - task["started"]) / IMPORT_SECONDS)
        if share >= 1.0:
            with self._finishing:  # two who look at once
                if task["image"] is None and not (task["cancelled"] or task["failure"]):
                    self._finish(task)
        view: dict[str, Any] = {
            "ImportTaskId": task["id"],
            "Architecture": asked.get("Architecture", "x86_64"),
            "Description": asked.get("Description", ""),
            "Hypervisor": "xen",
            "Platform": asked.get("Platform", "Linux"),
            "Encrypted": bool(asked.get("Encrypted")),
            "SnapshotDetails": [
                {"SnapshotId": each["SnapshotId"], "Status": "completed"} for each in asked["DiskContainers"]
            ],
            "Tags": [{"Key": key, "Value": value} for key, value in task["tags"].items()],
        }
        if asked.get("LicenseType"):
            view["LicenseType"] = asked["LicenseType"]
        if task["cancelled"]:
            return view | {"Status": "deleted", "StatusMessage": "User Cancelled"}
        if task["failure"] and share >= 1.0:
            return view | {"Status": "deleted", "StatusMessage": task["failure"]}
        if task["image"]:
            return view | {"Status": "completed", "ImageId": task["image"]}
        step = _STEPS[min(int(share * len(_STEPS)), len(_STEPS) - 1)]
        return view | {"Status": "active", "Progress": str(int(share * 100)), "StatusMessage": step}

    def _finish(self, task: dict[str, Any]) -> None:
        mappings = []
        for number, container in enumerate(task["asked"]["DiskContainers"]):
            source = self.ec2.store.get(container["SnapshotId"])
            if source is None:
                task["cancelled"] = True
                return
            encrypted = bool(task["asked"].get("Encrypted"))
            changes: dict[str, Any] = {"tags": {}, "description": f"Created by AWS-VMImport service for {task['id']}"}
            if encrypted:
                changes |= {"encrypted": True, "kms_key_arn": task["asked"].get("KmsKeyId") or source.meta.kms_key_arn}
            copy = self.ec2.store.copy(source, "snap-0" + secrets.token_hex(8), task["region"], **changes)
            self.ec2.show(copy)
            device = "/dev/sda1" if number == 0 else f"/dev/sd{chr(ord('f') + number - 1)}"
            mappings.append(
                {
                    "DeviceName": device,
                    "Ebs": {"SnapshotId": copy.meta.snapshot_id, "VolumeType": "gp2", "DeleteOnTermination": True},
                }
            )
        asked = task["asked"]
        image = self.ec2.register(
            task["region"],
            {
                "Name": task["id"],
                "Description": f"AWS-VMImport service: {asked.get('Description', '')}",
                "Architecture": asked.get("Architecture", "x86_64"),
                "VirtualizationType": "hvm",
                "RootDeviceName": "/dev/sda1",
                "BlockDeviceMappings": mappings,
                "EnaSupport": True,
                "BootMode": asked.get("BootMode"),
            },
            {},
        )
        task["image"] = image.id


def import_methods(ec2: Ec2) -> dict[str, Any]:
    """What replaces methods of moto's EC2."""
    imports = ec2.imports

    def import_image(self: Any) -> ActionResult:
        asked = dict(self.params)
        self.error_on_dryrun()
        asked.pop("Action", None)
        return ActionResult(imports.view(imports.start(self.region, asked, tags_of(asked, "import-image-task"))))

    def describe_import_image_tasks(self: Any) -> ActionResult:
        wanted = self._get_param("ImportTaskIds", [])
        tasks = [
            task
            for task in imports.tasks.values()
            if task["region"] == self.region and (not wanted or task["id"] in wanted)
        ]
        missing = set(wanted) - {task["id"] for task in tasks}
        if missing:
            raise EC2ClientError(
                "InvalidConversionTaskId.Malformed", f"The import task {', '.join(sorted(missing))} does not exist"
            )
        limit = int(self._get_param("MaxResults", 1000))
        start = int(self._get_param("NextToken", 0) or 0)
        page = tasks[start : start + limit]
        result: dict[str, Any] = {"ImportImageTasks": [imports.view(task) for task in page]}
        if start + limit < len(tasks):
            result["NextToken"] = str(start + limit)
        return ActionResult(result)

    def cancel_import_task(self: Any) -> ActionResult:
        task = imports.tasks.get(self._get_param("ImportTaskId"))
        if task is None:
            raise EC2ClientError("InvalidConversionTaskId.Malformed", "The import task does not exist")
        before = imports.view(task)["Status"]
        if before == "active":
            task["cancelled"] = True
        return ActionResult(
            {"ImportTaskId": task["id"], "PreviousState": before, "State": imports.view(task)["Status"]}
        )

    return {
        "import_image": import_image,
        "describe_import_image_tasks": describe_import_image_tasks,
        "cancel_import_task": cancel_import_task,
    }
