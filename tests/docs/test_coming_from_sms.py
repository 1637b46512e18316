"""docs/coming-from-sms.md against the names of AWS SMS, and against this version's own words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from rehost import spec

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "coming-from-sms.md").read_text(encoding="utf-8")
#: Names alone, copied from botocore 1.34's service model `sms`: newer versions of botocore no longer have it.
SMS: dict[str, Any] = json.loads((ROOT / "tests" / "data" / "sms-names.json").read_text(encoding="utf-8"))


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


def rows(text: str) -> list[tuple[list[str], str]]:
    """(SMS's names, the place here) of each row of the tables."""
    found = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 2:
            found.append((re.findall(r"`([^`]+)`", cells[0]), cells[1]))
    return found


def names(text: str) -> list[str]:
    return [name for row, _place in rows(text) for name in row]


def test_each_operation_has_one_place() -> None:
    assert sorted(names(section("Operations"))) == SMS["operations"]


def test_each_field_has_one_place() -> None:
    titles = [line[3:] for line in PAGE.splitlines() if line.startswith("## Fields of")]
    found = [name for title in titles for name in names(section(title))]
    assert sorted(found) == SMS["fields"]


def test_each_state_has_one_place() -> None:
    parts = re.split(r"^`(\w+)`$", section("States"), flags=re.MULTILINE)[1:]
    found = {kind: names(text) for kind, text in zip(parts[::2], parts[1::2], strict=True)}
    assert {kind: sorted(values) for kind, values in found.items()} == {
        kind: sorted(values) for kind, values in SMS["states"].items()
    }


def test_each_error_has_one_place() -> None:
    assert sorted(names(section("Errors"))) == SMS["errors"]


def test_no_place_is_empty() -> None:
    assert all(place for _names, place in rows(PAGE))


@pytest.mark.parametrize("key", ["license", "role", "description", "encrypt", "kmsKey", "run"])
def test_what_it_says_of_an_image_is_in_the_spec_language(key: str) -> None:
    assert f"`image.{key}" in PAGE
    assert key in spec.schema()["$defs"]["image"]["properties"]


def test_what_it_says_of_a_launch_is_in_the_spec_language() -> None:
    known = spec.schema()["$defs"]["launchConfig"]["properties"]
    for _names, place in rows(section("Fields of a launch")):
        first = re.match(r"`(\w+)`", place)
        assert first is None or first[1] in known, place
