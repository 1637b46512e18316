"""`rehost wave` and `rehost preflight`, as a user runs them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rehost.control import ControlPlane, Phase
from tests.cli.conftest import Command

SPEC = """
sources: {exports: {type: images, path: ../exports}}
launchConfigs: {small: {instanceType: t3.micro}}
servers:
  db-01: {source: exports, locator: {path: db-01.raw}, launchConfig: small}
  web-01: {source: exports, locator: {path: web-01.raw}, launchConfig: small}
  wiki-01: {source: exports, locator: {path: wiki-01.raw}, launchConfig: small}
applications:
  shop:
    owner: "the shop's <b>team</b> | 4711"
    groups: {db: {servers: [db-01]}, web: {servers: [web-01], after: [db]}}
  wiki: {groups: {web: {servers: [wiki-01]}}}
waves:
  one: {applications: [shop], owner: J. Doe}
  two: {applications: [wiki], after: [one], window: {opens: 2020-01-01T00:00:00Z, closes: 2020-01-02T00:00:00Z}}
"""


@pytest.fixture
def spec(tmp_path: Path) -> None:
    (tmp_path / "migration_specs").mkdir()
    (tmp_path / "migration_specs" / "estate.yaml").write_text(SPEC)


@pytest.mark.usefixtures("spec")
def test_a_wave_has_a_row_an_application_and_an_exit_code(command: Command) -> None:
    said = command("wave", "status", "one")
    assert said.code == 0, said.err
    assert "shop" in said.out
    assert "`pulumi up`: the spec declares phase replicate" in said.out
    said = command("wave", "status")
    assert said.code == 1, "the window of two has closed"
    data = command("wave", "status", "two", "--json").json["waves"][0]
    assert data["needs_attention"] is True
    assert [each["id"] for each in data["applications"][0]["barred"]] == ["window-closed", "wave-before"]


@pytest.mark.usefixtures("spec")
@pytest.mark.parametrize(
    "arguments", [("status", "three"), ("runbook", "three"), ("runbook", "one", "--format", "pdf")]
)
def test_what_is_not_there_is_a_wrong_command_line(command: Command, arguments: tuple[str, ...]) -> None:
    said = command("wave", *arguments)
    assert said.code == 2
    assert said.out == ""
    assert "error:" in said.err


@pytest.mark.usefixtures("spec")
def test_the_run_book_has_every_step_in_order_in_both_formats(command: Command, tmp_path: Path) -> None:
    text = command("wave", "runbook", "one").out
    assert [int(each) for each in re.findall(r"^(\d+)\. ", text, re.M)] == list(range(1, text.count("[ ]") + 1))
    assert (
        text.index("rehost preflight shop --phase cutover")
        < text.index("phase: cutover`")
        < text.rindex("run: `pulumi up`")
    )
    assert "db (db-01) then web (web-01)" in text
    assert "not measured yet" in text
    assert "J. Doe" in text
    assert "<b>" not in text
    said = command("wave", "runbook", "one", "--format", "html", "--output", "book.html")
    assert (said.code, said.out) == (0, "")
    page = (tmp_path / "book.html").read_text("utf-8")
    assert "<b>" not in page
    seen: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            seen.append(tag)
            assert not {"src", "href"} & {name for name, _value in attrs}, "no foreign assets"

        def handle_endtag(self, tag: str) -> None:
            while seen.pop() != tag:
                pass

    Reader().feed(page)
    assert "http" not in page
    assert page.count('type="checkbox"') == text.count("[ ]")


@pytest.mark.usefixtures("spec")
def test_preflight_names_an_unknown_application(command: Command) -> None:
    said = command("preflight", "shoppe")
    assert said.code == 2
    assert "known: shop, wiki" in said.err


@pytest.mark.usefixtures("spec")
def test_the_status_follows_the_control_plane(command: Command, tmp_path: Path) -> None:
    (tmp_path / ".rehost").mkdir()
    (tmp_path / "Pulumi.yaml").write_text("name: x\nruntime: python\n")
    control = ControlPlane.open(f"sqlite:///{tmp_path}/.rehost/control.db")
    servers = ["db-01", "web-01"]
    control.applications.enter("dev", "shop", Phase.REPLICATE, servers=servers)

    def shop() -> dict[str, object]:
        return dict(command("wave", "status", "one", "--json").json["waves"][0]["applications"][0])

    assert shop()["next"] == "wait for the first images: 2 of 2 servers have none"
    control.applications.enter("dev", "shop", Phase.TEST, servers=servers)
    assert shop()["next"] == "`pulumi up`: the spec declares phase replicate"
    control.applications.launching("dev", "shop", Phase.TEST)
    control.applications.reached("dev", "shop", Phase.TEST, images={})
    assert re.search(r"launch with validation, in phase test \| \d+ s", command("wave", "runbook", "one").out)
    control.applications.enter("dev", "shop", Phase.CUTOVER, servers=servers, force="a test")
    control.applications.failed("dev", "shop", "web-01 did not start")
    control.close()
    said = command("wave", "status", "one")
    assert said.code == 1
    assert "its phase cutover failed: web-01 did not start" in said.out
