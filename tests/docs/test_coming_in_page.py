"""docs/coming-in.md against the columns, commands and kinds that there are."""

from __future__ import annotations

import re
from pathlib import Path

from rehost.importers import TOOLS, Kind, Options, import_inventory, read_mapping
from rehost.importers._cmf import KNOWN
from rehost.importers._mgn_columns import EXPORTED
from rehost.importers._sms import _KINDS
from tests.importers.conftest import NOW

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "coming-in.md").read_text("utf-8")


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def names(text: str) -> set[str]:
    """What stands in code in the first cells of a section's tables."""
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_each_tool_and_kind_is_there() -> None:
    assert set(re.findall(r"^rehost import (\w+) ", PAGE, re.MULTILINE)) == TOOLS.keys()
    assert names(section("What holds for all of them")) == set(Kind)


def test_each_column_of_the_factory_has_a_row() -> None:
    internal = {"app_id", "app_ids", "server_id", "server_os"}  # the factory's own ids; forms of its first version
    assert names(section("Cloud Migration Factory")) == KNOWN - internal


def test_each_column_of_mgn_has_a_row() -> None:
    found = {each for each in names(section("MGN")) if each.startswith("mgn:")}
    assert set(EXPORTED) <= found
    assert len(found) == len(EXPORTED) + 8, "and those whose names vary"


def test_each_command_of_sms_has_a_row() -> None:
    assert len(names(section("SMS"))) == 9
    assert len(set(_KINDS.values())) == 9


def test_the_pages_mapping_works(tmp_path: Path) -> None:
    [text] = re.findall(r"^```yaml\n(.*?)^```", section("Any table"), re.MULTILINE | re.DOTALL)
    (tmp_path / "mapping.yaml").write_text(text)
    mapping = read_mapping(tmp_path / "mapping.yaml")
    columns = [*mapping.columns.values(), *mapping.ignored]
    values = {
        "VM UUID": "5039b1b2-1b0f-4f0c-8c5e-2c9d1a7a4d10",
        "Size": "m7i.large",
        "Subnet": "subnet-1",
        "Encrypted": "yes",
    }
    rows = [columns, [values.get(each, each.replace(" ", "-")) for each in columns]]
    assert mapping.delimiter == ";"
    (tmp_path / "cmdb.csv").write_text("".join(";".join(row) + "\n" for row in rows), mapping.encoding)
    options = Options(now=NOW, columns=mapping.columns, ignored=mapping.ignored, delimiter=mapping.delimiter)
    made = import_inventory("csv", [tmp_path / "cmdb.csv"], options, folder=tmp_path / "specs", stem="in")
    assert (made.servers, made.applications, made.waves) == (1, 1, 1)
    assert [each for each in made.remarks if each.kind is Kind.NOT_CARRIED] == []
