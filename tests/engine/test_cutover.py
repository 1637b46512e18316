"""What goes wrong around a cutover: each fault is caused; the sources serve again, or the next `up` goes on."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.sources.qemu_machine import QemuMachine, make_disk
from tools.environment import backend_url

from .conftest import MIB, EngineProject
from .test_faults import kill_update_when
from .test_life_cycle import running, to

pytestmark = pytest.mark.engine

GUESTS = """\
sources:
  rack: {type: qemu, sockets: ../machines, scratch: ../scratch}
schedules:
  daily: {every: 24h, keepImages: 3}
launchConfigs:
  small: {instanceType: t3.micro}
servers:
  web-01:
    source: rack
    locator: {name: web-01}
    schedule: daily
    image: {conversion: register}
    launchConfig: small
    quiesce: none
applications:
  shop:
    phase: replicate
    cutover: {power: quiesce}
    groups:
      web: {servers: [web-01]}
"""


@pytest.fixture
def guest(project: EngineProject) -> Iterator[QemuMachine]:
    """The estate's one server: a machine of QEMU that runs, though nothing is on its disk."""
    folder = project.folder / "machines"
    folder.mkdir()
    (project.folder / "scratch").mkdir()
    disk = make_disk(project.folder / "disks.qcow2", 8 * MIB, {0: b"first" * 1000, 4 * MIB: b"second" * 1000})
    project.spec.write_text(GUESTS)
    with QemuMachine(folder, "web-01", {"vda": disk}) as machine:
        machine.execute("cont")
        yield machine
        project.end_connectors()  # before the machine that they read


def state(machine: QemuMachine) -> str:
    return str(machine.execute("query-status")["status"])


def shop(project: EngineProject) -> dict[str, Any]:
    (application,) = project.status()["applications"]
    return dict(application)


def finals(project: EngineProject) -> list[str]:
    """States of the final runs, newest first."""
    return [run["state"] for job in project.status()["jobs"] for run in job["runs"] if run["kind"] == "FINAL"]


def slow(project: EngineProject) -> None:
    """Long enough for a copy to be seen."""
    project.sandbox.fault(action="latency", service="ebs", operation="PutSnapshotBlock", seconds=2.0)


def test_a_source_stands_still_for_its_cutover_and_runs_again_on_the_way_back(
    project: EngineProject, guest: QemuMachine
) -> None:
    to(project, "replicate", "test")
    assert state(guest) == "running"
    project.edit("phase: test", "phase: cutover")
    assert "sources are made to stand still: web-01" in project.pulumi("preview", "--diff").stdout
    project.up()
    project.up("--expect-no-changes")
    assert state(guest) == "paused"
    assert finals(project) == ["COMPLETED"]
    assert shop(project)["outage_seconds"] > 0
    assert "application shop: cutover, reached" in project.rehost("status").stdout

    project.edit("phase: cutover", "phase: replicate")
    assert "sources run again as before the cutover, once the instances are gone: web-01" in (
        project.pulumi("preview", "--diff").stdout
    )
    project.up()
    assert state(guest) == "running"
    assert running(project) == {}
    assert shop(project)["stopped_sources"] == []
    project.up("--expect-no-changes")


def test_a_last_run_that_fails_leaves_the_source_running_and_says_both_ways(
    project: EngineProject, guest: QemuMachine
) -> None:
    to(project, "replicate", "test")
    before = running(project)
    project.sandbox.fault(
        action="error", service="ebs", operation="StartSnapshot", status=402, code="ServiceQuotaExceededException",
        message="too many snapshots",
    )  # fmt: skip
    said = to(project, "test", "cutover", ok=False)
    for expected in (
        "too many snapshots",
        "Its sources are as they were before",
        "To go on: remove the cause, then `pulumi up`",
        "To go back: revert the change of phase",
    ):
        assert expected in said
    assert state(guest) == "running"
    assert running(project) == before, "the test goes on"
    assert "too many snapshots" in shop(project)["message"]
    assert "to go back: revert the change of phase" in project.rehost("status").stdout
    project.sandbox.clear_faults()
    project.up()
    assert state(guest) == "paused"
    assert finals(project) == ["COMPLETED", "FAILED"]
    assert shop(project)["message"] is None
    project.pulumi("destroy", "--yes", "--skip-preview")
    assert state(guest) == "running"
    assert project.owned() == []


