"""An import as a user runs it, and what `rehost validate` makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rehost import spec
from rehost.importers import Imported, Options, import_inventory

DATA = Path(__file__).parent / "data"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Came:
    """What was imported, and the estate that its files declare."""

    made: Imported
    estate: spec.Estate
    text: str

    def reasons(self, kind: str, subject: str | None = None) -> dict[str, str]:
        """By field, of the remarks of one kind."""
        return {
            each.field: each.reason
            for each in self.made.remarks
            if each.kind == kind and subject in (None, each.subject)
        }


Import = Callable[..., Came]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "migration_specs"


@pytest.fixture
def come_in(folder: Path) -> Import:
    """Import files, given by path or by the name of one in `data`, into `folder`, whose spec has to be valid afterwards."""

    def run(tool: str, *files: Path | str, stem: str = "in", **options: Any) -> Came:
        paths = [DATA / each if isinstance(each, str) else each for each in files]
        made = import_inventory(tool, paths, Options(now=NOW, **options), folder=folder, stem=stem)
        write(folder, made.files)
        return Came(made, spec.load(folder), "".join(made.files.values()))

    return run


def write(folder: Path, files: Mapping[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
