"""The life of an estate, by the real engine: declared, changed, gone back on, destroyed."""

from __future__ import annotations

import pytest

from .conftest import MIB, EngineProject, write_disk

pytestmark = pytest.mark.engine


def test_an_estate_from_the_first_up_to_destroy(project: EngineProject) -> None:
    project.up()
    jobs = {job["server"]: job for job in project.status()["jobs"]}
    assert {name: job["runs"][0]["state"] for name, job in jobs.items()} == {
        "web-01": "COMPLETED",
        "db-01": "COMPLETED",
    }
    assert [len(job["images"]) for job in jobs.values()] == [1, 1]

    project.up("--expect-no-changes")

    project.edit("phase: replicate", "phase: test")
    assert project.steps() == {
        "Phase shop": "update",
        "Readiness shop-replicate": "delete",
        "Readiness shop-test": "create",
        "MachineImage web-01": "create",
        "MachineImage db-01": "create",
        "Instance web-01": "create",
        "Instance db-01": "create",
        "Milestone shop": "update",
    }
    project.up()
    project.up("--expect-no-changes")
    ec2 = project.aws("ec2")
    instances = [
        instance
        for reservation in ec2.describe_instances(
            Filters=[
                {"Name": "tag:rehost:stack", "Values": [project.stack]},
                {"Name": "instance-state-name", "Values": ["running"]},
            ]
        )["Reservations"]
        for instance in reservation["Instances"]
    ]
    by_name = {next(tag["Value"] for tag in each["Tags"] if tag["Key"] == "Name"): each for each in instances}
    assert by_name.keys() == {"web-01", "db-01"}
    assert by_name["web-01"]["ImageId"] == jobs["web-01"]["images"][0]["image_id"]
    assert by_name["db-01"]["LaunchTime"] <= by_name["web-01"]["LaunchTime"]

    project.edit("phase: test", "phase: replicate")
    project.up()
    project.pulumi("destroy", "--yes", "--skip-preview")
    assert project.owned() == []


def test_what_a_change_means_is_in_the_preview(project: EngineProject) -> None:
    project.up()
    project.edit("every: 24h", "every: 6h")
    assert project.steps() == {"ReplicationJob web-01": "update", "ReplicationJob db-01": "update"}

    project.edit("every: 6h", "every: 24h")
    write_disk(project.folder / "exports" / "web-02.raw", 16 * MIB, seed=9)
    project.edit("{path: web-01.raw}", "{path: web-02.raw}")
    steps = project.steps()
    assert steps["ReplicationJob web-01"] in ("replace", "delete-replaced", "create-replacement")
    assert "ReplicationJob db-01" not in steps


def test_refresh_sees_what_was_removed_by_hand(project: EngineProject) -> None:
    project.edit("phase: replicate", "phase: test")
    project.up()
    ec2 = project.aws("ec2")
    outputs = project.pulumi("stack", "output", "--json").stdout
    (instance,) = [word for word in outputs.replace('"', " ").split() if word.startswith("i-")][:1]
    ec2.terminate_instances(InstanceIds=[instance])
    image = project.status()["jobs"][0]["images"][0]["image_id"]
    ec2.deregister_image(ImageId=image)

    refreshed = project.pulumi("refresh", "--yes", "--skip-preview").stdout
    assert refreshed.count("deleted") >= 2

    project.rehost("run", "web-01", "db-01")
    project.up()
    project.up("--expect-no-changes")
