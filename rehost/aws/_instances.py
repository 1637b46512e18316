"""EC2 instances: launched once whatever happens, changed in place, terminated only when they are ours."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rehost.aws._errors import NotFound, Refused, TooSlow, translated
from rehost.aws._session import Session
from rehost.aws._tags import STACK_TAG, TOKEN_TAG, from_list, require_ours, specification, to_list

_GONE = ("shutting-down", "terminated")
LAUNCH_SECONDS = 900.0
#: How often a token may have been used up by instances that were terminated since.
GENERATIONS = 100

Say = Callable[[str], object]


@dataclass(frozen=True)
class LaunchRequest:
    token: str  # the same one never launches a second instance while the first lives
    image_id: str
    instance_type: str
    subnet: str | None = None
    security_groups: tuple[str, ...] = ()
    key_name: str | None = None
    instance_profile: str | None = None
    user_data: str | None = None
    private_ip: str | None = None
    public_ip: bool | None = None
    volume_type: str | None = None
    imdsv2: str = "required"
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class InstanceView:
    instance_id: str
    state: str
    image_id: str
    instance_type: str
    private_ip: str | None
    public_ip: str | None
    tags: Mapping[str, str]


class Instances:
    def __init__(self, session: Session) -> None:
        self._ec2 = session.client("ec2")

    def launch(self, request: LaunchRequest, *, on_progress: Say) -> InstanceView:
        """Launch, or find what an interrupted launch made, and wait until it runs. A retry is safe.

        Raises `Refused` where the one that runs is of another image.

        EC2 answers a client token for a day with the instance it first made, even a terminated one: then the next
        generation of the token is used.
        """
        tags = {**request.tags, TOKEN_TAG: request.token}
        found = self._find_live(tags)
        if found is None:
            arguments = self._arguments(request, tags)
            fingerprint = hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()
            for generation in range(GENERATIONS):
                token = hashlib.sha256(f"{request.token}/{fingerprint}/{generation}".encode()).hexdigest()
                with translated():
                    answer = self._ec2.run_instances(**arguments, ClientToken=token)
                found = self.describe(answer["Instances"][0]["InstanceId"])
                if found is not None:
                    break
            else:
                raise Refused(
                    operation="RunInstances",
                    code="TokensUsedUp",
                    message=f"{GENERATIONS} instances of {request.token} were terminated",
                )
        elif found.image_id != request.image_id:
            # What an interrupted update left behind, or what serves by now: that is for a person to say.
            raise Refused(
                operation="RunInstances",
                code="OtherImage",
                message=f"instance {found.instance_id} runs already, of {found.image_id} and not of {request.image_id}; "
                "terminate it, if nobody needs it, then `pulumi up` again",
            )
        on_progress(f"instance {found.instance_id} is {found.state}")
        return self._wait(found.instance_id, "running", on_progress)

    def describe(self, instance_id: str) -> InstanceView | None:
        """None where it is terminated, or on its way there."""
        try:
            with translated():
                reservations = self._ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
        except NotFound:
            return None
        for reservation in reservations:
            for instance in reservation["Instances"]:
                if instance["State"]["Name"] not in _GONE:
                    return view_of(instance)
        return None

    def of_images(self, image_ids: Collection[str]) -> list[InstanceView]:
        """Instances that were launched from any of them and are not terminated."""
        if not image_ids:
            return []
        filters = [{"Name": "image-id", "Values": sorted(image_ids)}]
        with translated():
            pages = self._ec2.get_paginator("describe_instances").paginate(Filters=filters)
            found = [instance for page in pages for each in page["Reservations"] for instance in each["Instances"]]
        return [view_of(instance) for instance in found if instance["State"]["Name"] not in _GONE]

    def change_type(self, instance_id: str, instance_type: str, *, stack: str, on_progress: Say) -> None:
        """Stop, change, start again if it ran. A retry goes on where it stopped."""
        view = self._ours(instance_id, stack)
        if view.instance_type == instance_type and view.state == "running":
            return
        was_running = view.state in ("pending", "running")
        if view.state != "stopped":
            on_progress(f"stopping {instance_id} to change its type")
            with translated():
                self._ec2.stop_instances(InstanceIds=[instance_id])
            self._wait(instance_id, "stopped", on_progress)
        with translated():
            self._ec2.modify_instance_attribute(InstanceId=instance_id, InstanceType={"Value": instance_type})
            if was_running or view.instance_type == instance_type:
                self._ec2.start_instances(InstanceIds=[instance_id])
        self._wait(instance_id, "running" if was_running else "stopped", on_progress)

    def set_tags(self, instance_id: str, tags: Mapping[str, str], *, gone: Sequence[str], stack: str) -> None:
        self._ours(instance_id, stack)
        with translated():
            self._ec2.create_tags(Resources=[instance_id], Tags=to_list(tags))
            if gone:
                self._ec2.delete_tags(Resources=[instance_id], Tags=[{"Key": key} for key in gone])

    def set_security_groups(self, instance_id: str, groups: Sequence[str], *, stack: str) -> None:
        self._ours(instance_id, stack)
        with translated():
            self._ec2.modify_instance_attribute(InstanceId=instance_id, Groups=list(groups))

    def terminate(
        self,
        instance_id: str,
        *,
        stack: str,
        seconds: float = LAUNCH_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Terminate an instance of ours and wait until it is gone; gone already is fine. Raises `NotOurs`.

        EC2's protection is lifted: what guards against a mistake here is Pulumi's `protect`.
        """
        view = self.describe(instance_id)
        if view is None:
            return
        require_ours(f"instance {instance_id}", view.tags, stack)
        try:
            with translated():
                self._ec2.terminate_instances(InstanceIds=[instance_id])
        except Refused as error:
            if error.code != "OperationNotPermitted":
                raise
            self.protect(instance_id, stack=stack, on=False)
            with translated():
                self._ec2.terminate_instances(InstanceIds=[instance_id])
        deadline = time.monotonic() + seconds
        pause = 0.1
        while not self._is_terminated(instance_id):
            if time.monotonic() > deadline:
                raise TooSlow(resource=f"instance {instance_id}", state="shutting-down", seconds=seconds)
            sleep(pause)
            pause = min(pause * 1.5, 10.0)

    def protect(self, instance_id: str, *, stack: str, on: bool = True) -> None:
        """EC2's own protection against termination, on or off. Repeating it is harmless. Raises `NotOurs`."""
        self._ours(instance_id, stack)
        with translated():
            self._ec2.modify_instance_attribute(InstanceId=instance_id, DisableApiTermination={"Value": on})

    def _arguments(self, request: LaunchRequest, tags: Mapping[str, str]) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "ImageId": request.image_id,
            "InstanceType": request.instance_type,
            "MinCount": 1,
            "MaxCount": 1,
            "MetadataOptions": {"HttpTokens": request.imdsv2, "HttpEndpoint": "enabled"},
            "TagSpecifications": [specification("instance", tags), specification("volume", tags)],
        }
        if request.key_name:
            arguments["KeyName"] = request.key_name
        if request.instance_profile:
            kind = "Arn" if request.instance_profile.startswith("arn:") else "Name"
            arguments["IamInstanceProfile"] = {kind: request.instance_profile}
        if request.user_data:
            arguments["UserData"] = request.user_data
        network: dict[str, Any] = {
            "SubnetId": request.subnet,
            "PrivateIpAddress": request.private_ip,
            "Groups": list(request.security_groups),
            "AssociatePublicIpAddress": request.public_ip,
        }
        wanted = {key: value for key, value in network.items() if value not in (None, [])}
        if wanted:
            arguments["NetworkInterfaces"] = [{"DeviceIndex": 0, **wanted}]
        if request.volume_type:
            arguments["BlockDeviceMappings"] = self._volumes(request)
        return arguments

    def _volumes(self, request: LaunchRequest) -> list[dict[str, Any]]:
        """The image's disks, with the volume type that the launch config asks for."""
        with translated():
            image = self._ec2.describe_images(ImageIds=[request.image_id])["Images"][0]
        devices = [entry["DeviceName"] for entry in image["BlockDeviceMappings"] if "Ebs" in entry]
        return [{"DeviceName": device, "Ebs": {"VolumeType": request.volume_type}} for device in devices]

    def _find_live(self, tags: Mapping[str, str]) -> InstanceView | None:
        filters = [{"Name": f"tag:{key}", "Values": [tags[key]]} for key in (STACK_TAG, TOKEN_TAG)]
        with translated():
            for page in self._ec2.get_paginator("describe_instances").paginate(Filters=filters):
                for reservation in page["Reservations"]:
                    for instance in reservation["Instances"]:
                        if instance["State"]["Name"] not in _GONE:
                            return view_of(instance)
        return None

    def _ours(self, instance_id: str, stack: str) -> InstanceView:
        view = self.describe(instance_id)
        if view is None:
            raise NotFound(
                operation="DescribeInstances",
                message=f"instance {instance_id} is terminated; run `pulumi refresh`, then `pulumi up`",
            )
        require_ours(f"instance {instance_id}", view.tags, stack)
        return view

    def _is_terminated(self, instance_id: str) -> bool:
        try:
            with translated():
                reservations = self._ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
        except NotFound:
            return True
        return all(each["State"]["Name"] == "terminated" for entry in reservations for each in entry["Instances"])

    def _wait(
        self, instance_id: str, state: str, on_progress: Say, sleep: Callable[[float], None] = time.sleep
    ) -> InstanceView:
        deadline = time.monotonic() + LAUNCH_SECONDS
        pause = 0.1
        while True:
            view = self.describe(instance_id)
            if view is None:
                raise Refused(
                    operation="RunInstances",
                    code="Terminated",
                    message=f"instance {instance_id} was terminated before it was {state}",
                )
            if view.state == state:
                return view
            if time.monotonic() > deadline:
                raise TooSlow(resource=f"instance {instance_id}", state=view.state, seconds=LAUNCH_SECONDS)
            if pause >= 10.0:
                on_progress(f"instance {instance_id} is {view.state}")
            sleep(pause)
            pause = min(pause * 1.5, 10.0)


def view_of(instance: Mapping[str, Any]) -> InstanceView:
    return InstanceView(
        instance_id=instance["InstanceId"],
        state=instance["State"]["Name"],
        image_id=instance["ImageId"],
        instance_type=instance["InstanceType"],
        private_ip=instance.get("PrivateIpAddress") or None,
        public_ip=instance.get("PublicIpAddress") or None,
        tags=from_list(instance.get("Tags")),
    )
