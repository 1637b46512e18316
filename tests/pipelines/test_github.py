"""The GitHub jobs' own steps, run here against the sandbox from a bare repository: branch, pull request, comment, merge, up, drift."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from rehost.control import ControlPlane
from rehost.processes import is_running
from sandbox import Sandbox
from tests.security.policies import FREE, statements
from tools.ci import Forge, Workplace
from tools.ci.forge import TOKEN
from tools.ci.workplace import PASSPHRASE

pytestmark = pytest.mark.engine
TESTED = {"phase: replicate": "phase: test"}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workplace]:
    """A sandbox of its own: the stack's name is that of the estate, and tags tell stacks apart."""
    with Sandbox(tmp_path / "sandbox") as sandbox, Forge(tmp_path / "forge") as forge:
        here = Workplace(tmp_path, forge, sandbox, tmp_path / "control" / "control.db")
        here.start()
        yield here
        end_connectors(here.database)


def end_connectors(database: Path) -> None:
    control = ControlPlane.open(f"sqlite:///{database}")
    try:
        pids = [connector.pid for connector in control.connectors.live()]
    finally:
        control.close()
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
        while is_running(pid):
            time.sleep(0.02)


def ec2(place: Workplace) -> Any:
    keys = {"aws_access_key_id": "sandbox", "aws_secret_access_key": "sandbox"}
    return boto3.client("ec2", endpoint_url=place.sandbox.endpoint, region_name="eu-central-1", **keys)


def running(place: Workplace) -> list[str]:
    pages = ec2(place).describe_instances(Filters=[{"Name": "instance-state-name", "Values": ["running"]}])
    return [each["InstanceId"] for reservation in pages["Reservations"] for each in reservation["Instances"]]


def test_from_a_branch_to_what_runs(place: Workplace) -> None:
    first = place.run("up")
    assert first.succeeded, first.told()
    assert (place.artifacts / "report" / "report.html").read_text().startswith("<!")
    assert running(place) == []

    place.branch("test-example", TESTED, "Test the example")
    request = place.forge.open("test-example", "Test the example")
    assert not place.run("up", request).ran
    preview = place.run("preview", request)
    assert preview.succeeded, preview.told()
    (comment,) = place.forge.comments[request.number]
    assert comment.body.startswith("<!-- rehost:plan -->\n")
    assert "replicate → test" in comment.body
    assert "example-01" in comment.body
    assert "Make the preview again" not in comment.body
    assert preview.summary in comment.body
    assert running(place) == [], "a preview changes nothing"

    place.branch("test-example", {"instanceType: t3.small": "instanceType: t3.micro"}, "Take a smaller one")
    preview = place.run("preview", request)
    assert preview.succeeded, preview.told()
    assert [(each.id, each.changes) for each in place.forge.comments[request.number]] == [(comment.id, 1)]

    place.forge.merge(request)
    merged = place.run("up")
    assert merged.succeeded, merged.told()
    shown = first.told() + preview.told() + merged.told() + place.forge.comments[request.number][0].body
    assert not any(secret in shown for secret in (PASSPHRASE, TOKEN))
    (instance,) = running(place)
    found = ec2(place).describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    assert found["InstanceType"] == "t3.micro"

    drift = place.run("drift", workflow="rehost-drift.yml")
    assert drift.succeeded, drift.told()
    ec2(place).terminate_instances(InstanceIds=[instance])
    drift = place.run("drift", workflow="rehost-drift.yml")
    assert drift.step("Compare AWS with the state").outcome == "failure"
    assert instance in drift.told()
    # It only looked: the next look finds the same.
    assert not place.run("drift", workflow="rehost-drift.yml").succeeded

    called = {name.replace(".", ":", 1) for name in place.sandbox.calls("preview")}
    looking = {action for each in statements("operator") if each.sid.startswith("Look") for action in each.actions}
    assert "ec2:DescribeInstances" in called
    assert called - FREE <= looking, "the role of `preview` needs more than docs/gitops.md says"
    assert "ec2.RunInstances" in place.sandbox.calls("production")


def test_a_wrong_spec_ends_before_anything_is_asked(place: Workplace) -> None:
    place.branch("wrong", {"schedule: daily": "schedule: dayly"}, "Mistype a schedule")
    request = place.forge.open("wrong", "Mistype")
    preview = place.run("preview", request)
    assert preview.step("Validate the spec").outcome == "failure"
    assert "::error file=migration_specs/estate.yaml,line=" in preview.step("Validate the spec").output
    assert preview.step("Preview").outcome == preview.step("Comment").outcome == "skipped"
    assert place.forge.comments[request.number] == []


def test_a_plan_that_a_policy_refuses_fails_and_the_comment_says_which(place: Workplace) -> None:
    place.branch("plain", {"encrypt: true": "encrypt: false"}, "Do without encryption")
    request = place.forge.open("plain", "Do without encryption")
    preview = place.run("preview", request)
    assert [preview.step(name).outcome for name in ("Preview", "Plan", "Comment")] == ["success", "failure", "success"]
    (comment,) = place.forge.comments[request.number]
    assert "set image.encrypt to true" in comment.body
    place.branch("plain", {"encrypt: false": "encrypt: true", "every: 24h": "every: 12h"}, "Keep it encrypted")
    assert place.run("preview", request).succeeded
    assert "set image.encrypt" not in comment.body


def test_a_preview_that_fails_says_why_in_the_comment(place: Workplace) -> None:
    place.branch("gone", {"path: example-01.raw": "path: example-02.raw"}, "Name a disk that is not there")
    request = place.forge.open("gone", "A disk that is not there")
    preview = place.run("preview", request)
    assert preview.step("Plan").outcome == "failure"
    (comment,) = place.forge.comments[request.number]
    assert "example-02.raw" in comment.body


def test_a_fork_gets_no_preview(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    place.branch("fork", TESTED, "From elsewhere")
    request = place.forge.open("fork", "From elsewhere")
    event = place.forge.event(place.folder, request)
    event["event"]["pull_request"]["head"]["repo"]["full_name"] = "somebody/estate"
    monkeypatch.setattr(place.forge, "event", lambda *_: event)
    result = place.run("preview", request)
    assert (result.ran, result.steps) == (False, [])


def test_a_new_estate_previews_as_it_is(place: Workplace) -> None:
    assert place.person("rehost", "validate").returncode == 0
    done = place.person("pulumi", "preview", "--non-interactive")
    assert "ReplicationJob" in done.stdout
    assert "a passphrase" not in (place.clone / "Pulumi.prod.yaml").read_text()
    assert "sqlite" not in (place.clone / "Pulumi.prod.yaml").read_text()
