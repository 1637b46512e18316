"""The way of an application to its cutover, back and on to its end, by the real engine."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import EngineProject

pytestmark = pytest.mark.engine


def running(project: EngineProject) -> dict[str, dict[str, Any]]:
    """By server, its instance."""
    pages = project.aws("ec2").describe_instances(
        Filters=[
            {"Name": "tag:rehost:stack", "Values": [project.stack]},
            {"Name": "instance-state-name", "Values": ["running"]},
        ]
    )
    found = [instance for each in pages["Reservations"] for instance in each["Instances"]]
    return {next(tag["Value"] for tag in each["Tags"] if tag["Key"] == "Name"): each for each in found}


def to(project: EngineProject, before: str, after: str, ok: bool = True) -> str:
    project.edit(f"phase: {before}", f"phase: {after}")
    return project.up(ok=ok)


def test_all_the_way_and_back(project: EngineProject) -> None:
    to(project, "replicate", "test")
    project.up("--expect-no-changes")
    tested = running(project)
    project.edit("phase: test", "phase: cutover")
    said = project.pulumi("preview", "--diff").stdout
    for expected in (
        "sources are left running; what is written to them after the last run is lost: db-01, web-01",
        "test instances go when the last runs are there, and instances of those take their place",
        "the outage is estimated to be",
        "launch and validation",
    ):
        assert expected in said
    assert project.steps() == {
        "Phase shop": "update",
        "Readiness shop-test": "delete",
        "Readiness shop-cutover": "create",
        "Cutover shop": "create",
        "MachineImage web-01": "replace",
        "MachineImage db-01": "replace",
        "Instance web-01": "replace",
        "Instance db-01": "replace",
        "Milestone shop": "update",
    }
    project.up()
    project.up("--expect-no-changes")
    cut = running(project)
    runs = {job["server"]: job["runs"][0] for job in project.status()["jobs"]}
    assert {run["kind"] for run in runs.values()} == {"FINAL"}
    for server, run in runs.items():
        assert cut[server]["ImageId"] == run["image_id"]
        assert cut[server]["InstanceId"] != tested[server]["InstanceId"]

    to(project, "cutover", "test")
    project.up("--expect-no-changes")
    assert running(project).keys() == tested.keys()
    to(project, "test", "cutover")
    last = running(project)
    (application,) = project.status()["applications"]
    assert [change["phase"] for change in application["history"]] == ["cutover", "test", "cutover", "test"]
    assert all(change["reached_at"] for change in application["history"])

    project.edit("phase: cutover", "phase: complete")
    assert "there is no way back from here" in project.pulumi("preview", "--diff").stdout
    project.up()
    project.up("--expect-no-changes")
    jobs = {job["server"]: job for job in project.status()["jobs"]}
    for server, job in jobs.items():
        assert [image["image_id"] for image in job["images"]] == [last[server]["ImageId"]], "the image in use stays"
        assert (job["state"], job["next_run_at"], job["advice"]) == ("COMPLETED", None, None)
    ec2 = project.aws("ec2")
    protection = ec2.describe_instance_attribute(
        InstanceId=last["web-01"]["InstanceId"], Attribute="disableApiTermination"
    )
    assert protection["DisableApiTermination"]["Value"] is True
    project.pulumi("refresh", "--yes", "--skip-preview")
    project.up("--expect-no-changes")
    refused = project.pulumi("destroy", "--yes", "--skip-preview", ok=False)
    assert "protected" in refused.stdout + refused.stderr
    kept = running(project)
    assert {each["InstanceId"] for each in kept.values()} == {each["InstanceId"] for each in last.values()}
    assert all({"Key": "rehost:protected", "Value": "complete"} in each["Tags"] for each in kept.values())
    project.edit("phase: complete", "phase: cutover")
    said = project.pulumi("preview", ok=False).stdout
    assert "there is no way on or back" in said

    project.edit("phase: cutover", "phase: complete")
    project.pulumi("state", "unprotect", "--all", "--yes")
    project.pulumi("destroy", "--yes", "--skip-preview")
    assert project.owned() == []
