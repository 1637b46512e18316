"""What goes wrong around `pulumi up`: a wrong spec, a missing disk, refused credentials, an endpoint that is down, kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from rehost.processes import is_running
from tools.environment import backend_url

from .conftest import EngineProject

pytestmark = pytest.mark.engine


def test_a_wrong_spec_says_everything_and_makes_nothing(project: EngineProject) -> None:
    project.edit("source: exports", "source: export")
    project.edit("phase: replicate", "phase: replicat")
    said = project.pulumi("preview", ok=False)
    assert said.returncode != 0
    for expected in (
        "estate.yaml:9:13: export is not in sources (did you mean exports?)",
        "did you mean replicate?",
    ):
        assert expected in said.stdout + said.stderr
    assert "Traceback" not in said.stdout + said.stderr
    assert project.rehost("validate", ok=False).returncode == 2
    assert not (project.folder / ".rehost").exists()


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        (lambda project: (project.folder / "exports" / "web-01.raw").unlink(), "web-01.raw does not exist"),
        (lambda project: (project.folder / "exports" / "web-01.raw").write_bytes(b"x" * 700), "multiple of 512"),
        (lambda project: project.pulumi("config", "set", "rehost:endpoint", "http://127.0.0.1:1"), "cannot be reached"),
        (lambda project: project.environment.pop("AWS_ACCESS_KEY_ID"), "no AWS credentials"),
    ],
    ids=["missing", "odd size", "endpoint down", "no credentials"],
)
def test_what_can_be_known_is_said_before_a_byte_moves(project: EngineProject, break_it: object, expected: str) -> None:
    project.environment["AWS_EC2_METADATA_DISABLED"] = "true"
    break_it(project)  # type: ignore[operator]
    said = project.pulumi("preview", ok=False)
    text = said.stdout + said.stderr
    assert said.returncode != 0
    assert expected in text
    assert "Traceback" not in text
    assert project.owned() == []


def test_a_run_that_fails_fails_the_update_with_the_reason_and_the_next_one_succeeds(project: EngineProject) -> None:
    project.sandbox.fault(
        action="error",
        service="ebs",
        operation="StartSnapshot",
        status=402,
        code="ServiceQuotaExceededException",
        message="too many snapshots",
    )
    text = project.up(ok=False)
    assert "2 of 2 servers have no image" in text
    assert "too many snapshots" in text
    project.sandbox.clear_faults()
    project.up()
    assert {run["state"] for job in project.status()["jobs"] for run in job["runs"][:1]} == {"COMPLETED"}
    assert {job["state"] for job in project.status()["jobs"]} == {"ACTIVE"}


def children(pid: int) -> list[int]:
    """All descendants of a process, by /proc."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found, following = [], [pid]
    while following:
        parent = following.pop()
        born = [child for child, its in parents.items() if its == parent]
        found += born
        following += born
    return found


def command_of(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def await_end(pids: Iterable[int], seconds: float = 30.0) -> bool:
    waiting, deadline = list(pids), time.monotonic() + seconds
    assert waiting
    while any(is_running(pid) for pid in waiting) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(is_running(pid) for pid in waiting)


def kill_update_when(project: EngineProject, reached: Callable[[str], bool]) -> None:
    """Start `pulumi up`, and kill -9 its engine at the first line of output that is `reached`; its provider processes end by themselves."""
    with subprocess.Popen(
        ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive"],
        cwd=project.folder,
        env=project.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if reached(line):
                break
        else:
            pytest.fail(f"the update ended before it could be killed:\n{''.join(said)}")
        plugins = children(process.pid)
        process.kill()
    assert await_end(plugin for plugin in plugins if b"pulumi.dynamic" in command_of(plugin)), "a provider stayed"
    for plugin in plugins:  # the language host notices by itself, within minutes
        with suppress(ProcessLookupError):
            os.kill(plugin, signal.SIGTERM)


@pytest.mark.parametrize("after", ["ReplicationJob", "copy", "Instance"])
def test_a_killed_update_is_converged_by_the_next(project: EngineProject, after: str) -> None:
    project.edit("phase: replicate", "phase: test")
    # Long enough for each stage to be seen, however seldom the update looks.
    project.sandbox.fault(action="latency", service="ebs", operation="PutSnapshotBlock", seconds=3.0)
    kill_update_when(project, lambda line: after in line and "creating" in line)
    project.sandbox.clear_faults()
    project.pulumi("cancel", "--yes")  # the engine's own lock
    project.up()
    project.up("--expect-no-changes")
    for job in project.status()["jobs"]:
        assert [run["state"] for run in job["runs"]] == ["COMPLETED"]
    assert sum(each.startswith("i-") for each in project.owned()) == 2
    project.pulumi("destroy", "--yes", "--skip-preview")
    assert project.owned() == []


def test_two_updates_on_one_control_plane_run_each_server_once(project: EngineProject) -> None:
    """Two engines with states of their own, as two people with two check-outs have them."""
    other = dict(project.environment)
    (project.folder / "other").mkdir()
    other["PULUMI_BACKEND_URL"] = backend_url(project.folder / "other")
    settings = project.folder / f"Pulumi.{project.stack}.yaml"
    before = settings.read_text()
    second = EngineProject(project.folder, project.sandbox, project.stack, other)
    second.pulumi("stack", "init", project.stack)
    settings.write_text(before)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(EngineProject.up, (project, second)))
    for job in project.status()["jobs"]:
        assert [run["state"] for run in job["runs"]] == ["COMPLETED"]
    assert len(project.status()["jobs"]) == 2


def test_no_secret_reaches_the_state(project: EngineProject) -> None:
    project.environment["AWS_SECRET_ACCESS_KEY"] = "a-very-secret-key"
    project.environment["AWS_SESSION_TOKEN"] = "a-very-secret-token"
    project.up()
    state = json.dumps(json.loads(project.pulumi("stack", "export").stdout))
    files = [path for path in (project.folder / ".rehost").rglob("*") if path.is_file()]
    texts = [state, *(path.read_bytes().decode("latin-1") for path in files)]
    assert not any("a-very-secret" in text for text in texts)
