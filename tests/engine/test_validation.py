"""Validation and post-launch actions by the real engine: what waits for what, what stops, what is done again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rehost.processes import is_running
from tests.agents import LocalAgent
from tests.validation.conftest import page, serving

from .conftest import EngineProject

pytestmark = pytest.mark.engine


def validate(project: EngineProject, text: str) -> None:
    project.edit("phase: replicate", f"phase: test\n    validation:\n{text}")


def results(project: EngineProject) -> dict[tuple[str, str], dict[str, Any]]:
    return {(each["server"], each["check"]): each for each in project.status()["validations"]}


def instance_of(project: EngineProject, server: str) -> str | None:
    ec2 = project.aws("ec2")
    wanted = {"rehost:stack": project.stack, "rehost:server": server}
    filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in wanted.items()]
    filters.append({"Name": "instance-state-name", "Values": ["running"]})
    for reservation in ec2.describe_instances(Filters=filters)["Reservations"]:
        for instance in reservation["Instances"]:
            return str(instance["InstanceId"])
    return None


def test_a_group_that_fails_keeps_the_next_one_from_its_launch(project: EngineProject) -> None:
    answers = [page(503, "starting")]
    with serving(lambda _: answers[0]) as server:
        validate(
            project,
            f"      db:\n        http: {{host: 127.0.0.1, port: {server.port}, path: /healthz, body: ok, attempts: 2, interval: 1}}\n"
            '        command: {shell: "echo $REHOST_SERVER $REHOST_INSTANCE_ID $REHOST_PHASE"}\n',
        )
        said = project.up(ok=False)
        assert (
            f"application shop: 1 of 2 checks of group db failed. db-01 http: GET http://127.0.0.1:{server.port}/healthz answered 503"
            in said
        )
        assert instance_of(project, "web-01") is None
        found = results(project)
        assert {key: each["state"] for key, each in found.items()} == {
            ("db-01", "http"): "FAILED", ("db-01", "command"): "SUCCEEDED",
        }  # fmt: skip
        assert found["db-01", "http"]["output"] == "starting"
        assert found["db-01", "http"]["attempts"] == 2
        instance = instance_of(project, "db-01")
        assert found["db-01", "command"]["output"] == f"db-01 {instance} test\n"
        text = project.rehost("status").stdout
        assert "shop/db" in text
        assert "starting" in text

        answers[0] = page(200, "ok")
        project.up()
        assert instance_of(project, "web-01") is not None
        assert instance_of(project, "db-01") == instance
        assert {each["state"] for each in results(project).values()} == {"SUCCEEDED"}
        asked = len(server.requests)
        project.up("--expect-no-changes")
        assert len(server.requests) == asked

        project.edit("body: ok", "body: fine")
        assert project.steps() == {"Validation shop-db": "update"}
        project.up(ok=False)
        project.edit("body: fine", "body: ok")  # as the stack's state has it; but the last round failed
        assert project.steps() == {"Validation shop-db": "update"}
        project.up()
    project.pulumi("destroy", "--yes", "--skip-preview")
    assert project.owned() == []
    assert project.status()["validations"] == []


@contextmanager
def hanging() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_a_killed_update_is_made_up_for(project: EngineProject) -> None:
    """`pulumi up` is killed in the middle of a check that hangs; the next one validates anew, and leaves nothing of it."""
    marker = project.folder / "go"
    pid_file = project.folder / "pid"
    script = project.folder / "check.sh"
    script.write_text("[ -e go ] && exit 0\necho $$ >pid.part\nmv pid.part pid\nsleep 600\n")
    validate(project, "      db:\n        command: {run: [sh, check.sh], timeout: 600}\n")
    process = subprocess.Popen(
        ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive"], cwd=project.folder, env=project.environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        wait(lambda: pid_file.exists())
        assert results(project)["db-01", "command"]["state"] == "IN_PROGRESS"
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    wait(lambda: not is_running(int(pid_file.read_text())))
    assert results(project)["db-01", "command"]["state"] == "IN_PROGRESS"
    marker.touch()
    project.pulumi("cancel", "--yes", project.stack)
    project.up()
    assert results(project)["db-01", "command"]["state"] == "SUCCEEDED"
    assert instance_of(project, "web-01") is not None


def test_actions_and_checks_through_systems_manager(project: EngineProject) -> None:
    """The instances' agents run on this machine; one action fails at first, and the one before it is not done again."""
    done = project.folder / "done"
    project.edit(
        "phase: replicate",
        "phase: test\n"
        "    postLaunch:\n"
        f'      first: {{ssm: {{command: "echo first $(hostname | wc -l) >>{done}"}}, servers: [web-01]}}\n'
        f'      second: {{ssm: {{command: "echo second >>{done}; [ -e {project.folder}/go ]"}}, servers: [web-01]}}\n'
        '      later: {ssm: {command: "exit 1"}, servers: [web-01], phases: [cutover]}\n'
        "    validation:\n"
        f'      web: {{ssm: {{command: "echo checked; grep -c second {done}"}}}}\n',
    )
    with agents_of(project, "web-01"):
        said = project.up(ok=False)
        assert "server web-01: the post-launch action second failed on i-" in said
        assert done.read_text() == "first 1\nsecond\n"
        states = {each["action"]: each["state"] for each in project.status()["post_launch_actions"]}
        assert states == {"first": "SUCCEEDED", "second": "FAILED"}
        assert project.status()["validations"] == []
        (project.folder / "go").touch()
        project.up()
        assert done.read_text() == "first 1\nsecond\nsecond\n"
        assert results(project)["web-01", "ssm"]["output"] == "checked\n2\n"
        project.up("--expect-no-changes")
        project.edit("echo first", "echo changed")
        assert project.steps() == {"PostLaunch web-01": "update"}
        project.up()
        assert done.read_text() == "first 1\nsecond\nsecond\nchanged 1\n"


@contextmanager
def agents_of(project: EngineProject, server: str) -> Iterator[None]:
    """An agent for the server's instance as soon as it runs, as it would start with the guest."""
    import threading

    stopping = threading.Event()

    def watch() -> None:
        while not stopping.wait(0.2):
            instance = instance_of(project, server)
            if instance is not None:
                with LocalAgent(project.sandbox, instance):
                    stopping.wait()
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def wait(holds: Any, seconds: float = 180.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_what_the_console_does_not_say_in_time_fails(project: EngineProject) -> None:
    """The sandbox boots nothing here: nothing reports, and the check ends at its timeout of a minute, with its reason."""
    validate(project, "      db:\n        userData: {timeout: 60, interval: 2}\n")
    begun = time.monotonic()
    said = project.up(ok=False)
    assert "has no report yet" in said
    assert 55 < time.monotonic() - begun < 200
    assert Path(project.folder / ".rehost").exists()
