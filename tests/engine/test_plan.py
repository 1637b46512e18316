"""`rehost plan` of what the real engine previews: from the first declaration to the end of an application."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import EngineProject

pytestmark = pytest.mark.engine


def _plan(project: EngineProject, base: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    """The plan of the spec as it stands, by a new preview, compared with the spec in `base`."""
    preview = project.run("pulumi", "preview", "--json", "--non-interactive", ok=False)
    (project.folder / "preview.json").write_text(preview.stdout)
    said = project.rehost(
        "plan", "--preview", "preview.json", "--base", str(base), "--format", "json", *arguments, ok=False
    )
    assert said.returncode == code, said.stderr
    found: dict[str, Any] = json.loads(said.stdout)
    assert found["notes"] == [], "preview, spec and base go together"
    return found


def _lines(plan: dict[str, Any]) -> dict[str, list[str]]:
    return {each["name"]: each["lines"] for each in plan["servers"]}


def _ids(plan: dict[str, Any]) -> list[str]:
    return [each["id"] for each in plan["irreversible"]]


def test_each_step_of_an_application_is_told_before_it_is_taken(project: EngineProject, tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()

    def take() -> None:
        """What is declared is carried out, and is what the next change is compared with."""
        project.up()
        (base / "estate.yaml").write_text(project.spec.read_text())

    project.edit("t3.micro}", "t3.micro, subnet: subnet-0123456789abcdef0}")
    (base / "estate.yaml").write_text("sources:\n  exports: {type: images, path: ../exports}\n")
    plan = _plan(project, base)
    assert _lines(plan) == {"web-01": ["replication starts"], "db-01": ["replication starts"]}
    assert plan["applications"][0]["from"] is None
    assert plan["applications"][0]["plan"] == ["db-01, web-01 are replicated; nothing is launched"]
    assert {f"{each['section']}.{each['name']}": each["what"] for each in plan["spec_changes"]}[
        "servers.web-01"
    ] == "added"
    sizes = {each["server"]: each["bytes"] for each in plan["movement"]["moves"]}
    assert set(sizes) == {"web-01", "db-01"}
    assert 0 < sizes["web-01"] < sizes["db-01"] < 1 << 20, "the source was asked; the disks are sparse"
    assert plan["movement"]["sources_without_a_measured_rate"] == ["exports"]

    # Other tests of this worker may have launched a server of the same name in the same sandbox.
    concerns = [each for each in plan["concerns"] if each["id"] != "duplicate-name"]
    assert [(each["severity"], each["application"], each["id"]) for each in concerns] == [
        ("warning", "shop", "subnet")
    ], "a preview passes on what preflight prints"
    project.edit(", subnet: subnet-0123456789abcdef0", "")

    take()
    project.edit("phase: replicate", "phase: test")
    plan = _plan(project, base)
    assert _lines(plan) == {"web-01": ["an instance starts"], "db-01": ["an instance starts"]}
    assert plan["spec_changes"] == [
        {
            "section": "applications",
            "name": "shop",
            "what": "changed",
            "changes": [{"path": "phase", "before": "replicate", "after": "test"}],
        }
    ]
    assert plan["cost"]["monthly_after"]["instances"] == pytest.approx(2 * 730 * 0.0104, abs=0.01)
    assert plan["irreversible"] == []

    take()
    project.edit("instanceType: t3.micro", "instanceType: t3.small, tags: {a: b}")
    plan = _plan(project, base)
    assert _lines(plan)["web-01"] == ["the instance is stopped, changed, and started again"]
    project.edit("t3.small, tags: {a: b}", "t3.micro, keyName: nobody")
    plan = _plan(project, base, code=1)
    assert plan["failed"], "there is no such key"
    assert [each["severity"] for each in plan["concerns"] if each["id"] != "duplicate-name"] == ["error"]
    project.edit(", keyName: nobody", "")

    project.edit("phase: test", "phase: cutover")
    plan = _plan(project, base)
    assert _lines(plan)["db-01"] == ["another image is pinned, because of cutover", "the instance is replaced"]
    assert _ids(plan) == ["sources-run-on"], "a folder of images has no power"
    assert plan["outages"][0]["seconds"] is not None, "runs and the launch of the test were measured"
    assert [each["why"].split(",")[0] for each in plan["movement"]["moves"]] == ["last run of the cutover"] * 2

    take()
    project.edit("phase: cutover", "phase: replicate")
    assert _ids(_plan(project, base)) == ["goes-back"]
    project.edit("phase: replicate", "phase: complete")
    plan = _plan(project, base)
    assert _ids(plan)[0] == "complete"
    # Each server has the image of its first run and that of its last, and an instance of the latter.
    going = {each["server"]: (len(each["images"]), len(each["snapshots"])) for each in plan["retention"]}
    assert going == {"web-01": (1, 1), "db-01": (1, 2)}

    take()
    gone = {image for each in plan["retention"] for image in each["images"]}
    standing = {each["ImageId"] for each in project.aws("ec2").describe_images(Owners=["self"])["Images"]}
    assert gone.isdisjoint(standing), "what the plan said has gone is gone"
