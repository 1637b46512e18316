"""docs/coming-from-mgn.md against the names of botocore's service model `mgn`, and against this version's own words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel

from rehost import spec

from .test_coming_from_sms import rows

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "coming-from-mgn.md").read_text("utf-8")
#: States of what people move; the others are of requests, of network migration, or of how MGN works inside.
KINDS = {
    "LifeCycleState", "DataReplicationState", "LaunchStatus", "InitiatedBy", "JobStatus", "ApplicationProgressStatus",
    "ApplicationHealthStatus", "WaveProgressStatus", "WaveHealthStatus", "ReplicationType", "BootMode", "ImportStatus",
    "ExportStatus",
}  # fmt: skip


@pytest.fixture(scope="module")
def mgn() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("mgn", "service-2"))


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


def names(text: str) -> list[str]:
    return [name for row, _place in rows(text) for name in row]


def test_each_operation_has_one_place(mgn: Any) -> None:
    assert sorted(names(section("Operations"))) == sorted(mgn.operation_names)


def test_operations_stand_in_groups() -> None:
    groups = re.split(r"^### ", section("Operations"), flags=re.MULTILINE)[1:]
    assert len(groups) == 9
    assert all(names(group) for group in groups)


def test_each_state_has_one_place(mgn: Any) -> None:
    parts = re.split(r"^`(\w+)`$", section("States"), flags=re.MULTILINE)[1:]
    found = {kind: sorted(names(text)) for kind, text in zip(parts[::2], parts[1::2], strict=True)}
    assert found.keys() == KINDS
    assert found == {kind: sorted(mgn.shape_for(kind).enum) for kind in KINDS}


def test_no_place_is_empty() -> None:
    assert all(place for _names, place in rows(PAGE))
    assert len(rows(PAGE)) > 60


def test_what_it_says_of_the_spec_language_is_there() -> None:
    schema = spec.schema()["$defs"]
    phases = schema["application"]["properties"]["phase"]["enum"]
    assert [phase for phase in phases if f"`phase: {phase}`" not in PAGE] == []
    for kind, key in (
        ("image", "bootMode"), ("image", "shareWith"), ("image", "copies"), ("server", "throttle"), ("server", "quiesce"),
        ("wave", "applications"), ("application", "groups"), ("server", "launchConfig"), ("schedule", "continuous"),
    ):  # fmt: skip
        assert key in schema[kind]["properties"], key
        assert key in PAGE
