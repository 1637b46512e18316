"""What a person sees of the control plane, and decides, with the command."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from rehost.cli._app import app
from rehost.control import ControlPlane, Image, RunDisk

from .conftest import TestClock, spec


class Desk:
    def __init__(self, folder: Path, clock: TestClock) -> None:
        self.url = f"sqlite:///{folder / 'control.db'}"
        self.control = ControlPlane.open(self.url, clock=clock)

    def rehost(self, *arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(app, [*arguments, "--database", self.url])
        assert result.exit_code == code, result.output
        return result

    def json(self, *arguments: str) -> Any:
        return json.loads(self.rehost(*arguments, "--json").stdout)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    clock = TestClock()
    clock.now = datetime.now(UTC)  # the command goes by the real one
    here = Desk(tmp_path, clock)
    for name, application in (("web-01", "shop"), ("web-02", "shop"), ("mail", None)):
        job = here.control.jobs.put(spec(name, application=application))
        run = here.control.runs.request(job.id, token="x")
        here.control.runs.claim("c1", None, lease_seconds=30)
        here.control.runs.stage(run.id, "copy root")
        if name == "web-01":
            here.control.runs.put_disk(run.id, RunDisk(0, "root", 1 << 30, "snap-1", None, "p", sent_bytes=1 << 20))
            here.control.runs.complete(run.id, Image("ami-1", job.id, run.id, ("snap-1",), clock.now))
        elif name == "web-02":
            here.control.runs.fail(run.id, "AWS refuses [the] credentials; renew them")
    yield here
    here.control.close()


def test_status_is_a_table_of_all(desk: Desk) -> None:
    text = desk.rehost("status").stdout
    lines = {line.split()[0]: line for line in text.splitlines() if line}
    assert {"ACTIVE", "COMPLETED", "ami-1"} <= set(lines["web-01"].split())
    assert "FAILING" in lines["web-02"]
    assert lines["web-02"].endswith("AWS refuses [the] credentials; renew them")
    assert "copy root" in lines["mail"]
    assert "no connector is running" in text


def test_status_of_an_application_and_of_nobody(desk: Desk) -> None:
    assert {job["server"] for job in desk.json("status", "--application", "shop")["jobs"]} == {"web-01", "web-02"}
    assert "known: shop" in desk.rehost("status", "--application", "shp", code=2).stderr
    assert "no replication job for 'web-03'" in desk.rehost("status", "web-03", code=2).stderr
    assert "needs a terminal" in desk.rehost("status", "--watch", code=2).stderr


def test_status_of_one_server_has_its_history_and_what_to_do(desk: Desk) -> None:
    text = desk.rehost("status", "web-02").stdout
    assert "last error at copy root: AWS refuses [the] credentials; renew them" in text
    assert "to do: it tries again by itself" in text
    assert "ON_DEMAND" in text
    (job,) = desk.json("status", "web-01")["jobs"]
    assert (job["state"], job["latest_image_id"], job["last_error"]) == ("ACTIVE", "ami-1", None)
    assert job["runs"][0]["disks"][0]["sent_bytes"] == job["runs"][0]["sent_bytes"] == 1 << 20
    assert job["lag_seconds"] >= 0
    (mail,) = desk.json("status", "mail")["jobs"]
    assert mail["progress"]["stage"] == "copy root"
    assert "gives no sign of life" in mail["advice"]


def test_pause_resume_and_retry(desk: Desk) -> None:
    assert desk.rehost("pause", "web-01").stdout == "web-01: paused\n"
    assert desk.rehost("pause", "web-01").stdout == "web-01: nothing to change\n"
    assert "ACTIVE, paused" in desk.rehost("status").stdout
    assert "rehost resume web-01" in desk.rehost("status", "web-01").stdout
    assert desk.rehost("resume", "web-01").stdout == "web-01: goes on\n"
    assert desk.json("status", "web-01")["jobs"][0]["paused_at"] is None
    assert "has not failed" in desk.rehost("retry", "web-01", code=1).stderr
    assert "did you mean web-02?" in desk.rehost("pause", "web-09", code=2).stderr


def test_connectors_are_listed_drained_and_taken_out(desk: Desk) -> None:
    assert "no connector has signed on" in desk.rehost("connector", "list").stdout
    register = {"version": "1", "host": "elsewhere", "pid": 1, "sources": ["dc1"], "log_path": "", "max_runs": 2}
    desk.control.connectors.register("connector-01", **register)  # type: ignore[arg-type]
    desk.control.connectors.register("connector-02", **register)  # type: ignore[arg-type]
    assert [each["status"] for each in desk.json("connector", "list")["connectors"]] == ["HEALTHY"] * 2
    assert "takes no more runs" in desk.rehost("connector", "drain", "connector-01").stdout
    assert "HEALTHY, draining" in desk.rehost("connector", "list").stdout
    assert "begins the ids of 2" in desk.rehost("connector", "drain", "connector", code=2).stderr
    assert "is out; 0 runs" in desk.rehost("connector", "disassociate", "connector-02").stdout


def test_the_catalog_says_what_is_declared_and_what_replicates(desk: Desk) -> None:
    assert "nothing is known yet" in desk.rehost("catalog", "list").stdout
    desk.control.catalogs.request("exports", {})
    desk.control.catalogs.take("c1", None)
    found = [
        {"name": name, "locator": {"name": name}, "disks": [{"key": f"{name}.raw", "size": 1 << 30}], "facts": {}}
        for name in ("web-01", "web-02", "spare")
    ]
    desk.control.catalogs.put("exports", "c1", found)
    uses = {each["name"]: each["use"] for each in desk.json("catalog", "list")["servers"]}
    assert uses == {"web-01": "replicating", "web-02": "declared", "spare": "neither"}
    text = desk.rehost("catalog", "list", "--filter", "use=neither").stdout
    assert "spare" in text
    assert "web-01" not in text
    assert "KEY=VALUE" in desk.rehost("catalog", "list", "--filter", "state=x", code=2).stderr
    desk.rehost("catalog", "delete", "exports")
    assert "DELETED" in desk.rehost("catalog", "list").stdout
