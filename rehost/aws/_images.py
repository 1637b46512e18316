"""AMIs: registered from snapshots, looked at, taken away, and who still needs them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rehost.aws._errors import NotFound, Refused, TooSlow, translated
from rehost.aws._session import Session
from rehost.aws._tags import RUN_TAG, STACK_TAG, from_list, require_ours, specification, to_list
from rehost.aws._users import image_users
from rehost.limits import DEFAULT_VOLUME


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
    encrypted: bool = False
    imdsv2: bool = False  # its instances take only version 2 requests of the metadata service


class Images:
    """The images of one region. Thread-safe."""

    def __init__(self, session: Session) -> None:
        self._session = session
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
        unique_name: str | None = None,
        ena: bool = True,
        imdsv2: bool = False,
        tpm: bool = False,
        uefi_data: str | None = None,
    ) -> str:
        """Register an AMI and return its id. `boot_mode`: legacy-bios, uefi or uefi-preferred; `uefi_data`: base64.

        RegisterImage has no client token: a repeated call finds the image of the first by the tags of its run, and, as names
        are unique, by its name. Where `name` is somebody else's, `unique_name` is taken.
        """
        ours = [{"Name": f"tag:{key}", "Values": [tags[key]]} for key in (STACK_TAG, RUN_TAG) if key in tags]
        if RUN_TAG in tags and (found := self._find(ours)):
            return found[0].image_id
        request: dict[str, Any] = {
            "Description": description[:255],
            "Architecture": architecture,
            "VirtualizationType": "hvm",
            "EnaSupport": ena,
            "RootDeviceName": disks[0].device,
            "BlockDeviceMappings": [_mapping(disk) for disk in disks],
            "TagSpecifications": [specification("image", tags)],
        }
        optional = {
            "BootMode": boot_mode,
            "ImdsSupport": "v2.0" if imdsv2 else None,
            "TpmSupport": "v2.0" if tpm else None,
            "UefiData": uefi_data,
        }
        request |= {key: value for key, value in optional.items() if value is not None}
        for each in filter(None, (name, unique_name)):
            try:
                with translated():
                    return str(self._ec2.register_image(Name=each, **request)["ImageId"])
            except Refused as refused:
                if refused.code != "InvalidAMIName.Duplicate":
                    raise
                if found := self._find([{"Name": "name", "Values": [each]}, *ours]):
                    return found[0].image_id
                taken = refused
        raise taken

    def require_imdsv2(self, image_id: str) -> None:
        """Make the image's instances take only version 2 requests; AWS has no way back. A retry is safe."""
        with translated():
            self._ec2.modify_image_attribute(ImageId=image_id, ImdsSupport={"Value": "v2.0"})

    def set_tags(self, image_id: str, tags: Mapping[str, str], *, stack: str) -> None:
        """Put tags onto an image of ours and its snapshots. A retry is safe. Raises `NotOurs`, `NotFound`."""
        view = self.describe(image_id)
        if view is None:
            raise NotFound(operation="DescribeImages", message=f"image {image_id} does not exist")
        require_ours(f"image {image_id}", view.tags, stack)
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

    def in_use(self, image_ids: Sequence[str]) -> set[str]:
        """Which of them somebody still needs; see `image_users`."""
        return image_users(self._session, image_ids)

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

    def find(self, tags: Mapping[str, str]) -> list[ImageView]:
        """Images of this account with all of these tags, in this region."""
        return self._find([{"Name": f"tag:{key}", "Values": [value]} for key, value in tags.items()])

    def _find(self, filters: list[dict[str, Any]]) -> list[ImageView]:
        with translated():
            return [view_of(image) for image in self._ec2.describe_images(Owners=["self"], Filters=filters)["Images"]]


def _mapping(disk: DiskImage) -> dict[str, Any]:
    volume = {
        "SnapshotId": disk.snapshot_id,
        "VolumeSize": disk.size_gib,
        "DeleteOnTermination": True,
        "VolumeType": DEFAULT_VOLUME["register"],
    }
    return {"DeviceName": disk.device, "Ebs": volume}


def view_of(image: Mapping[str, Any]) -> ImageView:
    mappings = image.get("BlockDeviceMappings", ())
    snapshots = tuple(entry["Ebs"]["SnapshotId"] for entry in mappings if entry.get("Ebs", {}).get("SnapshotId"))
    reason = (image.get("StateReason") or {}).get("Message", "")
    return ImageView(
        image["ImageId"],
        image.get("Name", ""),
        image["State"],
        snapshots,
        from_list(image.get("Tags")),
        reason,
        any(entry.get("Ebs", {}).get("Encrypted") for entry in mappings),
        image.get("ImdsSupport") == "v2.0",
    )
