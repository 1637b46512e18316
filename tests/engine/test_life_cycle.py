"""The way of an application to its cutover and back, by the real engine: reviewed, carried out, undone."""

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
    tested = running(project)
    project.edit("phase: test", "phase: cutover")
    said = project.pulumi("preview", "--diff").stdout
    print(said)
    for expected in (
        "sources are left running; what is written to them after the last run is lost: db-01, web-01",
        "test instances go when the last runs are there, and instances of those take their place",
        "the outage is estimated to be",
    ):
        assert expected in said
    print(project.up())
    project.up("--expect-no-changes")
    cut = running(project)
    assert cut.keys() == tested.keys()
    runs = {job["server"]: job["runs"][0] for job in project.status()["jobs"]}
    assert {run["kind"] for run in runs.values()} == {"FINAL"}
    for server, run in runs.items():
        assert cut[server]["ImageId"] == run["image_id"]
        assert cut[server]["InstanceId"] != tested[server]["InstanceId"]

    print(to(project, "cutover", "test"))
    project.up("--expect-no-changes")
    print(to(project, "test", "cutover"))
    print(to(project, "cutover", "complete"))
    project.up("--expect-no-changes")
    assert all(len(job["images"]) == 1 for job in project.status()["jobs"])
    refused = project.pulumi("destroy", "--yes", "--skip-preview", ok=False)
    assert "protected" in refused.stdout + refused.stderr
    project.pulumi("state", "unprotect", "--all", "--yes")
    project.pulumi("destroy", "--yes", "--skip-preview")
    assert project.owned() == []
