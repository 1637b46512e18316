"""EC2 instances: launched once whatever happens, terminated only when they are ours."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rehost.aws._errors import NotFound, Refused, TooSlow, translated
from rehost.aws._launch import LaunchRequest, arguments, ordered
from rehost.aws._session import Session
from rehost.aws._tags import PROTECTED_TAG, STACK_TAG, TOKEN_TAG, from_list, require_ours, to_list

_GONE = ("shutting-down", "terminated")
LAUNCH_SECONDS = 900.0
#: How often a token may have been used up by instances that were terminated since.
GENERATIONS = 100

Say = Callable[[str], object]


@dataclass(frozen=True)
class InstanceView:
    instance_id: str
    state: str
    image_id: str
    instance_type: str
    private_ip: str | None
    public_ip: str | None
    tags: Mapping[str, str]
    subnet: str | None = None
    key_name: str | None = None
    volumes: tuple[str, ...] = ()  # ids, in the order of the disks: the root's first
    interfaces: tuple[str, ...] = ()  # ids, the first one first


class Instances:
    def __init__(self, session: Session) -> None:
        self._ec2 = session.client("ec2")

    def launch(self, request: LaunchRequest, *, on_progress: Say) -> InstanceView:
        """Launch, or find what an interrupted launch made, and wait until it runs. A retry is safe.

        Raises `Refused` where what it finds was asked for otherwise.

        EC2 answers a client token for a day with the instance it first made, even a terminated one: then the next
        generation of the token is used.
        """
        tags = {**request.tags, TOKEN_TAG: request.token}
        found = self._find_live(tags)
        if found is not None:
            _require_same(request, found)
        else:
            asked = self._arguments(request, tags)
            fingerprint = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
            for generation in range(GENERATIONS):
                token = hashlib.sha256(f"{request.token}/{fingerprint}/{generation}".encode()).hexdigest()
                with translated():
                    answer = self._ec2.run_instances(**asked, ClientToken=token)
                found = self.describe(answer["Instances"][0]["InstanceId"])
                if found is not None:
                    break
            else:
                raise Refused(
                    operation="RunInstances",
                    code="TokensUsedUp",
                    message=f"{GENERATIONS} instances of {request.token} were terminated",
                )
        on_progress(f"instance {found.instance_id} is {found.state}")
        if request.started:
            return self.start(found.instance_id, on_progress=on_progress)
        self._wait(found.instance_id, ("running", "stopping", "stopped"), on_progress)
        return self.stop(found.instance_id, on_progress=on_progress)

    def start(self, instance_id: str, *, on_progress: Say) -> InstanceView:
        """Wait until it runs, and start it where it was stopped. A retry is safe."""
        view = self._wait(instance_id, ("running", "stopped"), on_progress)
        if view.state == "running":
            return view
        with translated():
            self._ec2.start_instances(InstanceIds=[instance_id])
        return self._wait(instance_id, ("running",), on_progress)

    def stop(self, instance_id: str, *, on_progress: Say) -> InstanceView:
        """Stop it where it runs, and wait until it is. A retry is safe."""
        view = self._wait(instance_id, ("running", "stopping", "stopped"), on_progress)
        if view.state == "running":
            with translated():
                self._ec2.stop_instances(InstanceIds=[instance_id])
        return self._wait(instance_id, ("stopped",), on_progress)

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

    def ours(self, instance_id: str, stack: str) -> InstanceView:
        """Raises `NotFound` where it is terminated, `NotOurs` where another stack made it."""
        view = self.describe(instance_id)
        if view is None:
            raise NotFound(
                operation="DescribeInstances",
                message=f"instance {instance_id} is terminated; run `pulumi refresh`, then `pulumi up`",
            )
        require_ours(f"instance {instance_id}", view.tags, stack)
        return view

    def terminate(
        self,
        instance_id: str,
        *,
        stack: str,
        seconds: float = LAUNCH_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Terminate an instance of ours and wait until it is gone; gone already is fine. Raises `NotOurs`.

        The protection of `protect_completed` is lifted, since Pulumi's `protect` had to be lifted before; where somebody
        else protected the instance, `Refused`.
        """
        view = self.describe(instance_id)
        if view is None:
            return
        require_ours(f"instance {instance_id}", view.tags, stack)
        try:
            with translated():
                self._ec2.terminate_instances(InstanceIds=[instance_id])
        except Refused as error:
            if error.code != "OperationNotPermitted" or PROTECTED_TAG not in view.tags:
                raise
            self.set_protection(instance_id, False, stack=stack)
            with translated():
                self._ec2.terminate_instances(InstanceIds=[instance_id])
        deadline = time.monotonic() + seconds
        pause = 0.1
        while not self._is_terminated(instance_id):
            if time.monotonic() > deadline:
                raise TooSlow(resource=f"instance {instance_id}", state="shutting-down", seconds=seconds)
            sleep(pause)
            pause = min(pause * 1.5, 10.0)

    def set_protection(self, instance_id: str, on: bool, *, stack: str) -> None:
        """EC2's own protection against termination. Repeating it is harmless. Raises `NotFound`, `NotOurs`."""
        self.ours(instance_id, stack)
        with translated():
            self._ec2.modify_instance_attribute(InstanceId=instance_id, DisableApiTermination={"Value": on})

    def protect_completed(self, instance_id: str, *, stack: str) -> None:
        """The same, by the phase complete: a tag says so. Repeating it is harmless."""
        self.set_protection(instance_id, True, stack=stack)
        with translated():
            self._ec2.create_tags(Resources=[instance_id], Tags=to_list({PROTECTED_TAG: "complete"}))

    def _arguments(self, request: LaunchRequest, tags: Mapping[str, str]) -> dict[str, Any]:
        if not request.sets_volumes:
            return arguments(request, tags)
        with translated():
            image = self._ec2.describe_images(ImageIds=[request.image_id])["Images"][0]
        devices = [entry["DeviceName"] for entry in image["BlockDeviceMappings"] if "Ebs" in entry]
        return arguments(request, tags, root=image.get("RootDeviceName", ""), devices=devices)

    def _find_live(self, tags: Mapping[str, str]) -> InstanceView | None:
        filters = [{"Name": f"tag:{key}", "Values": [tags[key]]} for key in (STACK_TAG, TOKEN_TAG)]
        with translated():
            for page in self._ec2.get_paginator("describe_instances").paginate(Filters=filters):
                for reservation in page["Reservations"]:
                    for instance in reservation["Instances"]:
                        if instance["State"]["Name"] not in _GONE:
                            return view_of(instance)
        return None

    def _is_terminated(self, instance_id: str) -> bool:
        try:
            with translated():
                reservations = self._ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
        except NotFound:
            return True
        return all(each["State"]["Name"] == "terminated" for entry in reservations for each in entry["Instances"])

    def _why_gone(self, instance_id: str) -> str:
        """What EC2 gives as the reason, such as Client.VolumeLimitExceeded or Client.InvalidKMSKey."""
        try:
            with translated():
                reservations = self._ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
        except NotFound:
            return ""
        reasons = [each.get("StateReason", {}).get("Message") for entry in reservations for each in entry["Instances"]]
        return f": {reasons[0]}" if reasons and reasons[0] else ""

    def _wait(
        self,
        instance_id: str,
        states: Sequence[str],
        on_progress: Say,
        sleep: Callable[[float], None] = time.sleep,
    ) -> InstanceView:
        deadline = time.monotonic() + LAUNCH_SECONDS
        pause = 0.1
        while True:
            view = self.describe(instance_id)
            if view is None:
                raise Refused(
                    operation="RunInstances",
                    code="Terminated",
                    message=f"instance {instance_id} was terminated before it was {states[0]}{self._why_gone(instance_id)}",
                )
            if view.state in states:
                return view
            if time.monotonic() > deadline:
                raise TooSlow(resource=f"instance {instance_id}", state=view.state, seconds=LAUNCH_SECONDS)
            if pause >= 10.0:
                on_progress(f"instance {instance_id} is {view.state}")
            sleep(pause)
            pause = min(pause * 1.5, 10.0)


