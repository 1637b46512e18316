"""Who still needs an image: instances, launch templates, auto scaling."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rehost.aws._errors import NotFound, translated
from rehost.aws._session import Session

_LIVE = ["pending", "running", "shutting-down", "stopping", "stopped"]


def image_users(session: Session, image_ids: Sequence[str]) -> set[str]:
    """Which of the images somebody uses; anybody's use counts.

    An instance that is not terminated; the newest and the default version of a launch template, and the version that an
    auto scaling group names; a launch configuration. Four listings, however many images there are. Older versions of a
    template that no group names do not count. Raises AwsError; a retry is safe.
    """
    wanted = set(image_ids)
    if not wanted:
        return set()
    with translated():
        used = set(_of_instances(session, sorted(wanted)))
        used.update(_of_templates(session))
        used.update(_of_scaling(session))
    return used & wanted


def _of_instances(session: Session, image_ids: list[str]) -> Iterator[str]:
    ec2 = session.client("ec2")
    filters = [{"Name": "image-id", "Values": image_ids}, {"Name": "instance-state-name", "Values": _LIVE}]
    for page in ec2.get_paginator("describe_instances").paginate(Filters=filters):
        for reservation in page["Reservations"]:
            for instance in reservation["Instances"]:
                yield instance["ImageId"]


def _of_templates(session: Session) -> Iterator[str]:
    """Without an id, EC2 answers for all templates (EC2 API reference, DescribeLaunchTemplateVersions)."""
    ec2 = session.client("ec2")
    pages = ec2.get_paginator("describe_launch_template_versions").paginate(Versions=["$Latest", "$Default"])
    for page in pages:
        yield from _images_of(page)


def _of_scaling(session: Session) -> Iterator[str]:
    ec2 = session.client("ec2")
    autoscaling = session.client("autoscaling")
    for page in autoscaling.get_paginator("describe_launch_configurations").paginate():
        for configuration in page["LaunchConfigurations"]:
            yield configuration["ImageId"]
    for page in autoscaling.get_paginator("describe_auto_scaling_groups").paginate():
        for group in page["AutoScalingGroups"]:
            template = _template_of(group)
            if not str(template.get("Version", "")).isdigit():
                continue  # $Latest and $Default are among the templates
            try:
                with translated():
                    yield from _images_of(
                        ec2.describe_launch_template_versions(
                            LaunchTemplateId=template["LaunchTemplateId"], Versions=[template["Version"]]
                        )
                    )
            except NotFound:
                continue  # the group cannot launch with it either


def _template_of(group: Mapping[str, Any]) -> Mapping[str, Any]:
    mixed = group.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {}).get("LaunchTemplateSpecification", {})
    found: Mapping[str, Any] = group.get("LaunchTemplate") or mixed
    return found


def _images_of(page: Mapping[str, Any]) -> Iterator[str]:
    for version in page["LaunchTemplateVersions"]:
        image = version.get("LaunchTemplateData", {}).get("ImageId")
        if image:
            yield image
