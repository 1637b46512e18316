"""docs/reliability.md: the prose is written by hand, the rows are what the test run saw."""

from __future__ import annotations

from pathlib import Path

from tests.reliability.matrix import Cell

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
_BEGIN, _END = "<!-- matrix -->\n", "<!-- end -->\n"
HEAD = (
    "| point | fault there | left in AWS then | the next start | sent again | leftovers |\n|---|---|---|---|---|---|\n"
)


def rows() -> dict[tuple[str, str], str]:
    """The committed rows, by point and fault."""
    table = PAGE.read_text(encoding="utf-8").split(_BEGIN)[1].split(_END)[0]
    found = {}
    for line in table.splitlines():
        if line.startswith("| `"):
            point, fault = (part.strip(" `") for part in line.split("|")[1:3])
            found[point, fault] = line
    return found


def write(cells: list[Cell]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    head, rest = text.split(_BEGIN)
    table = "\n" + HEAD + "".join(f"{cell.row()}\n" for cell in cells) + "\n"
    PAGE.write_text(head + _BEGIN + table + _END + rest.split(_END)[1], encoding="utf-8")
