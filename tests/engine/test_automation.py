"""The components in somebody's own program: run by Pulumi's Automation API, in this process, with the real engine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pulumi
import pytest
from pulumi import automation

from components import Estate, EstateArgs
from rehost import spec

from .conftest import EngineProject
from .test_life_cycle import running

pytestmark = pytest.mark.engine


def own_stack(project: EngineProject) -> automation.Stack:
    def program() -> None:
        loaded = spec.load(project.folder / "migration_specs", root=project.folder)
        estate = Estate("estate", EstateArgs(estate=loaded, stack=pulumi.get_stack()))
        web = estate.applications["shop"].instances.get("web-01")
        pulumi.export("instances", estate.instances())
        pulumi.export("record", web.privateAddress.apply(lambda at: f"shop A {at}") if web is not None else None)

    found = shutil.which("pulumi", path=project.environment["PATH"])
    assert found is not None
    return automation.select_stack(
        stack_name=project.stack,
        project_name="rehost",
        program=program,
        opts=automation.LocalWorkspaceOptions(
            work_dir=str(project.folder),
            env_vars=project.environment,
            pulumi_command=automation.PulumiCommand(root=str(Path(found).parents[1]), skip_version_check=True),
        ),
    )


def test_a_program_of_ones_own_goes_on_with_what_runs(project: EngineProject) -> None:
    project.edit("phase: replicate", "phase: test")
    stack = own_stack(project)
    assert stack.preview().change_summary.keys() == {automation.OpType.CREATE}
    outputs = stack.up().outputs
    launched = running(project)
    assert {name: each["instanceId"] for name, each in outputs["instances"].value.items()} == {
        name: each["InstanceId"] for name, each in launched.items()
    }
    assert outputs["record"].value == f"shop A {launched['web-01']['PrivateIpAddress']}"

    project.edit("phase: test", "phase: replicate")
    back = stack.up()
    assert running(project) == {}
    assert back.outputs["instances"].value == {}
    stack.destroy()
    assert project.owned() == []
