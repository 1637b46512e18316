"""A spec that changes between its preview, or its review, and the update: by the real engine."""

from __future__ import annotations

import pytest

from rehost.control import ControlPlane, Job

from .conftest import EngineProject

pytestmark = pytest.mark.engine

#: The project's program, and after its preview somebody who edits the spec.
EDITED = """
import runpy
from pathlib import Path
import pulumi

runpy.run_path("program.py", run_name="__main__")
if pulumi.runtime.is_dry_run():
    spec = Path("migration_specs/estate.yaml")
    spec.write_text(spec.read_text().replace("every: 24h", "every: 12h"))
"""


def jobs(project: EngineProject) -> list[Job]:
    return list(ControlPlane.open(f"sqlite:///{project.folder}/.rehost/control.db").jobs.list())


def test_a_spec_that_changes_after_its_preview_is_refused(project: EngineProject) -> None:
    program = project.folder / "__main__.py"
    program.rename(project.folder / "program.py")
    program.write_text(EDITED)
    done = project.pulumi("up", "--yes", ok=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "the spec has changed since the preview; nothing was changed anywhere" in said
    assert "schedules.daily (migration_specs/estate.yaml:4:3)" in said
    assert "Traceback" not in said
    assert jobs(project) == []

    # Nothing is left to edit: the same command carries through what its own preview showed.
    project.pulumi("config", "set", "rehost:await", "accepted")
    project.pulumi("up", "--yes")
    assert len(jobs(project)) == 2
    # An update without a preview has nothing to be held to, whatever an earlier one saw.
    project.edit("every: 12h", "every: 6h")
    project.up()


def test_what_was_not_reviewed_is_refused_wherever_it_was_reviewed(project: EngineProject) -> None:
    reviewed = project.rehost("digest").stdout.strip()
    project.edit("keepImages: 3", "keepImages: 4")
    project.environment["REHOST_SPEC_DIGEST"] = reviewed
    now = project.rehost("digest").stdout.strip()
    said = project.up(ok=False)
    assert f"its digest is {now}, and REHOST_SPEC_DIGEST is {reviewed}" in said
    project.edit("keepImages: 4}", "keepImages: 3} # a comment is no other spec")
    project.pulumi("preview")


def test_variables_are_those_of_the_stack(project: EngineProject) -> None:
    project.edit("{every: 24h, keepImages: 3}", '{every: "${config:every}", keepImages: "${config:keep}"}')
    project.edit("{instanceType: t3.micro}", '{instanceType: t3.micro, tags: {stack: "${stack}"}}')
    project.pulumi("config", "set", "every", "3h")
    said = project.pulumi("preview", ok=False)
    assert f"stack {project.stack} has no setting keep" in said.stdout + said.stderr
    assert "has no setting keep" in project.rehost("validate", ok=False).stderr
    project.pulumi("config", "set", "--secret", "keep", "5")
    said = project.pulumi("preview", ok=False)
    assert "the setting keep is a secret" in said.stdout + said.stderr
    assert "the setting keep is a secret" in project.rehost("validate", ok=False).stderr
    project.pulumi("config", "set", "--plaintext", "keep", "5")
    project.rehost("validate")
    project.pulumi("config", "set", "rehost:await", "accepted")
    # What the engine hands over and what the command reads are one spec.
    project.environment["REHOST_SPEC_DIGEST"] = project.rehost("digest").stdout.strip()
    project.up()
    assert {(job.spec.schedule["every_seconds"], job.spec.schedule["keep_images"]) for job in jobs(project)} == {
        (10800, 5)
    }
