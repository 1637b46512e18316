"""CSV with a header. Cells know their place, and columns whether anybody asked for them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rehost.importers._errors import InventoryUnreadable
from rehost.importers._read import text_of
from rehost.importers._values import shown

MAX_ROWS = 200_000
MAX_COLUMNS = 1_000
#: Cells with something in them, of one table.
MAX_CELLS = 3_000_000
_DELIMITERS = ",;\t|"
#: What a spreadsheet would compute: a call, a reference to a cell, or a command. A line of equals signs is none.
_FORMULA = re.compile(r"[=@]\s*(\w[\w.]*\(|\$?[A-Z]{1,3}\$?\d|\w+\s*\||'|\()")


@dataclass(frozen=True)
class Row:
    """`where` is file:line, or file:sheet:row."""

    where: str
    cells: Mapping[str, str]  # by column, the empty ones left out

    def get(self, column: str) -> str:
        return self.cells.get(column, "")


@dataclass
class Table:
    path: str
    columns: Sequence[str]
    rows: list[Row]

    def column(self, name: str) -> str | None:
        """A column by its name, whatever its capitals."""
        folded = name.casefold()
        return next((each for each in self.columns if each.casefold() == folded), None)


def read_csv(path: Path, *, encoding: str = "utf-8", delimiter: str | None = None, known: Iterable[str] = ()) -> Table:
    """The whole table. Without a delimiter, it is the one by which the header has most of the `known` columns, then most columns.

    Raises InventoryUnreadable: no table, a cell without its closing quote, a column twice, a row longer than the header.
    """
    text = text_of(path, encoding)
    if delimiter is not None and len(delimiter) != 1:
        raise InventoryUnreadable(path=str(path), reason=f"the delimiter is one character, and {delimiter!r} is not")
    delimiter = delimiter or _delimiter(text, {each.casefold() for each in known})
    lines = _lines(path, text, delimiter)
    number, header = next(lines, (1, []))
    columns = [each.strip() for each in header]
    while columns and not columns[-1]:
        columns.pop()
    _check_header(path, number, columns)
    rows: list[Row] = []
    filled_cells = 0
    for number, cells in lines:
        if len(rows) >= MAX_ROWS:
            raise InventoryUnreadable(path=str(path), reason=f"it has more than {MAX_ROWS} rows; import it in parts")
        values = [each.strip() for each in cells]
        if any(values[len(columns) :]):
            reason = f"line {number} has {len(cells)} cells, and the header {len(columns)}: a cell with {delimiter!r} in it needs quotes"
            raise InventoryUnreadable(path=str(path), reason=reason)
        filled = {column: value for column, value in zip(columns, values, strict=False) if column and value}
        filled_cells += len(filled)
        if filled_cells > MAX_CELLS:
            raise InventoryUnreadable(path=str(path), reason=f"it has more than {MAX_CELLS} cells; import it in parts")
        if filled:
            rows.append(Row(f"{path.name}:{number}", filled))
    refuse_formulas(str(path), rows)
    return Table(str(path), columns, rows)


def refuse_formulas(path: str, rows: Iterable[Row]) -> None:
    """What it comes to is not in the file. Raises InventoryUnreadable with the first of them."""
    for row in rows:
        for column, value in row.cells.items():
            if value[0] in "=@" and _FORMULA.match(value):
                reason = f"{row.where} has a formula in the column {shown(column)}: save the file with values in place of formulas"
                raise InventoryUnreadable(path=path, reason=reason)


def _delimiter(text: str, known: set[str]) -> str:
    first = re.split(r"[\r\n]", text.lstrip(), maxsplit=1)[0]

    def worth(delimiter: str) -> tuple[int, int]:
        try:
            cells = next(csv.reader(io.StringIO(first), delimiter=delimiter), [])
        except csv.Error:
            return 0, 0
        return sum(each.strip().casefold() in known for each in cells), len(cells)

    return max(_DELIMITERS, key=worth)


def _lines(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        try:
            number, cells = reader.line_num + 1, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reason = f"line {reader.line_num} is not CSV: {error}"
            raise InventoryUnreadable(path=str(path), reason=reason) from None
        if any(each.strip() for each in cells):
            yield number, cells


def _check_header(path: Path, number: int, columns: Sequence[str]) -> None:
    if not any(columns):
        raise InventoryUnreadable(path=str(path), reason="it has no header: the first line names the columns")
    if len(columns) > MAX_COLUMNS:
        raise InventoryUnreadable(path=str(path), reason=f"it has more than {MAX_COLUMNS} columns")
    seen: set[str] = set()
    for each in columns:
        if each and each.casefold() in seen:
            reason = f"line {number} has the column {each[:80]!r} twice: which of them counts cannot be told"
            raise InventoryUnreadable(path=str(path), reason=reason)
        seen.add(each.casefold())


def require(table: Table, columns: Iterable[str], what: str) -> None:
    """Raises InventoryUnreadable where one of the columns is missing."""
    missing = [each for each in columns if table.column(each) is None]
    if missing:
        had = ", ".join(map(shown, table.columns[:12])) + (", ..." if len(table.columns) > 12 else "")
        reason = f"it is not {what}: it has no column {', '.join(missing)}. Its columns: {had}"
        raise InventoryUnreadable(path=table.path, reason=reason)
