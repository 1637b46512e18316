"""The registry of concerns against what the code says, and the page against the registry."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from rehost.concerns import ABOUT, KINDS, SEVERITIES
from rehost.preflight.__main__ import render

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "preflight.md"


def ids_in(folder: Path, name: str) -> Iterator[str]:
    """The first argument of each call of `name`."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == name and node.args:
                first = node.args[0]
                yield from [str(first.value)] if isinstance(first, ast.Constant) else []


def test_each_concern_of_a_source_is_registered() -> None:
    found = set(ids_in(ROOT / "rehost" / "sources", "Concern"))
    assert len(found) > 20
    assert found - KINDS.keys() == set()


def test_each_concern_of_preflight_is_registered() -> None:
    found = set(ids_in(ROOT / "rehost" / "preflight", "Raw"))
    assert len(found) > 25
    assert found - KINDS.keys() == set()


def test_no_registered_concern_is_made_up() -> None:
    text = "".join(path.read_text("utf-8") for path in (ROOT / "rehost").rglob("*.py") if path.name != "concerns.py")
    # Of a branch that is not merged here yet.
    assert {each for each in KINDS if f'"{each}"' not in text} <= {"images-no-power"}


def test_each_says_what_it_means_and_what_to_do() -> None:
    for each in KINDS.values():
        assert each.about in ABOUT
        assert each.severity in SEVERITIES
        assert each.meaning
        assert each.remedy


def test_the_page_is_made_from_the_registry() -> None:
    assert render(PAGE.read_text("utf-8")) == PAGE.read_text("utf-8"), "run python -m rehost.preflight"
