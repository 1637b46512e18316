"""Changes of an instance that EC2 makes in place. Each looks first whether the instance is ours; a retry goes on where it stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rehost.aws._errors import translated
from rehost.aws._instances import Instances, Say
from rehost.aws._launch import VolumeSettings, profile, settings_of
from rehost.aws._session import Session
from rehost.aws._tags import to_list


class InstanceChanges:
    """All raise `NotFound` where the instance is terminated, and `NotOurs` where another stack made it."""

    def __init__(self, session: Session, instances: Instances) -> None:
        self._ec2 = session.client("ec2")
        self._instances = instances

    def change_type(
        self, instance_id: str, instance_type: str, *, started: bool = True, stack: str, on_progress: Say
    ) -> None:
        """Stop, change, and start again if it is to run."""
        view = self._instances.ours(instance_id, stack)
        if view.instance_type != instance_type:
            if view.state != "stopped":
                on_progress(f"stopping {instance_id} to change its type")
                self._instances.stop(instance_id, on_progress=on_progress)
            with translated():
                self._ec2.modify_instance_attribute(InstanceId=instance_id, InstanceType={"Value": instance_type})
        if started:
            self._instances.start(instance_id, on_progress=on_progress)

    def set_started(self, instance_id: str, started: bool, *, stack: str, on_progress: Say) -> None:
        self._instances.ours(instance_id, stack)
        change = self._instances.start if started else self._instances.stop
        change(instance_id, on_progress=on_progress)

    def set_tags(self, instance_id: str, tags: Mapping[str, str], *, gone: Sequence[str], stack: str) -> None:
        """On the instance, its volumes and its network interfaces, as at its launch."""
        view = self._instances.ours(instance_id, stack)
        resources = [instance_id, *view.volumes, *view.interfaces]
        with translated():
            self._ec2.create_tags(Resources=resources, Tags=to_list(tags))
            if gone:
                self._ec2.delete_tags(Resources=resources, Tags=[{"Key": key} for key in gone])

    def set_security_groups(self, instance_id: str, groups: Sequence[Sequence[str]], *, stack: str) -> None:
        """Of each network interface, the first one's first. One without any keeps what it has."""
        view = self._instances.ours(instance_id, stack)
        for interface, wanted in zip(view.interfaces, groups, strict=False):
            if wanted:
                with translated():
                    self._ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=list(wanted))

    def set_instance_profile(self, instance_id: str, name: str | None, *, stack: str) -> None:
        """None takes it away. The instance gets credentials of the new role without a restart."""
        self._instances.ours(instance_id, stack)
        filters = [
            {"Name": "instance-id", "Values": [instance_id]},
            {"Name": "state", "Values": ["associating", "associated"]},
        ]
        with translated():
            known = self._ec2.describe_iam_instance_profile_associations(Filters=filters)
            association = next((each["AssociationId"] for each in known["IamInstanceProfileAssociations"]), None)
            if name is None:
                if association is not None:
                    self._ec2.disassociate_iam_instance_profile(AssociationId=association)
            elif association is None:
                self._ec2.associate_iam_instance_profile(InstanceId=instance_id, IamInstanceProfile=profile(name))
            else:
                self._ec2.replace_iam_instance_profile_association(
                    AssociationId=association, IamInstanceProfile=profile(name)
                )

    def set_metadata(self, instance_id: str, *, imdsv2: str, hop_limit: int | None, stack: str) -> None:
        self._instances.ours(instance_id, stack)
        # Left out, the limit stays as it is; 1 is what EC2 begins with.
        with translated():
            self._ec2.modify_instance_metadata_options(
                InstanceId=instance_id,
                HttpTokens=imdsv2,
                HttpEndpoint="enabled",
                HttpPutResponseHopLimit=hop_limit or 1,
            )

    def set_volumes(
        self,
        instance_id: str,
        default: VolumeSettings,
        each: Mapping[int, VolumeSettings],
        *,
        stack: str,
        on_progress: Say,
    ) -> None:
        """Type, iops and throughput, without an interruption. EBS takes one change of a volume in six hours
        (EBS user guide, "Request modifications to your EBS volumes"): a second one is refused with its own words."""
        view = self._instances.ours(instance_id, stack)
        if not view.volumes:
            return
        with translated():
            found = {
                volume["VolumeId"]: volume
                for volume in self._ec2.describe_volumes(VolumeIds=list(view.volumes))["Volumes"]
            }
        for number, volume_id in enumerate(view.volumes, 1):
            wanted = settings_of(number, default, each)
            has = found[volume_id]
            change: dict[str, Any] = {
                key: value
                for key, value in (
                    ("VolumeType", wanted.type),
                    ("Iops", wanted.iops),
                    ("Throughput", wanted.throughput),
                )
                if value is not None and value != has.get(key)
            }
            if change:
                on_progress(
                    f"changing volume {volume_id}: {', '.join(f'{key} {value}' for key, value in change.items())}"
                )
                with translated():
                    self._ec2.modify_volume(VolumeId=volume_id, **change)
