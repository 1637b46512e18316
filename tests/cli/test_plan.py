"""`rehost plan` as a user runs it: files in, a page out, and an exit code for a pipeline."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from rehost.control import ControlPlane, JobSpec
from tests.cli.conftest import REHOST, Command
from tests.plan.conftest import SPEC, Steps, job

RULE = (
    "policies: {encrypted: {description: every image is encrypted, each: server, require: server.spec.image.encrypt}}"
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "Pulumi.yaml").write_text("name: rehost\nruntime: python\n")
    specs = tmp_path / "migration_specs"
    specs.mkdir()
    (specs / "estate.yaml").write_text(SPEC)
    (specs / "web.sh").write_text("#!/bin/sh\n")
    steps = Steps().job("create", "db-01").job("create", "web-01").job("create", "wiki-01")
    (tmp_path / "preview.json").write_text(json.dumps(steps.document()))
    return tmp_path


@pytest.mark.usefixtures("project")
def test_a_plan_is_written_in_each_format(command: Command) -> None:
    said = command("plan", "--preview", "preview.json")
    assert said.code == 0, said.err
    assert "3 servers change" in said.out
    assert "there is no control plane here" in said.out
    assert "what the sources know of db-01, web-01, wiki-01: " in said.out
    assert "there is no base to compare with" in said.out
    said = command("plan", "--preview", "preview.json", "--format", "json")
    assert said.json["version"] == "rehost.plan/v1"
    assert said.json["resources"]["create"] == 3
    for format_, name in (("html", "out/plan.html"), ("markdown", "out/plan.md"), ("json", "out/plan.json")):
        said = command("plan", "--preview", "preview.json", "--format", format_, "--output", name)
        assert (said.code, said.out) == (0, "")
        assert "3 servers change" in (command.folder / name).read_text() or format_ == "json"


def test_standard_input_does_as_well(command: Command, project: Path) -> None:
    process = subprocess.run(
        [str(REHOST), "plan", "--preview", "-"],
        cwd=project,
        env=command.environment,
        input=(project / "preview.json").read_text(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert "3 servers change" in process.stdout


def test_a_policy_that_refuses_is_exit_code_3_and_the_plan_is_written_all_the_same(
    command: Command, project: Path
) -> None:
    (project / "policies").mkdir()
    (project / "policies" / "rules.yaml").write_text(RULE)
    said = command("plan", "--preview", "preview.json", "--output", "plan.md")
    assert said.code == 3
    assert "refused by a policy: encrypted" in said.err
    assert "⛔ **Refused by 1 policy: encrypted.**" in (project / "plan.md").read_text()


def test_a_preview_that_failed_is_exit_code_1(command: Command, project: Path) -> None:
    steps = Steps().says("error: no", "error")
    (project / "preview.json").write_text(json.dumps(steps.document()))
    said = command("plan", "--preview", "preview.json")
    assert said.code == 1
    assert "⛔ **The preview failed" in said.out
    assert "the preview failed: no" in said.err


def test_the_version_before_is_the_one_that_the_branch_left(command: Command, project: Path) -> None:
    def git(*arguments: str) -> None:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *who, *arguments], cwd=project, check=True, capture_output=True)

    (project / "policies").mkdir()
    (project / "policies" / "rules.yaml").write_text(RULE)
    git("init", "--quiet", "--initial-branch=main")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    git("switch", "--quiet", "-c", "change")
    text = SPEC.replace("{conversion: register}", "{conversion: register, encrypt: true}").replace(
        "keepImages: 3", "keepImages: 4"
    )
    (project / "migration_specs" / "estate.yaml").write_text(text)
    (project / "policies" / "rules.yaml").write_text(RULE.replace("server.spec.image.encrypt", "'true'"))
    git("commit", "--quiet", "-am", "change both")
    said = command("plan", "--preview", "preview.json", "--base", "main", "--format", "json")
    assert said.code == 3, "a change that weakens its judge is judged by the former one, too"
    verdicts = {each["name"]: each["refuses"] for each in said.json["policies"]}
    assert verdicts == {"encrypted": False, "encrypted (before)": True}
    assert said.json["base"].startswith("main (")
    told = {f"{each['section']}.{each['name']}": each["changes"] for each in said.json["spec_changes"]}
    assert told == {
        "schedules.daily": [{"path": "keepImages", "before": "3", "after": "4"}],
        "servers.web-01": [{"path": "image.encrypt", "before": "false", "after": "true"}],
    }
    assert "this change edits or removes policies, which judge it as they were, too: encrypted" in said.json["notes"]
    (project / "policies" / "rules.yaml").write_text(RULE)
    assert len(command("plan", "--preview", "preview.json", "--base", "main", "--format", "json").json["policies"]) == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--preview", "nowhere.json"], "nowhere.json cannot be read"),
        (["--preview", "Pulumi.yaml"], "it is not JSON"),
        (["--preview", "preview.json", "--base", "nowhere"], "the base nowhere cannot be read"),
        (["--preview", "preview.json", "--policies", "nowhere"], "there is no folder nowhere"),
        (["--preview", "preview.json", "--prices", "nowhere"], "there is no file nowhere"),
        (["--preview", "preview.json", "--prices", "Pulumi.yaml"], "unknown key 'name'"),
        (["--preview", "preview.json", "--output", "Pulumi.yaml/plan.md"], "cannot be written"),
        (["--preview", "preview.json", "--format", "pdf"], "pdf"),
        ([], "--preview"),
    ],
)
@pytest.mark.usefixtures("project")
def test_what_is_wrong_is_exit_code_2(command: Command, arguments: list[str], told: str) -> None:
    said = command("plan", *arguments)
    assert said.code == 2, said.out
    assert told in said.err


def test_a_wrong_spec_is_exit_code_2(command: Command, project: Path) -> None:
    (project / "migration_specs" / "estate.yaml").write_text("servers: nonsense")
    said = command("plan", "--preview", "preview.json")
    assert said.code == 2
    assert "migration_specs/estate.yaml:1:10" in said.err


def test_the_control_plane_tells_where_it_is_and_its_absence_is_said(command: Command, project: Path) -> None:
    (project / ".rehost").mkdir()
    control = ControlPlane.open(f"sqlite:///{project}/.rehost/control.db")
    inputs = job("db-01")
    control.jobs.put(
        JobSpec(
            stack="prod",
            server="db-01",
            source_name="dc1",
            source={"type": "images"},
            locator={"path": "db-01.raw"},
            schedule=inputs["schedule"],
            image=inputs["image"],
            aws={},
        )
    )
    control.catalogs.request("dc1", {"type": "images"})
    control.catalogs.take("someone", None)
    disks = [{"key": "a", "size": 10 << 30, "allocated": 4 << 30}]
    control.catalogs.put(
        "dc1", "someone", [{"name": "web", "locator": {"path": "web-01.raw"}, "disks": disks, "facts": {}}]
    )
    control.close()
    said = command("plan", "--preview", "preview.json", "--format", "json")
    moves = {each["server"]: each["bytes"] for each in said.json["movement"]["moves"]}
    assert moves == {"db-01": None, "web-01": 4 << 30, "wiki-01": None}
    said = command("plan", "--preview", "preview.json", "--database", "postgresql://nobody@127.0.0.1:1/none")
    assert said.code == 0
    assert "sizes, measured rates, images and how long things took: the control plane" in said.out
