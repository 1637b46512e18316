"""`rehost discover` over a folder of images: what it lists, and that a spec takes what it writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner

from rehost import spec
from rehost.cli._app import app
from rehost.cli._entries import written
from rehost.sources import Concern, DiscoveredDisk, DiscoveredServer, Severity, Source, open_source

MIB = 1 << 20


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "Pulumi.yaml").touch()
    specs = tmp_path / "migration_specs"
    specs.mkdir()
    (specs / "sources.yaml").write_text(
        "sources:\n  exports: {type: images, path: ../exports}\n"
        "servers:\n  web-02: {source: exports, locator: {name: web-02}}\n"
    )
    (tmp_path / "exports" / "db-01").mkdir(parents=True)
    for name in ("web-01.raw", "web-02.raw", "db-01/data.raw", "db-01/root.raw"):
        with (tmp_path / "exports" / name).open("wb") as file:
            file.truncate(MIB)
    (tmp_path / "exports" / "odd.raw").write_bytes(b"x" * 100)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["discover", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_json_has_each_server_with_its_concerns(project: Path) -> None:
    code, out, _ = run("exports", "--json")
    assert code == 0
    servers = {each["name"]: each for each in json.loads(out)["servers"]}
    assert set(servers) == {"db-01", "odd", "web-01", "web-02"}
    assert [disk["size"] for disk in servers["db-01"]["disks"]] == [MIB, MIB]
    [concern] = servers["odd"]["concerns"]
    assert concern["severity"] == "error"
    assert "not a multiple of 512" in concern["message"]


def test_names_and_patterns_choose(project: Path) -> None:
    _, out, _ = run("exports", "web-*", "db-01", "--json")
    assert [each["name"] for each in json.loads(out)["servers"]] == ["web-01", "web-02", "db-01"]
    code, _, err = run("exports", "web-09")
    assert code == 2
    assert "web-09" in err


def test_a_spec_takes_what_is_written(project: Path) -> None:
    file = project / "migration_specs" / "found.yaml"
    code, _, err = run("exports", "--write", str(file))
    assert code == 0
    assert "2 entries written, 1 as comments" in err
    assert "1 left out" in err
    text = file.read_text()
    assert "# error unsuitable: " in text
    assert "  # odd:\n" in text
    estate, findings = spec.check(project / "migration_specs")
    assert estate is not None, findings
    assert set(estate.servers) == {"db-01", "web-01", "web-02"}
    assert estate.servers["db-01"].locator == {"name": "db-01"}

    code, _, err = run("exports", "--write", str(file))
    assert code == 2
    assert "exists already" in err
    assert file.read_text() == text


def test_what_cannot_be_asked_is_said(project: Path) -> None:
    code, _, err = run("elsewhere")
    assert (code, "known: exports" in err) == (2, True)
    (project / "migration_specs" / "sources.yaml").write_text("sources: {exports: {type: nowhere}}\n")
    code, _, err = run("exports")
    assert (code, "cannot be 'nowhere'" in err) == (2, True)
    (project / "migration_specs" / "sources.yaml").write_text("sources: {exports: {type: images, path: none}}\n")
    code, _, err = run("exports")
    assert (code, "the folder does not exist" in err) == (1, True)


def test_hostile_names_stay_within_their_entry(tmp_path: Path) -> None:
    evil = Concern("odd", Severity.WARNING, "line\nsources: {}", "two\r\nservers: {}")
    servers = [
        DiscoveredServer(name, {"name": name}, [DiscoveredDisk("sda", MIB, "flat")], {"guest": "a\nb: c"}, [evil])
        for name in (
            "yes",
            "a: b",
            "web 01",
            "web/01",
            "'",
            "é" * 200,
            "# x",
            "-",
            "a\nb",
            "web-01",
            "WEB",
            "{x}",
            "${x}",
            "${stack}",
            "123",
            "0777",
            "1e5",
            "0o17",
            "0x1f",
            "1.5E-3",
        )
    ]
    text = written("dc1", servers, {"web-01"})
    credentials = "{username: {env: U}, password: {env: P}}"
    source = f"sources: {{dc1: {{type: vsphere, endpoint: vc, credentials: {credentials}}}}}\n"
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "a.yaml").write_text(text + source)
    estate, findings = spec.check(tmp_path / "specs")
    assert estate is not None, findings
    assert [dict(each.locator) for each in estate.servers.values()] == [{"name": each.name} for each in servers]
    for name in ("1e5", "0o17", "0x1f", "1.5E-3"):
        assert f"locator: {{name: '{name}'}}" in text, "another reader of YAML would take it for a number"


@pytest.mark.parametrize(
    ("facts", "concern", "image"),
    [
        ({"guest": "Microsoft Windows Server 2019 (64-bit)"}, None, {"boot_mode": "uefi", "platform": "windows"}),
        ({"guest": "Ubuntu Linux (64-bit)"}, None, {"boot_mode": "uefi", "platform": "linux"}),
        ({"guestId": "rhel9_64Guest"}, None, {"boot_mode": "uefi", "platform": "linux"}),
        ({"guest": "Ubuntu Linux (64-bit)"}, "too-many-disks", {"boot_mode": "uefi", "conversion": "register"}),
        ({"guest": "Other (64-bit)"}, None, {"boot_mode": "auto", "platform": "auto"}),
        ({}, None, {"boot_mode": "auto", "platform": "auto"}),
    ],
)
def test_a_machine_that_boots_by_uefi_gets_an_entry_that_the_spec_takes(
    tmp_path: Path, facts: dict[str, str], concern: str | None, image: dict[str, str]
) -> None:
    concerns = [Concern(concern, Severity.WARNING, "it has 30 disks", "register it")] if concern else []
    disks = [DiscoveredDisk("sda", MIB, "flat")]
    server = DiscoveredServer("web-01", {"name": "web-01"}, disks, {**facts, "firmware": "uefi"}, concerns)
    text = written("dc1", [server], ())
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "a.yaml").write_text(text + "sources: {dc1: {type: qemu, sockets: s, scratch: x}}\n")
    estate, findings = spec.check(tmp_path / "specs")
    assert estate is not None, findings
    assert {name: getattr(estate.servers["web-01"].image, name) for name in image} == image
    assert ("It boots by uefi: add" in text) == (image["boot_mode"] == "auto")


def test_what_a_source_logs_is_no_part_of_the_document(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def talkative(config: Mapping[str, Any], *, base: Path) -> Source:
        structlog.get_logger("rehost.sources.test").info("waiting for it", seconds=2)
        return open_source(config, base=base)

    monkeypatch.setattr("rehost.cli._discover.open_source", talkative)
    code, out, err = run("exports", "--json")
    assert code == 0
    assert len(json.loads(out)["servers"]) == 4
    assert "waiting for it" in err
