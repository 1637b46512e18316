"""Sheets of an xlsx workbook, as tables. It is a zip of XML that came by mail: nothing in it is believed before it is counted."""

from __future__ import annotations

import io
import warnings
import zipfile
import zlib
from collections.abc import Container, Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any
from xml.parsers import expat

from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from rehost.importers._errors import InventoryUnreadable
from rehost.importers._read import content_of
from rehost.importers._table import MAX_CELLS, MAX_ROWS, Row, Table, refuse_formulas

#: Unpacked, of all parts together and of the list of all texts, which openpyxl holds in memory whole.
MAX_UNPACKED = 1 << 30
MAX_TEXTS = 64 << 20
#: Of each other part that openpyxl reads whole: styles, relations and the like.
MAX_PART = 8 << 20
_MAX_PARTS = 2_000
_MAX_COLUMNS = 400
_SHEETS = 64
#: What a damaged or hostile workbook makes the libraries below raise.
_DAMAGED = (
    OSError, zipfile.BadZipFile, zlib.error, InvalidFileException, expat.ExpatError, SyntaxError, ValueError, KeyError, TypeError,
    IndexError, AttributeError, OverflowError, EOFError, RecursionError, NotImplementedError, UnicodeError, AssertionError,
)  # fmt: skip


class Workbook:
    """Opened read-only. Raises InventoryUnreadable, here and while it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        content = io.BytesIO(content_of(path))
        try:
            _count(path, content)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of styles and extensions, which nobody reads here
                self._book = load_workbook(content, read_only=True, data_only=False, keep_links=False)
            self.sheets: Sequence[str] = [str(each) for each in self._book.sheetnames]
        except _DAMAGED as error:
            raise _damaged(path, error) from error
        if len(self.sheets) > _SHEETS:
            raise InventoryUnreadable(path=str(path), reason=f"it has more than {_SHEETS} sheets")

    def table(self, sheet: str, wanted: Container[str] | None = None) -> Table | None:
        """A sheet whose first row names the columns; None where there is no such sheet, or nothing in it.

        Only the `wanted` columns are kept, where they are given: a sheet of disks can have more cells than all else.
        """
        if sheet not in self.sheets:
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self._read(sheet, wanted)
        except InventoryUnreadable:
            raise
        except _DAMAGED as error:
            raise _damaged(self.path, error) from error

    def _read(self, sheet: str, wanted: Container[str] | None) -> Table | None:
        rows = self._rows(sheet)
        columns = [_text(each) for each in next(rows, (0, ()))[1]]
        while columns and not columns[-1]:
            columns.pop()
        if not columns:
            return None
        if len(columns) > _MAX_COLUMNS:
            raise InventoryUnreadable(path=str(self.path), reason=f"sheet {sheet} has more than {_MAX_COLUMNS} columns")
        found: list[Row] = []
        count = 0
        for number, values in rows:
            cells = {
                column: text
                for column, value in zip(columns, values, strict=False)
                if column and (wanted is None or column in wanted) and (text := _text(value))
            }
            count += len(cells)
            if count > MAX_CELLS:
                reason = f"sheet {sheet} has more than {MAX_CELLS} cells; export it in parts"
                raise InventoryUnreadable(path=str(self.path), reason=reason)
            if cells:
                found.append(Row(f"{self.path.name}:{sheet}:{number}", cells))
        refuse_formulas(str(self.path), found)
        return Table(f"{self.path}:{sheet}", columns, found)

    def _rows(self, sheet: str) -> Iterator[tuple[int, Sequence[Any]]]:
        opened: Any = self._book[sheet]
        opened.reset_dimensions()  # what a workbook says of its size may be wrong, and would be believed
        for number, values in enumerate(opened.iter_rows(max_col=_MAX_COLUMNS + 1, values_only=True), 1):
            if number > MAX_ROWS:
                raise InventoryUnreadable(path=str(self.path), reason=f"sheet {sheet} has more than {MAX_ROWS} rows")
            yield number, values

    def close(self) -> None:
        self._book.close()


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value).strip()


def _count(path: Path, content: io.BytesIO) -> None:
    """Sizes as the zip's directory has them, and zipfile reads no further than that; a document type in no part."""
    with zipfile.ZipFile(content) as archive:
        parts = archive.infolist()
        if len(parts) > _MAX_PARTS:
            raise InventoryUnreadable(path=str(path), reason=f"it has {len(parts)} parts: that is no workbook")
        if any(each.flag_bits & 1 for each in parts):
            raise InventoryUnreadable(path=str(path), reason="it is encrypted; save it without a password")
        unpacked = sum(each.file_size for each in parts)
        texts = [each.file_size for each in parts if each.filename.endswith("sharedStrings.xml")]
        others = [each.file_size for each in parts if _is_read_whole(each.filename)]
        if unpacked > MAX_UNPACKED or sum(texts) > MAX_TEXTS or max(others, default=0) > MAX_PART:
            reason = (
                f"it unpacks to {unpacked >> 20} MiB: that is no workbook, or too large for one; export it in parts"
            )
            raise InventoryUnreadable(path=str(path), reason=reason)
        for each in parts:
            if each.filename.endswith((".xml", ".rels")):
                with archive.open(each) as part:
                    _refuse_document_type(path, part.read(65_536))
    content.seek(0)


def _is_read_whole(name: str) -> bool:
    return (
        name.endswith((".rels", "[Content_Types].xml", "workbook.xml", "styles.xml", "core.xml", "custom.xml"))
        or "theme" in name
    )


def _refuse_document_type(path: Path, head: bytes) -> None:
    """It stands before the first element, and only there; entities, of which few can become millions, are declared within."""

    def refuse(*_: Any) -> None:
        raise InventoryUnreadable(path=str(path), reason="a part of it declares a document type: that is no workbook")

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(head, False)
    except expat.ExpatError:
        return  # openpyxl says what is wrong, if it reads that part at all


def _damaged(path: Path, error: BaseException) -> InventoryUnreadable:
    if isinstance(error, zipfile.BadZipFile):
        reason = "it is not an xlsx workbook; in Excel, save it as .xlsx (RVTools: Export all to Excel)"
    else:
        reason = f"the workbook is damaged: {type(error).__name__}"
    return InventoryUnreadable(path=str(path), reason=reason)
