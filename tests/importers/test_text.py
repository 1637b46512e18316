"""Whatever another tool calls its machines: it reads back as it was, and never becomes YAML of its own."""

from __future__ import annotations

import csv
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rehost import spec
from rehost.importers import InventoryError, Options, import_inventory
from rehost.importers._names import Names
from rehost.importers._text import comment, flow, scalar
from rehost.spec._yaml import parse

from .conftest import Import, write

ODD = [
    "yes",
    "a: b",
    "# x",
    "'",
    "- a",
    "{x}",
    "1e3",
    "0x1f",
    "1:30",
    "~",
    "null",
    "a\nb: c",
    "é" * 200,
    "*a",
    "&a",
    "<<",
    "%",
    "!!str",
    "\u2028x",
    "1",
    "${stack}",
    "$${config:x} ${",
]
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="$"), max_size=60)


@given(
    value=st.recursive(
        st.one_of(texts, st.booleans(), st.integers(-999, 999)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(st.text("abcé :#-", min_size=1, max_size=9), inner, max_size=3)
        ),
        max_leaves=6,
    )
)
@settings(max_examples=200, deadline=None)
def test_values_read_back_as_they_were(value: object) -> None:
    document = parse(f"key: {flow(value)}\n".encode(), "x.yaml")
    assert document.findings == []
    assert document.data == {"key": value}


@given(text=st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_a_comment_stays_a_comment(text: str) -> None:
    lines = comment(text, 2)
    document = parse(("\n".join(lines) + "\nkey: 1\n").encode(), "x.yaml")
    assert document.findings == []
    assert document.data == {"key": 1}


def test_half_a_letter_is_not_written() -> None:
    assert scalar("a\ud800b") == '"a?b"'


@given(names=st.lists(st.text(max_size=150), max_size=20))
@settings(max_examples=100, deadline=None)
def test_names_are_valid_and_there_once(names: list[str]) -> None:
    giver = Names(["server"])
    given_names = [giver.give(each, otherwise="server") for each in names]
    assert len({*given_names, "server"}) == len(names) + 1
    pattern = spec.schema()["$defs"]["name"]["pattern"]
    for each in given_names:
        assert re.fullmatch(pattern, each), each


@pytest.mark.parametrize("order", [1, -1])
def test_odd_names_stay_in_their_entries(come_in: Import, tmp_path: Path, order: int) -> None:
    file = tmp_path / "odd.csv"
    with file.open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["name", "app", "wave", "note"])
        rows.writerows([[each, each, each, each] for each in ODD[::order]])
    came = come_in("csv", file, columns={"server": "name", "application": "app", "wave": "wave", "tags.note": "note"})
    known = {each.strip() for each in ODD}
    assert {str(each.locator["name"]) for each in came.estate.servers.values()} == known
    assert {each.tags["note"] for each in came.estate.servers.values()} == known
    assert len(came.estate.applications) == len(came.estate.waves) == len(ODD)


@given(
    content=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode("utf-8", "ignore"))),
    tool=st.sampled_from(["sms", "mgn", "cmf", "rvtools", "csv"]),
)
@settings(max_examples=150, deadline=None)
def test_no_file_makes_more_than_an_error_of_ours(
    content: bytes, tool: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "file").write_bytes(content)
    options = Options(now=datetime(2026, 1, 1, tzinfo=UTC), columns={"server": "a"} if tool == "csv" else {})
    try:
        made = import_inventory(tool, [folder / "file"], options, folder=folder / "specs", stem="in")
    except InventoryError:
        return
    write(folder / "specs", made.files)
    assert spec.check(folder / "specs")[0] is not None


cells = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)


@given(rows=st.lists(st.lists(cells, min_size=10, max_size=10), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_any_form_makes_a_valid_spec(rows: list[list[str]], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Cells of any text, in a form whose columns are right."""
    folder = tmp_path_factory.mktemp("form")
    head = [
        "server_name",
        "app_name",
        "wave_name",
        "server_tier",
        "instanceType",
        "subnet_IDs",
        "tags",
        "iamRole",
        "server_os_family",
        "ebs_kms_key_id",
    ]
    with (folder / "form.csv").open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([head, *rows])
    try:
        made = import_inventory(
            "cmf",
            [folder / "form.csv"],
            Options(now=datetime(2026, 1, 1, tzinfo=UTC)),
            folder=folder / "specs",
            stem="in",
        )
    except InventoryError:
        return
    write(folder / "specs", made.files)
    estate, findings = spec.check(folder / "specs")
    assert estate is not None, [str(each) for each in findings]
