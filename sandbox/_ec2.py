"""What moto's EC2 lacks or fakes, in one place: images of real snapshots, VM import, launch tokens, consoles.

`install` replaces methods of moto's response class and registers the sandbox with it. Everything else of EC2 is moto's.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from types import SimpleNamespace
from typing import Any

from moto.backends import get_backend
from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.amis import Ami
from moto.ec2.models.elastic_block_store import Snapshot as MotoSnapshot
from moto.ec2.responses import EC2Response
from moto.ec2.utils import random_ami_id

from sandbox._boot import Guests
from sandbox._ebs import ACCOUNT
from sandbox._store import Snapshot, SnapshotStore

IMPORT_SECONDS = 0.6
_STEPS = ("pending", "validating", "converting", "updating", "booting", "preparing ami")


def service_backends(service: str) -> Any:
    """moto's backends of one service in the sandbox's account, by region. moto types them by literal names only."""
    find: Any = get_backend
    return find(service)[ACCOUNT]


def backend(region: str) -> Any:
    return service_backends("ec2")[region]


class EbsSnapshot(MotoSnapshot):
    """A snapshot of the store as moto's EC2 sees it; its state is always the store's."""

    def __init__(self, ec2_backend: Any, snapshot: Snapshot, store: SnapshotStore) -> None:
        meta = snapshot.meta
        # AWS shows this volume id for snapshots that the direct APIs made.
        volume = SimpleNamespace(id="vol-ffffffff", size=meta.volume_gib, encrypted=meta.encrypted)
        self.store, self.stored = store, snapshot
        super().__init__(ec2_backend, meta.snapshot_id, volume, meta.description, meta.encrypted, meta.kms_key_arn)
        if not meta.encrypted:
            self.kms_key_id = None
            self.encrypted = False

    def __getstate__(self) -> dict[str, Any]:
        """Without the store: after a restart the snapshot is shown anew."""
        return {key: value for key, value in self.__dict__.items() if key != "store"} | {"stored": None}

    @property
    def status(self) -> str:
        current = self.store.get(self.id)
        return current.meta.state if current else "error"

    @status.setter
    def status(self, value: str) -> None:
        """moto's constructor sets it; the store knows better."""

    @property
    def status_message(self) -> str | None:
        return self.stored.meta.message or None

    state_message = status_message

    @property
    def progress(self) -> str:
        return (
            "100%"
            if self.status == "completed"
            else f"{min(99, 100 * self.stored.count() // max(1, self.stored.blocks))}%"
        )


class SandboxAmi(Ami):
    """An AMI whose disks are real snapshots."""

    def __init__(self, ec2_backend: Any, ami_id: str, asked: dict[str, Any], mappings: list[dict[str, Any]]) -> None:
        self.mappings = mappings
        super().__init__(
            ec2_backend,
            ami_id,
            name=asked["Name"],
            description=asked.get("Description", ""),
            virtualization_type=asked.get("VirtualizationType", "paravirtual"),
            architecture=asked.get("Architecture", "i386"),
            root_device_type="ebs",
            root_device_name=asked["RootDeviceName"],
            hypervisor="xen",
            boot_mode=asked.get("BootMode") or "",
            region_name=f"{ec2_backend.region_name}a",
        )
        # moto assumes UEFI; AWS says nothing of a mode that was not asked for.
        setattr(self, "boot_mode", asked.get("BootMode"))  # noqa: B010 - moto types it as a text
        self.ena_support = bool(asked.get("EnaSupport"))
        self.imds_support = asked.get("ImdsSupport")
        self.tpm_support = asked.get("TpmSupport")
        ec2_backend.snapshots.pop(self.ebs_snapshot.id)  # the snapshot that moto makes up

    @property
    def block_device_mappings(self) -> list[dict[str, Any]]:
        return self.mappings


