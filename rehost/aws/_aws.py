"""Everything of AWS that a stack needs, behind one object."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from rehost.aws._account import Account
from rehost.aws._commands import Commands
from rehost.aws._copies import Copies
from rehost.aws._details import Details
from rehost.aws._ebs import EbsDirect
from rehost.aws._errors import translated
from rehost.aws._images import Images
from rehost.aws._imports import Imports
from rehost.aws._instance_changes import InstanceChanges
from rehost.aws._instance_types import InstanceTypes
from rehost.aws._instances import Instances
from rehost.aws._launch_checks import LaunchChecks
from rehost.aws._notify import Notify
from rehost.aws._preflight import Preflight
from rehost.aws._retry import RetryPolicy
from rehost.aws._secrets import Secrets
from rehost.aws._session import AwsSettings, Identity, Session
from rehost.aws._sharing import Sharing
from rehost.aws._tags import STACK_TAG, from_list


@dataclass(frozen=True)
class Owned:
    """Something in EC2 that carries our tags."""

    kind: str  # instance, image, snapshot, volume
    id: str
    tags: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.kind} {self.id} ({', '.join(f'{key}={value}' for key, value in sorted(self.tags.items()))})"


class Aws:
    """Parts are made when first used. Thread-safe."""

    def __init__(self, settings: AwsSettings, retry: RetryPolicy | None = None) -> None:
        self.session = Session(settings)
        self._retry = retry
        self._others: dict[str, Aws] = {}
        self._lock = threading.Lock()

    def in_region(self, region: str) -> Aws:
        """The same account and settings in another region."""
        if region == self.region:
            return self
        with self._lock:
            if region not in self._others:
                self._others[region] = Aws(replace(self.session.settings, region=region), self._retry)
            return self._others[region]

    @property
    def region(self) -> str:
        return self.session.region

    def check_access(self) -> Identity:
        return self.session.check_access()

    @cached_property
    def ebs(self) -> EbsDirect:
        return EbsDirect(self.session, self._retry)

    @cached_property
    def images(self) -> Images:
        return Images(self.session)

    @cached_property
    def imports(self) -> Imports:
        return Imports(self.session)

    @cached_property
    def copies(self) -> Copies:
        return Copies(self.session, self.images)

    @cached_property
    def sharing(self) -> Sharing:
        return Sharing(self.session, self.images)

    @cached_property
    def instances(self) -> Instances:
        return Instances(self.session)

    @cached_property
    def commands(self) -> Commands:
        return Commands(self.session)

    @cached_property
    def details(self) -> Details:
        return Details(self.session)

    @cached_property
    def instance_changes(self) -> InstanceChanges:
        return InstanceChanges(self.session, self.instances)

    @cached_property
    def instance_types(self) -> InstanceTypes:
        return InstanceTypes(self.session)

    @cached_property
    def launch_checks(self) -> LaunchChecks:
        return LaunchChecks(self.session, self.instance_types)

    @cached_property
    def preflight(self) -> Preflight:
        return Preflight(self.session)

    @cached_property
    def account(self) -> Account:
        return Account(self.session)

    @cached_property
    def notify(self) -> Notify:
        return Notify(self.session)

    @cached_property
    def secrets(self) -> Secrets:
        return Secrets(self.session)

    def list_owned(self, stack: str, tags: Mapping[str, str] | None = None) -> list[Owned]:
        """All instances that are not terminated, images, snapshots and volumes of the stack; `tags` narrows it."""
        wanted = {STACK_TAG: stack, **(tags or {})}
        filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in wanted.items()]
        ec2 = self.session.client("ec2")
        found: list[Owned] = []
        with translated():
            for page in ec2.get_paginator("describe_instances").paginate(Filters=filters):
                for reservation in page["Reservations"]:
                    for instance in reservation["Instances"]:
                        if instance["State"]["Name"] != "terminated":
                            found.append(Owned("instance", instance["InstanceId"], from_list(instance.get("Tags"))))
            for page in ec2.get_paginator("describe_images").paginate(Owners=["self"], Filters=filters):
                found += [Owned("image", image["ImageId"], from_list(image.get("Tags"))) for image in page["Images"]]
            for page in ec2.get_paginator("describe_snapshots").paginate(OwnerIds=["self"], Filters=filters):
                found += [
                    Owned("snapshot", each["SnapshotId"], from_list(each.get("Tags"))) for each in page["Snapshots"]
                ]
            for page in ec2.get_paginator("describe_volumes").paginate(Filters=filters):
                found += [Owned("volume", each["VolumeId"], from_list(each.get("Tags"))) for each in page["Volumes"]]
        return found