def _require_same(request: LaunchRequest, found: InstanceView) -> None:
    """An interrupted launch is taken over only where it asked for the same: everything that cannot be changed later."""
    wanted = {
        "image": (request.image_id, found.image_id),
        "subnet": (request.subnet, found.subnet),
        "private address": (request.private_ip, found.private_ip),
        "key pair": (request.key_name, found.key_name),
    }
    differs = [f"its {what} is {has}, not {asked}" for what, (asked, has) in wanted.items() if asked not in (None, has)]
    if differs:
        raise Refused(
            operation="RunInstances",
            code="LaunchedOtherwise",
            message=f"instance {found.instance_id} is this server's already and is not in the state, but {' and '.join(differs)}; "
            "terminate it if it is what an interrupted update left, then `pulumi up` again",
        )


def view_of(instance: Mapping[str, Any]) -> InstanceView:
    disks = {
        each["DeviceName"]: each["Ebs"]["VolumeId"] for each in instance.get("BlockDeviceMappings", ()) if "Ebs" in each
    }
    interfaces = sorted(instance.get("NetworkInterfaces", ()), key=lambda each: int(each["Attachment"]["DeviceIndex"]))
    return InstanceView(
        instance_id=instance["InstanceId"],
        state=instance["State"]["Name"],
        image_id=instance["ImageId"],
        instance_type=instance["InstanceType"],
        private_ip=instance.get("PrivateIpAddress") or None,
        public_ip=instance.get("PublicIpAddress") or None,
        tags=from_list(instance.get("Tags")),
        subnet=instance.get("SubnetId") or None,
        key_name=instance.get("KeyName") or None,
        volumes=tuple(disks[device] for device in ordered(instance.get("RootDeviceName", ""), list(disks))),
        interfaces=tuple(each["NetworkInterfaceId"] for each in interfaces),
    )
