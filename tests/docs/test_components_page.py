"""The programs of docs/components.md, run in Pulumi's mocks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.components.conftest import Asked, run_program
from tests.components.test_estate import REPLICATE, TEST

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "components.md").read_text("utf-8")
RECORD, PLAIN, ZONE = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


def run(program: str) -> dict[str, Asked]:
    asked = run_program(lambda: exec(compile(program, "docs/components.md", "exec"), {}))
    return {f"{each.kind}/{each.name}": each for each in asked}


@pytest.fixture
def specs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "migration_specs").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "migration_specs" / "estate.yaml"


def test_a_record_of_an_instances_address(specs: Path) -> None:
    specs.write_text(f"apiVersion: rehost/v1\n{TEST}")
    record = run(RECORD)["Record/shop"]
    assert record.type == "aws:route53/record:Record"
    assert record.inputs["records"] == ["10.0.0.web-01"]
    assert "Instance/web-01" in record.after


def test_no_record_before_the_launch(specs: Path) -> None:
    specs.write_text(f"apiVersion: rehost/v1\n{REPLICATE}")
    assert "Record/shop" not in run(RECORD)


def test_the_landing_zone() -> None:
    made = run(ZONE)
    assert {"LandingZone/migration", "Key/migration-key", "Subnet/migration-staging"} <= made.keys()


def test_a_program_without_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = run(PLAIN)
    assert sum(name.startswith("ReplicationJob/") for name in made) == 20
    assert made["Application/shop"].parent == "Estate/estate"
    assert made["ReplicationJob/web-07"].inputs["schedule"]["every_seconds"] == 86400
