"""`rehost import`, as a user runs it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rehost import spec
from rehost.cli._app import app
from rehost.importers import _written
from tests.importers import books
from tests.importers.conftest import DATA


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for each in DATA.iterdir():
        shutil.copy(each, tmp_path)
    books.write(
        tmp_path / "export.xlsx", {"vInfo": [books.machine("web-01", 1), books.machine("gold", 2, Template=True)]}
    )
    strange = {"vmName": "lab-01", "vmManagerType": "XEN", "vmServerAddress": {"vmId": "7"}}
    job = {"serverId": "s-lab", "runOnce": True, "vmServer": strange}
    (tmp_path / "sms-xen.json").write_text(json.dumps({"replicationJobList": [job]}))
    (tmp_path / "cmdb.csv").write_text("Host;Service\nweb-01;shop\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["import", *arguments])
    return result.exit_code, result.stdout, result.stderr


CALLS = {
    "sms": ("sms", "sms-servers.json", "sms-jobs.json", "sms-app.json", "sms-app-launch.json", "sms-xen.json"),
    "mgn": ("mgn", "mgn-export.csv", "mgn-source-servers.json"),
    "cmf": ("cmf", "cmf-intake.csv"),
    "rvtools": ("rvtools", "export.xlsx", "--map", "application=Folder"),
    "csv": ("csv", "cmdb.csv", "--map", "server=Host", "--map", "application=Service"),
}


@pytest.mark.parametrize("tool", CALLS)
def test_each_tool_makes_a_spec_that_validate_takes(tool: str, project: Path) -> None:
    code, out, err = run(*CALLS[tool])
    assert code == 0, err
    file = project / "migration_specs" / f"{tool}.yaml"
    assert f"{Path('migration_specs') / tool}.yaml: " in out
    assert f"Made by `rehost import {tool}`" in file.read_text()
    assert CliRunner().invoke(app, ["validate", "migration_specs"]).exit_code == 0
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def test_the_table_says_each_thing_once(project: Path) -> None:
    _, out, err = run(*CALLS["sms"])
    [line] = [line for line in out.splitlines() if " roleName " in line]
    assert "Web Shop, shop-web-01, Shop DB (primary) (sms-launch, sms)" in line
    kinds = [line.split("  ")[0] for line in out.splitlines()[1:-1]]
    order = ["left out", "not carried over", "changed", "assumed", "note"]
    assert kinds == sorted(kinds, key=order.index)
    assert set(kinds) == set(order)
    assert "rehost validate" in err


def test_json_has_each_remark(project: Path) -> None:
    code, out, _ = run(*CALLS["rvtools"], "--json")
    said = json.loads(out)
    assert (code, said["servers"], said["leftOut"], said["applications"], said["waves"]) == (0, 1, 1, 1, 0)
    assert said["files"] == [str(Path("migration_specs") / "rvtools.yaml")]
    left = [each for each in said["remarks"] if each["kind"] == "left out"]
    assert left == [
        {
            "kind": "left out",
            "subject": "gold",
            "field": "",
            "value": "",
            "reason": "it is a template, and a template has no snapshots",
            "where": "export.xlsx:vInfo:3",
        }
    ]


def test_nothing_is_replaced_unless_it_is_said(project: Path) -> None:
    file = project / "out" / "cmf.yaml"
    assert run(*CALLS["cmf"], "--output", "out")[0] == 0
    text = file.read_text()
    file.write_text(text + "# mine\n")
    code, _, err = run(*CALLS["cmf"], "--output", "out")
    assert (code, "there already" in err, file.read_text()) == (2, True, text + "# mine\n")
    assert run(*CALLS["cmf"], "--output", "out", "--force")[0] == 0
    assert file.read_text() == text
    file.unlink()
    file.symlink_to(project / "elsewhere.yaml")
    assert run(*CALLS["cmf"], "--output", "out")[0] == 2
    assert not (project / "elsewhere.yaml").exists()


def test_what_a_longer_import_left_is_not_mixed_with_a_new_one(project: Path) -> None:
    run(*CALLS["cmf"])
    (project / "migration_specs" / "cmf-2.yaml").write_text("servers: {}\n")
    code, _, err = run(*CALLS["cmf"], "--force")
    assert (code, "cmf-2.yaml: of a former import" in err) == (2, True)


def test_machines_that_the_spec_has(project: Path) -> None:
    run(*CALLS["rvtools"])
    code, out, err = run(*CALLS["rvtools"], "--name", "again")
    assert (code, "nothing was written" in err) == (2, True)
    assert "the spec has this machine already" in out
    assert not (project / "migration_specs" / "again.yaml").exists()


def test_a_spec_with_errors_is_not_added_to(project: Path) -> None:
    (project / "migration_specs").mkdir()
    (project / "migration_specs" / "a.yaml").write_text("servers: {x: 1}\n")
    code, _, err = run(*CALLS["cmf"])
    assert code == 2
    assert "a.yaml:1:14" in err
    assert "put the spec in migration_specs right first" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cmf", "none.csv"), "none.csv: it cannot be read: No such file"),
        (("cmf", "."), "it is not a file"),
        (("sms", "cmf-intake.csv"), "is not JSON"),
        (("rvtools", "cmf-intake.csv"), "not an xlsx workbook"),
        (("csv", "cmdb.csv"), "--map server=COLUMN"),
        (("csv", "cmdb.csv", "--map", "server"), "it is KEY=COLUMN"),
        (("csv", "cmdb.csv", "--map", "server=Hst"), "no column Hst"),
        (("csv", "cmdb.csv", "--mapping", "cmf-intake.csv"), "a mapping is"),
        (("cmf", "cmf-intake.csv", "--source", "dc1"), "has no source dc1; known: none"),
        (("cmf", "cmf-intake.csv", "--name", "../x"), "the name of a file"),
        (("cmf", "cmf-intake.csv", "--region", "eu-west-1"), "holds no servers"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(arguments: tuple[str, ...], message: str, project: Path) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert not (project / "migration_specs").exists()


def test_a_large_estate_takes_several_files(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_written, "FILE_BYTES", 20_000)
    rows = [f"host-{number:05d};app-{number % 50}" for number in range(600)]
    (project / "cmdb.csv").write_text("\n".join(["Host;Service", *rows]) + "\n")
    code, out, err = run(*CALLS["csv"], "--json")
    assert code == 0, err
    files = json.loads(out)["files"]
    assert len(files) > 1
    assert all(Path(each).stat().st_size < 30_000 for each in files)
    estate, _ = spec.check(project / "migration_specs")
    assert estate is not None
    assert (len(estate.servers), len(estate.applications)) == (600, 50)
    code, _, err = run(*CALLS["csv"], "--force")
    assert code == 0, err
