"""Waves come and go in a state that has resources already, by the real engine."""

from __future__ import annotations

import pytest

from .conftest import EngineProject

pytestmark = pytest.mark.engine

FIRST = "waves: {first: {applications: [shop]}}\n"


def test_a_wave_put_around_what_exists_replaces_nothing(project: EngineProject) -> None:
    project.up()
    project.spec.write_text(project.spec.read_text() + FIRST)
    steps = project.steps()
    assert steps.pop("Wave first") == "create"
    assert set(steps.values()) <= {"update"}, steps
    assert "ReplicationJob web-01" not in steps
    project.up()
    project.up("--expect-no-changes")

    project.edit(FIRST, FIRST.replace("first", "second"))
    moved = project.steps()
    assert {moved.pop("Wave first"), moved.pop("Wave second")} == {"delete", "create"}
    assert set(moved.values()) <= {"update"}, moved

    project.edit(FIRST.replace("first", "second"), "")
    gone = project.steps()
    assert gone.pop("Wave first") == "delete"
    assert set(gone.values()) <= {"update"}, gone
    project.up()
    project.up("--expect-no-changes")
    assert [len(job["runs"]) for job in project.status()["jobs"]] == [1, 1]


def test_a_server_that_leaves_its_application_goes_on_replicating(project: EngineProject) -> None:
    project.up()
    before = {job["server"]: job["id"] for job in project.status()["jobs"]}
    project.edit("      web: {servers: [web-01], after: [db]}\n", "")
    out = project.steps()
    assert out["ReplicationJob web-01"] == "update"
    assert set(out.values()) <= {"update"}, out
    project.up()
    project.edit(
        "      db: {servers: [db-01]}\n", "      db: {servers: [db-01]}\n      web: {servers: [web-01], after: [db]}\n"
    )
    project.spec.write_text(project.spec.read_text() + FIRST)
    back = project.steps()
    assert back.pop("Wave first") == "create"
    assert set(back.values()) <= {"update"}, back
    project.up()
    project.up("--expect-no-changes")
    jobs = project.status()["jobs"]
    assert {job["server"]: job["id"] for job in jobs} == before
    assert [len(job["runs"]) for job in jobs] == [1, 1]