class Ec2:
    """The sandbox's part of EC2."""

    def __init__(self, store: SnapshotStore, guests: Guests) -> None:
        self.store, self.guests = store, guests
        self.tasks: dict[str, dict[str, Any]] = {}
        self.launches: dict[tuple[str, str], tuple[str, Any]] = {}

    def show(self, snapshot: Snapshot) -> EbsSnapshot:
        """Make a snapshot of the store known to moto, with its tags."""
        ec2 = backend(snapshot.meta.region)
        shown = EbsSnapshot(ec2, snapshot, self.store)
        ec2.snapshots[snapshot.meta.snapshot_id] = shown
        if snapshot.meta.tags:
            shown.add_tags(snapshot.meta.tags)
        return shown

    def register(self, region: str, asked: dict[str, Any], tags: dict[str, str]) -> SandboxAmi:
        ec2 = backend(region)
        if any(each.name == asked["Name"] and each.owner_id == ACCOUNT for each in ec2.amis.values()):
            raise EC2ClientError(
                "InvalidAMIName.Duplicate", f"AMI name {asked['Name']} is already in use by AMI of this account"
            )
        wanted = [each for each in asked.get("BlockDeviceMappings", []) if each.get("Ebs", {}).get("SnapshotId")]
        if asked.get("RootDeviceName") not in {each["DeviceName"] for each in wanted}:
            raise EC2ClientError(
                "InvalidBlockDeviceMapping",
                f"The root device {asked.get('RootDeviceName')} is not in the block device mapping",
            )
        mappings = []
        for each in wanted:
            snapshot = self._snapshot(region, each["Ebs"]["SnapshotId"])
            if snapshot is None:
                raise EC2ClientError(
                    "InvalidSnapshot.NotFound", f"The snapshot '{each['Ebs']['SnapshotId']}' does not exist."
                )
            if snapshot.meta.state != "completed":
                raise EC2ClientError(
                    "IncorrectState",
                    f"The snapshot '{snapshot.meta.snapshot_id}' is {snapshot.meta.state}, not completed.",
                )
            size = int(each["Ebs"].get("VolumeSize") or snapshot.meta.volume_gib)
            if size < snapshot.meta.volume_gib:
                raise EC2ClientError(
                    "InvalidBlockDeviceMapping",
                    f"Volume of size {size}GB is smaller than snapshot '{snapshot.meta.snapshot_id}', expect size >= {snapshot.meta.volume_gib}GB",
                )
            mappings.append(
                {
                    "DeviceName": each["DeviceName"],
                    "Ebs": {
                        "SnapshotId": snapshot.meta.snapshot_id,
                        "VolumeSize": size,
                        "VolumeType": each["Ebs"].get("VolumeType", "gp2"),
                        "DeleteOnTermination": bool(each["Ebs"].get("DeleteOnTermination")),
                        "Encrypted": snapshot.meta.encrypted,
                    },
                }
            )
        image = SandboxAmi(ec2, random_ami_id(), asked, mappings)
        ec2.amis[image.id] = image
        if tags:
            image.add_tags(tags)
        return image

    def start_import(self, region: str, asked: dict[str, Any], tags: dict[str, str]) -> dict[str, Any]:
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
            snapshot = self._snapshot(region, container["SnapshotId"])
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
        }
        self.tasks[task["id"]] = task
        return task

    def task_view(self, task: dict[str, Any]) -> dict[str, Any]:
        """A task as DescribeImportImageTasks answers it; time passes when somebody looks."""
        asked = task["asked"]
        share = min(1.0, (time.time() - task["started"]) / IMPORT_SECONDS)
        if share >= 1.0 and task["image"] is None and not task["cancelled"]:
            self._finish_import(task)
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
        if task["image"]:
            return view | {"Status": "completed", "ImageId": task["image"]}
        step = _STEPS[min(int(share * len(_STEPS)), len(_STEPS) - 1)]
        return view | {"Status": "active", "Progress": str(int(share * 100)), "StatusMessage": step}

    def _finish_import(self, task: dict[str, Any]) -> None:
        mappings = []
        for number, container in enumerate(task["asked"]["DiskContainers"]):
            source = self.store.get(container["SnapshotId"])
            if source is None:
                task["cancelled"] = True
                return
            encrypted = bool(task["asked"].get("Encrypted"))
            changes: dict[str, Any] = {"tags": {}, "description": f"Created by AWS-VMImport service for {task['id']}"}
            if encrypted:
                changes |= {"encrypted": True, "kms_key_arn": task["asked"].get("KmsKeyId") or source.meta.kms_key_arn}
            copy = self.store.copy(source, "snap-0" + secrets.token_hex(8), task["region"], **changes)
            self.show(copy)
            device = "/dev/sda1" if number == 0 else f"/dev/sd{chr(ord('f') + number - 1)}"
            mappings.append(
                {
                    "DeviceName": device,
                    "Ebs": {"SnapshotId": copy.meta.snapshot_id, "VolumeType": "gp2", "DeleteOnTermination": True},
                }
            )
        asked = task["asked"]
        image = self.register(
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

    def _snapshot(self, region: str, snapshot_id: str) -> Snapshot | None:
        found = self.store.get(snapshot_id)
        return found if found is not None and found.meta.region == region else None

    def snapshot_users(self, region: str, snapshot_id: str) -> str | None:
        for image in backend(region).amis.values():
            if isinstance(image, SandboxAmi) and any(
                each["Ebs"]["SnapshotId"] == snapshot_id for each in image.mappings
            ):
                return str(image.id)
        return None


def install(ec2: Ec2) -> None:
    """Give moto's EC2 the sandbox's behaviour. Once a process: moto's backends are global."""
    original = {
        name: getattr(EC2Response, name)
        for name in (
            "run_instances",
            "delete_snapshot",
            "describe_snapshots",
            "create_tags",
            "terminate_instances",
            "stop_instances",
            "start_instances",
        )
    }

    def asked_of(response: Any) -> dict[str, Any]:
        return dict(response.params)

    def tags_of(asked: dict[str, Any], kind: str) -> dict[str, str]:
        for entry in asked.get("TagSpecifications", []):
            if entry.get("ResourceType") == kind:
                return {tag["Key"]: tag.get("Value", "") for tag in entry.get("Tags", [])}
        return {}

    def register_image(self: Any) -> ActionResult:
        asked = asked_of(self)
        self.error_on_dryrun()
        return ActionResult({"ImageId": ec2.register(self.region, asked, tags_of(asked, "image")).id})

    def import_image(self: Any) -> ActionResult:
        asked = asked_of(self)
        self.error_on_dryrun()
        asked.pop("Action", None)
        return ActionResult(ec2.task_view(ec2.start_import(self.region, asked, tags_of(asked, "import-image-task"))))

    def describe_import_image_tasks(self: Any) -> ActionResult:
        wanted = self._get_param("ImportTaskIds", [])
        tasks = [
            task
            for task in ec2.tasks.values()
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
        result: dict[str, Any] = {"ImportImageTasks": [ec2.task_view(task) for task in page]}
        if start + limit < len(tasks):
            result["NextToken"] = str(start + limit)
        return ActionResult(result)

    def cancel_import_task(self: Any) -> ActionResult:
        task = ec2.tasks.get(self._get_param("ImportTaskId"))
        if task is None:
            raise EC2ClientError("InvalidConversionTaskId.Malformed", "The import task does not exist")
        before = ec2.task_view(task)["Status"]
        if before == "active":
            task["cancelled"] = True
        return ActionResult(
            {"ImportTaskId": task["id"], "PreviousState": before, "State": ec2.task_view(task)["Status"]}
        )

    def run_instances(self: Any) -> ActionResult:
        token = self._get_param("ClientToken")
        image = backend(self.region).amis.get(self._get_param("ImageId"))
        if image is None:
            raise EC2ClientError(
                "InvalidAMIID.NotFound", f"The image id '[{self._get_param('ImageId')}]' does not exist"
            )
        fingerprint = json.dumps(
            {key: value for key, value in asked_of(self).items() if key != "Action"}, sort_keys=True, default=str
        )
        if token and (known := ec2.launches.get((self.region, token))):
            if known[0] != fingerprint:
                raise EC2ClientError(
                    "IdempotentParameterMismatch", "The client token was used before, with other parameters."
                )
            return ActionResult(known[1])
        if isinstance(image, SandboxAmi):
            overrides = {each["DeviceName"]: each.get("Ebs", {}) for each in self._get_param("BlockDeviceMappings", [])}
            self._parse_block_device_mapping = lambda: [
                {"DeviceName": each["DeviceName"], "Ebs": {**each["Ebs"], **overrides.get(each["DeviceName"], {})}}
                for each in image.mappings
            ]
        result: ActionResult = original["run_instances"](self)
        reservation: Any = result.result
        if token:
            ec2.launches[self.region, token] = (fingerprint, reservation)
        if isinstance(image, SandboxAmi):
            for instance in reservation.instances:
                ec2.guests.start(instance.id, _disks(ec2, instance), image.boot_mode)
        return result

    def change(name: str, then: Any) -> Any:
        def method(self: Any) -> ActionResult:
            result: ActionResult = original[name](self)
            for instance_id in self._get_param("InstanceIds", []):
                then(self, instance_id)
            return result

        return method

    def restart(self: Any, instance_id: str) -> None:
        instance = backend(self.region).get_instance(instance_id)
        image = backend(self.region).amis.get(instance.image_id)
        ec2.guests.start(instance_id, _disks(ec2, instance), getattr(image, "boot_mode", None))

    def get_console_output(self: Any) -> ActionResult:
        instance = backend(self.region).get_instance(self._get_param("InstanceId"))
        text = ec2.guests.console(instance.id)
        return ActionResult(
            {"InstanceId": instance.id, "Timestamp": time.time(), "Output": base64.b64encode(text).decode()}
        )

    def delete_snapshot(self: Any) -> Any:
        snapshot_id = self._get_param("SnapshotId")
        user = ec2.snapshot_users(self.region, snapshot_id)
        if user:
            raise EC2ClientError("InvalidSnapshot.InUse", f"The snapshot {snapshot_id} is currently in use by {user}")
        result = original["delete_snapshot"](self)
        if ec2.store.get(snapshot_id):
            ec2.store.delete(snapshot_id)
        return result

    replacements: dict[str, Any] = {
        "register_image": register_image,
        "import_image": import_image,
        "describe_import_image_tasks": describe_import_image_tasks,
        "cancel_import_task": cancel_import_task,
        "run_instances": run_instances,
        "terminate_instances": change("terminate_instances", lambda _, instance_id: ec2.guests.end(instance_id)),
        "stop_instances": change("stop_instances", lambda _, instance_id: ec2.guests.stop(instance_id)),
        "start_instances": change("start_instances", restart),
        "get_console_output": get_console_output,
        "delete_snapshot": delete_snapshot,
    }
    for name, method in replacements.items():
        setattr(EC2Response, name, method)


def _disks(ec2: Ec2, instance: Any) -> list[tuple[str, Snapshot]]:
    """(serial number, snapshot) of the instance's volumes, the root first. Nitro shows a volume's id as its serial."""
    image = backend(instance.ec2_backend.region_name).amis.get(instance.image_id)
    found = []
    for _, attached in sorted(
        instance.block_device_mapping.items(), key=lambda each: each[0] != getattr(image, "root_device_name", None)
    ):
        volume = backend(instance.ec2_backend.region_name).get_volume(attached.volume_id)
        snapshot = ec2.store.snapshots.get(volume.snapshot_id or "")
        if snapshot is not None:
            found.append((attached.volume_id.replace("-", ""), snapshot))
    return found
