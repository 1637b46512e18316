"""`rehost doctor SOURCE [SERVER]` as a user types it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rehost.cli._app import app

MIB = 1 << 20


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "Pulumi.yaml").touch()
    (tmp_path / "migration_specs").mkdir()
    (tmp_path / "migration_specs" / "sources.yaml").write_text(
        "sources:\n  exports: {type: images, path: ../exports}\n  gone: {type: images, path: ../gone}\n"
        "servers:\n  shop-db: {source: exports, locator: {name: web-02}, quiesce: none}\n"
    )
    (tmp_path / "exports").mkdir()
    for name in ("web-01", "web-02"):
        with (tmp_path / "exports" / f"{name}.raw").open("wb") as file:
            file.write(os.urandom(MIB))
            file.truncate(4 * MIB)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["doctor", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_a_source_is_only_asked(project: Path) -> None:
    code, out, _ = run("exports")
    assert code == 0
    assert "2 servers with 2 disks of 8.0 MiB" in out
    assert out.splitlines()[-1].startswith("all is well, ")


def test_a_source_that_is_not_there_fails_with_what_to_do(project: Path) -> None:
    code, out, _ = run("gone")
    assert code == 1
    assert "the folder does not exist" in out
    assert "to do: " in out


@pytest.mark.parametrize("server", ["web-01", "shop-db"], ids=["as the source calls it", "as the spec calls it"])
def test_a_server_goes_through_all_of_it(project: Path, server: str) -> None:
    code, out, err = run("exports", server, "--yes", "--json")
    document = json.loads(out)
    assert code == 0, document
    assert "Two points in time" in err
    assert document["ok"] is True
    assert (document["type"], document["server"]) == ("images", server)
    figures = {each["id"]: each["figures"] for each in document["checks"]}
    assert figures["rate"]["bytes"] == MIB
    assert figures["freeze"]["disks"] == {("web-02" if server == "shop-db" else server) + ".raw": 4 * MIB}
    assert sorted(path.name for path in (project / "exports").iterdir()) == ["web-01.raw", "web-02.raw"]


def test_nothing_is_touched_unless_somebody_agrees(project: Path) -> None:
    code, out, err = run("exports", "web-01")
    assert (code, out) == (2, "")
    assert "add --yes" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["exprts"], "there is no source 'exprts'"),
        (["exports", "web-03", "--yes"], "did you mean web-0"),
        (["exports", "web-01", "--yes", "--quiesce", "maybe"], "'maybe' is no quiesce"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_tried(project: Path, arguments: list[str], said: str) -> None:
    code, _, err = run(*arguments)
    assert code == 2
    assert said in err


def test_a_quiesce_that_cannot_be_had_fails(project: Path) -> None:
    code, out, _ = run("exports", "web-01", "--yes", "--quiesce", "require")
    assert code == 1
    assert "an `images` source has no guest" in out
