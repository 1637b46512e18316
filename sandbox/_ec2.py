"""What moto's EC2 lacks or fakes, in one place: images of real snapshots, VM import, launch tokens, consoles.

`install` replaces methods of moto's response class and registers the sandbox with it. Everything else of EC2 is moto's.
"""

from __future__ import annotations

import base64
import json
import re
import time
from functools import partial
from types import SimpleNamespace
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.amis import Ami
from moto.ec2.models.elastic_block_store import Snapshot as MotoSnapshot
from moto.ec2.responses import EC2Response
from moto.ec2.utils import random_ami_id

from sandbox._boot import Guests
from sandbox._copies import copy_methods
from sandbox._ebs import ACCOUNT
from sandbox._imports import ImportTasks, import_methods
from sandbox._network import card_of, check_addresses, install_addresses, release_addresses
from sandbox._placing import check_launch, complete_launch, makeable, placing_methods
from sandbox._requests import backend, tags_of
from sandbox._store import Snapshot, SnapshotStore


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
        self.imds_support: str | None = asked.get("ImdsSupport")
        self.tpm_support = asked.get("TpmSupport")
        self.available_at = 0.0
        self.failure: str | None = None
        ec2_backend.snapshots.pop(self.ebs_snapshot.id)  # the snapshot that moto makes up

    @property
    def state(self) -> str:
        if time.time() < self.available_at:
            return "pending"
        return "failed" if self.failure else "available"

    @state.setter
    def state(self, value: str) -> None:
        """moto's constructor sets it; a copy takes its time."""

    @property
    def state_reason(self) -> dict[str, str] | None:
        return (
            {"Code": "Client.InvalidKmsKey", "Message": self.failure}
            if self.state == "failed" and self.failure
            else None
        )

    @property
    def block_device_mappings(self) -> list[dict[str, Any]]:
        return self.mappings


class Ec2:
    """The sandbox's part of EC2."""

    def __init__(self, store: SnapshotStore, guests: Guests) -> None:
        self.store, self.guests = store, guests
        self.imports = ImportTasks(self)
        self.copied: dict[tuple[str, str], tuple[str, str]] = {}  # (region, token): (what was asked, image or snapshot)
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
        _check_firmware(asked)
        wanted = [each for each in asked.get("BlockDeviceMappings", []) if each.get("Ebs", {}).get("SnapshotId")]
        if asked.get("RootDeviceName") not in {each["DeviceName"] for each in wanted}:
            raise EC2ClientError(
                "InvalidBlockDeviceMapping",
                f"The root device {asked.get('RootDeviceName')} is not in the block device mapping",
            )
        mappings = []
        for each in wanted:
            snapshot = self.snapshot(region, each["Ebs"]["SnapshotId"])
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

    def snapshot(self, region: str, snapshot_id: str) -> Snapshot | None:
        found = self.store.get(snapshot_id)
        return found if found is not None and found.meta.region == region else None

    def snapshot_users(self, region: str, snapshot_id: str) -> str | None:
        for image in backend(region).amis.values():
            if isinstance(image, SandboxAmi) and any(
                each["Ebs"]["SnapshotId"] == snapshot_id for each in image.mappings
            ):
                return str(image.id)
        return None


def _check_firmware(asked: dict[str, Any]) -> None:
    """What RegisterImage refuses of boot mode, TPM, metadata version and UEFI data (EC2 API reference)."""
    mode, architecture = asked.get("BootMode"), asked.get("Architecture", "i386")
    if architecture == "arm64" and mode not in (None, "uefi"):
        raise EC2ClientError("InvalidParameterValue", f"BootMode {mode} is not supported by arm64.")
    if asked.get("TpmSupport") not in (None, "v2.0") or (asked.get("TpmSupport") and mode != "uefi"):
        raise EC2ClientError("InvalidParameterCombination", "TpmSupport v2.0 requires BootMode uefi.")
    if asked.get("ImdsSupport") not in (None, "v2.0"):
        raise EC2ClientError("InvalidParameterValue", "ImdsSupport can be v2.0.")
    if asked.get("UefiData") and mode not in ("uefi", "uefi-preferred"):
        raise EC2ClientError("InvalidParameterCombination", "UefiData requires a UEFI boot mode.")
    if not 3 <= len(asked["Name"]) <= 128 or re.search(r"[^A-Za-z0-9()\[\] ./'@_-]", asked["Name"]):
        raise EC2ClientError(
            "InvalidAMIName.Malformed",
            f"AMI names must be between 3 and 128 characters long, and may contain letters, numbers, '(', ')', '.', '-', '/' and '_': {asked['Name']}",
        )


def install(ec2: Ec2) -> None:
    """Give moto's EC2 the sandbox's behaviour. Once a process: moto's backends are global."""
    install_addresses()
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
            "modify_image_attribute",
        )
    }

    def asked_of(response: Any) -> dict[str, Any]:
        return dict(response.params)

    def register_image(self: Any) -> ActionResult:
        asked = asked_of(self)
        self.error_on_dryrun()
        return ActionResult({"ImageId": ec2.register(self.region, asked, tags_of(asked, "image")).id})

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
        check_addresses(backend(self.region), asked_of(self))
        check_launch(self.region, asked_of(self), [each["DeviceName"] for each in image.block_device_mappings or []])
        if isinstance(image, SandboxAmi):
            overrides = {each["DeviceName"]: each.get("Ebs", {}) for each in self._get_param("BlockDeviceMappings", [])}
            self._parse_block_device_mapping = lambda: [
                {
                    "DeviceName": each["DeviceName"],
                    "Ebs": makeable({**each["Ebs"], **overrides.get(each["DeviceName"], {})}),
                }
                for each in image.mappings
            ]
        result: ActionResult = original["run_instances"](self)
        reservation: Any = result.result
        complete_launch(self.region, asked_of(self), reservation.instances)
        if token:
            ec2.launches[self.region, token] = (fingerprint, reservation)
        if isinstance(image, SandboxAmi):
            for instance in reservation.instances:
                data = base64.b64decode(self._get_param("UserData") or "").decode("utf-8", "replace")
                ec2.guests.start(instance.id, _disks(ec2, instance), image.boot_mode, data, partial(card_of, instance))
        return result

    def change(name: str, then: Any) -> Any:
        def method(self: Any) -> ActionResult:
            result: ActionResult = original[name](self)
            for instance_id in self._get_param("InstanceIds", []):
                then(self, instance_id)
            return result

        return method

    def end(self: Any, instance_id: str) -> None:
        ec2.guests.end(instance_id)
        release_addresses(backend(self.region).get_instance(instance_id))

    def restart(self: Any, instance_id: str) -> None:
        instance = backend(self.region).get_instance(instance_id)
        image = backend(self.region).amis.get(instance.image_id)
        ec2.guests.start(
            instance_id, _disks(ec2, instance), getattr(image, "boot_mode", None), card=partial(card_of, instance)
        )

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
        **import_methods(ec2),
        **copy_methods(ec2, original),
        **placing_methods(),
        "run_instances": run_instances,
        "terminate_instances": change("terminate_instances", end),
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