@pytest.mark.parametrize(
    ("after", "way"), [("last run: copy", "on"), ("Cutover shop created", "back"), ("last run: copy", "destroy")]
)
def test_killed_in_the_middle(project: EngineProject, guest: QemuMachine, after: str, way: str) -> None:
    to(project, "replicate", "test")
    project.edit("phase: test", "phase: cutover")
    slow(project)
    guest.write("vda", 2 * MIB, b"later" * 1000)
    kill_update_when(project, lambda line: after in line)
    project.sandbox.clear_faults()
    project.pulumi("cancel", "--yes")
    assert state(guest) == "paused"
    if way == "destroy":
        project.pulumi("destroy", "--yes", "--skip-preview")
        assert state(guest) == "running"
        assert project.owned() == []
        return
    if way == "back":
        project.edit("phase: cutover", "phase: test")
    project.up()
    project.up("--expect-no-changes")
    assert finals(project) == ["COMPLETED"]
    assert len(running(project)) == 1
    found = shop(project)
    if way == "on":
        (job,) = project.status()["jobs"]
        assert state(guest) == "paused"
        assert (found["phase"], found["reached"]) == ("cutover", "cutover")
        assert running(project)["web-01"]["ImageId"] == job["runs"][0]["image_id"]
    else:
        assert state(guest) == "running"
        assert (found["phase"], found["reached"], found["stopped_sources"]) == ("test", "test", [])


def test_a_source_that_somebody_let_run_in_the_middle_is_found_out(project: EngineProject, guest: QemuMachine) -> None:
    to(project, "replicate", "test")
    project.edit("phase: test", "phase: cutover")
    kill_update_when(project, lambda line: "Cutover shop created" in line)
    project.pulumi("cancel", "--yes")
    guest.execute("cont")
    guest.write("vda", 3 * MIB, b"orders that came late")
    guest.execute("stop")  # and hid it again
    said = project.up(ok=False)
    assert "somebody powered on or wrote to web-01 after its last run" in said
    assert "Go back by reverting the change of phase" in said
    assert shop(project)["reached"] != "cutover"
    to(project, "cutover", "test")
    assert state(guest) == "running"
    to(project, "test", "cutover")
    assert shop(project)["reached"] == "cutover"


