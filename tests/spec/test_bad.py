"""Every wrong spec of `bad/` gets the findings that stand beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rehost import spec
from rehost.concerns import KINDS
from rehost.spec import _yaml
from tests.spec import golden

PAGE = Path(__file__).resolve().parents[2] / "docs" / "spec.md"


@pytest.mark.parametrize("case", golden.cases(), ids=lambda case: case.name)
def test_each_wrong_spec_gets_the_findings_beside_it(case: Path) -> None:
    assert golden.text(golden.findings(case)) == golden.expected_file(case).read_text(encoding="utf-8")


@pytest.mark.parametrize("case", golden.cases(), ids=lambda case: case.name)
def test_both_parsers_say_the_same(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML is built without libyaml on some machines."""
    monkeypatch.setattr(_yaml, "LOADER", yaml.SafeLoader)
    assert golden.text(golden.findings(case)) == golden.expected_file(case).read_text(encoding="utf-8")


def test_there_are_expectations_for_all_wrong_specs_and_for_nothing_else() -> None:
    assert {golden.expected_file(case) for case in golden.cases()} == set(golden.BAD.glob("*.expected"))
    assert len(golden.cases()) >= 100


def rules_of_the_page() -> set[str]:
    rows = PAGE.read_text(encoding="utf-8").split("| rule |")[1].split("\n\n")[0]
    return {rule for row in rows.splitlines()[2:] for rule in re.findall("`([a-z-]+)`", row.split("|")[1])}


def test_the_page_lists_each_rule_and_no_other() -> None:
    given = {
        rule
        for each in golden.BAD.glob("*.expected")
        for rule in re.findall(r"^tests/.*\[([a-z-]+)\]$", each.read_text(), re.M)
    }
    # Of these the tests beside this one tell: they take large files.
    elsewhere = {"too-many"}
    assert rules_of_the_page() == given | elsewhere


def names_in(value: Any) -> Iterator[str]:
    """Every key and every text of a schema or a spec: what a suggestion may name."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield str(key)
            yield from names_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from names_in(each)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("case", golden.cases(), ids=lambda case: case.name)
def test_each_suggested_name_exists(case: Path) -> None:
    known = {*names_in(spec.schema()), *KINDS, "images"}
    found = golden.findings(case)
    for file in [case] if case.is_file() else case.rglob("*.y*ml"):
        known.update(re.findall(r"[\w.-]+", file.read_bytes().decode("utf-8", "replace")))
    for finding in found:
        if suggested := re.fullmatch(r"did you mean (.+)\?", finding.hint):
            assert suggested[1] in known
        elif finding.hint.startswith("known: "):
            assert set(finding.hint.removeprefix("known: ").split(", ")) <= known
