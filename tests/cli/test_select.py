"""`rehost select`: what it writes down, that nothing else adds a server, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rehost import spec
from rehost.cli._app import app
from rehost.control import ControlPlane

SPEC = """
sources: {dc1: {type: images, path: ../exports}}
selections:
  web:
    source: dc1
    match: {name: ["web-*", "0*"]}
    except: ["web-9*"]
    server: {quiesce: none}
servers:
  db: {source: dc1, locator: {name: web-03}}
applications: {shop: {groups: {web: {selections: [web]}, db: {servers: [db]}}}}
"""
Fill = Callable[..., None]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "Pulumi.yaml").touch()
    (tmp_path / "migration_specs" / "dc1").mkdir(parents=True)
    (tmp_path / "migration_specs" / "dc1" / "shop.yaml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REHOST_DATABASE", raising=False)
    return tmp_path


@pytest.fixture
def fill(project: Path) -> Fill:
    """Put machines into the catalog, as a connector does."""

    def filled(*names: str, source: str = "dc1", **facts: dict[str, Any]) -> None:
        (project / ".rehost").mkdir(exist_ok=True)
        control = ControlPlane.open(f"sqlite:///{project}/.rehost/control.db")
        control.catalogs.request(source, {"type": "images"})
        assert control.catalogs.take("test", [source]) is not None
        entry = {"disks": [{"key": "a", "size": 1 << 20}]}
        machines = [{**entry, "name": name, "locator": {"name": name}, "facts": facts.get(name, {})} for name in names]
        assert control.catalogs.put(source, "test", machines)

    return filled


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["select", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def servers(project: Path) -> set[str]:
    return set(spec.load(project / "migration_specs", root=project).servers)


WRITTEN = "migration_specs/dc1/shop.selected.yaml"


def test_a_selection_is_written_down_and_a_new_machine_changes_nothing(project: Path, fill: Fill) -> None:
    fill("web-01", "web-02", "web-03", "web-99", "mail", "007", "web-[${x}]")
    assert [each.rule for each in spec.check(project / "migration_specs")[1]] == ["stale-selection"]
    code, out, err = run()
    assert code == 0, err
    assert f"written: {WRITTEN}" in err
    assert "left out: web-03; servers has it, as db" in out
    assert "+ web-01" in out
    assert servers(project) == {"db", "web-01", "web-02", "007", "web--x"}
    estate = spec.load(project / "migration_specs", root=project)
    assert (estate.servers["web--x"].locator, estate.servers["007"].quiesce) == ({"name": "web-[${x}]"}, "none")
    assert run()[2].endswith("nothing has changed\n")
    assert run("--check")[0] == 0

    fill("web-01", "web-04", "web-03", "007", "web-[${x}]")
    assert servers(project) == {"db", "web-01", "web-02", "007", "web--x"}
    before = (project / WRITTEN).read_text()
    code, out, err = run("--check")
    assert (code, "would change" in err, "+ web-04" in out, "- web-02" in out) == (1, True, True, True)
    assert (project / WRITTEN).read_text() == before
    selection = json.loads(run("--json")[1])["selections"][0]
    assert (selection["added"], selection["gone"]) == (["web-04"], ["web-02"])
    assert servers(project) == {"db", "web-01", "web-04", "007", "web--x"}


def test_names_stay_as_they_are(project: Path, fill: Fill) -> None:
    fill("web 01")
    (project / "migration_specs" / "dc1" / "shop.yaml").write_text(SPEC.replace('"web-*"', '"web*"'))
    run()
    assert servers(project) == {"db", "web-01"}
    fill("web 01", "web-01")
    run()
    estate = spec.load(project / "migration_specs", root=project)
    assert {name: each.locator["name"] for name, each in estate.servers.items()} == {
        "db": "web-03",
        "web-01": "web 01",
        "web-01-2": "web-01",
    }


def test_what_no_run_could_replicate_is_left_out_aloud(project: Path, fill: Fill) -> None:
    fill("web-01", "web-02", **{"web-02": {"problem": "no disk"}})
    assert "left out: web-02; no run could replicate it: no disk" in run()[1]
    assert servers(project) == {"db", "web-01"}


def test_tags_and_facts_decide(project: Path, fill: Fill) -> None:
    match = "{tags: {stage: [prod]}, guest: ['Ubuntu*', 'Debian*'], power: [poweredOn]}"
    (project / "migration_specs" / "dc1" / "shop.yaml").write_text(SPEC.replace('{name: ["web-*", "0*"]}', match))
    base = {"tags": {"stage": "prod"}, "guest": "Debian 12", "power": "poweredOn"}
    facts = {"a": base, "b": {**base, "power": "poweredOff"}, "c": {**base, "guest": None}, "d": {**base, "tags": {}}}
    fill("a", "b", "c", "d", **facts)
    assert run()[0] == 0
    assert servers(project) == {"db", "a"}


def test_a_selection_that_is_gone_takes_its_file_with_it(project: Path, fill: Fill) -> None:
    fill("web-01")
    run()
    text = SPEC[: SPEC.index("selections")] + SPEC[SPEC.index("servers:\n") :].replace("web: {selections: [web]}, ", "")
    (project / "migration_specs" / "dc1" / "shop.yaml").write_text(text)
    assert [each.rule for each in spec.check(project / "migration_specs")[1]] == ["stale-selection"]
    assert run()[0] == 0
    assert not (project / WRITTEN).exists()
    assert servers(project) == {"db"}


def test_one_machine_in_two_selections_is_refused(project: Path, fill: Fill) -> None:
    fill("web-01")
    other = "selections: {other: {source: dc1, match: {name: ['*-01']}}}\n"
    (project / "migration_specs" / "other.yaml").write_text(other)
    code, _, err = run()
    assert (code, "machine 'web-01' is in selection" in err) == (2, True)
    assert not (project / WRITTEN).exists()


def test_what_cannot_be_done_is_said(project: Path, fill: Fill) -> None:
    code, _, err = run()
    assert (code, "`rehost catalog refresh dc1`" in err) == (1, True)
    fill("web-01")
    (project / WRITTEN).write_text("servers: {}\n")
    code, _, err = run()
    assert (code, "was not written by `rehost select`" in err) == (2, True)
    assert (project / WRITTEN).read_text() == "servers: {}\n"
    (project / WRITTEN).write_bytes(b"\xff")
    code, _, err = run()
    assert code == 2
    (project / WRITTEN).unlink()
    (project / "migration_specs" / "dc1" / "shop.yaml").write_text(SPEC.replace("match:", "mach:"))
    code, _, err = run()
    assert (code, "did you mean match?" in err) == (2, True)


def test_a_match_of_nothing_is_a_warning_and_no_server(project: Path, fill: Fill) -> None:
    fill("mail")
    code, _, err = run()
    assert (code, "matches no machine" in err) == (0, True)
    assert servers(project) == {"db"}