def test_two_who_cut_over_at_once(project: EngineProject, guest: QemuMachine, tmp_path: Path) -> None:
    """Two engines with states of their own: the second is refused, and spoils nothing."""
    to(project, "replicate", "test")
    project.edit("phase: test", "phase: cutover")
    second = backend_url(tmp_path / "second")
    (tmp_path / "second").mkdir()
    other = EngineProject(
        project.folder, project.sandbox, project.stack, {**project.environment, "PULUMI_BACKEND_URL": second}
    )
    exported = project.folder / "state.json"
    settings = (project.folder / f"Pulumi.{project.stack}.yaml").read_text()
    exported.write_text(project.pulumi("stack", "export").stdout)
    other.pulumi("stack", "init", other.stack)
    (project.folder / f"Pulumi.{project.stack}.yaml").write_text(settings)
    other.pulumi("stack", "import", "--file", str(exported))
    project.sandbox.fault(action="latency", service="ebs", operation="StartSnapshot", seconds=20.0)
    with subprocess.Popen(
        ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive"],
        cwd=project.folder, env=project.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as first:  # fmt: skip
        assert first.stdout is not None
        said = ""
        for line in first.stdout:
            said += line
            if "last run:" in line:
                break
        refused = other.up(ok=False)
        project.sandbox.clear_faults()
        said += first.stdout.read()
    assert first.returncode == 0, said
    assert "shop is cut over by" in refused
    assert "wait for the end of that" in refused
    assert finals(project) == ["COMPLETED"]
    assert (shop(project)["reached"], state(guest)) == ("cutover", "paused")


def test_an_instance_terminated_by_hand_is_launched_again_from_the_last_run(project: EngineProject) -> None:
    to(project, "replicate", "test")
    to(project, "test", "cutover")
    before = running(project)
    project.aws("ec2").terminate_instances(InstanceIds=[before["web-01"]["InstanceId"]])
    project.pulumi("refresh", "--yes", "--skip-preview")
    project.up()
    after = running(project)
    assert after["web-01"]["InstanceId"] != before["web-01"]["InstanceId"]
    assert after["web-01"]["ImageId"] == before["web-01"]["ImageId"]
    assert after["db-01"] == before["db-01"]
    project.up("--expect-no-changes")


def wave(project: EngineProject, opens: timedelta, closes: timedelta) -> None:
    text = project.spec.read_text().split("waves:")[0]
    begin, end = ((datetime.now(UTC) + each).isoformat(timespec="seconds") for each in (opens, closes))
    project.spec.write_text(
        f"{text}waves:\n  w1: {{applications: [shop], window: {{opens: {begin}, closes: {end}}}}}\n"
    )


def test_a_cutover_waits_for_the_window_of_its_wave(project: EngineProject) -> None:
    day, hour = timedelta(days=1), timedelta(hours=1)
    to(project, "replicate", "test")
    before = running(project)
    project.edit("phase: test", "phase: cutover")
    wave(project, day, 2 * day)
    assert "the window of w1 opens at" in project.pulumi("preview", "--diff").stdout, "it can be reviewed before"
    refused = project.up(ok=False)
    assert "the window of wave w1 opens" in refused
    assert "nothing of shop was changed" in refused
    wave(project, -2 * day, -day)
    said = project.pulumi("preview", ok=False)
    assert "application shop: the window of wave w1 closed" in said.stdout + said.stderr
    assert "Traceback" not in said.stdout + said.stderr
    assert (shop(project)["phase"], running(project)) == ("test", before)
    wave(project, -hour, hour)
    project.up()
    wave(project, -2 * day, -day)
    project.up()
    assert running(project).keys() == before.keys()


def refusal(project: EngineProject) -> str:
    done = project.pulumi("preview", ok=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Traceback" not in said
    return said


def test_what_is_illegal_is_refused_by_the_preview_with_what_is_legal(project: EngineProject) -> None:
    def set_phase(phase: str) -> None:
        text = project.spec.read_text()
        old = text.split("phase: ")[1].split("\n")[0]
        project.edit(f"phase: {old}", f"phase: {phase}")

    set_phase("cutover")
    assert "cannot go from nothing to cutover; from nothing it can go to replicate or test" in refusal(project)
    set_phase("replicate")
    project.up()
    set_phase("cutover")
    assert "cannot go from replicate to cutover: its servers were not tested" in refusal(project)
    set_phase("complete")
    assert "cannot go from replicate to complete; from replicate it can go to test or cutover (with `force" in refusal(
        project
    )
    set_phase("cutover\n    force: the licence server is not there in the test")
    assert "forced: it need not have been tested" in project.pulumi("preview", "--diff").stdout
    project.up()
    assert shop(project)["history"][0]["force"] == "the licence server is not there in the test"


def test_a_stack_from_before_there_were_gates(project: EngineProject) -> None:
    """Its state has no Phase and no Milestone, and the control plane knows no application."""
    to(project, "replicate", "test")
    before = running(project)
    exported: dict[str, Any] = json.loads(project.pulumi("stack", "export").stdout)
    resources = exported["deployment"]["resources"]
    new = [each["urn"] for each in resources if each["type"].endswith((":Phase", ":Milestone"))]
    assert len(new) == 2
    kept = [each for each in resources if each["urn"] not in new]
    for each in kept:
        each["dependencies"] = [urn for urn in each.get("dependencies", []) if urn not in new]
    exported["deployment"]["resources"] = kept
    file = project.folder / "state.json"
    file.write_text(json.dumps(exported))
    project.pulumi("stack", "import", "--file", str(file))
    with closing(sqlite3.connect(project.folder / ".rehost" / "control.db")) as database, database:
        database.execute("DELETE FROM applications")
        database.execute("DELETE FROM application_phases")
    assert project.steps() == {"Phase shop": "create", "Milestone shop": "create"}
    project.up()
    project.up("--expect-no-changes")
    assert running(project) == before
    assert (shop(project)["reached"], sorted(shop(project)["tested"])) == ("test", ["db-01", "web-01"])
    to(project, "test", "cutover")
