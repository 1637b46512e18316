"""From files of another tool to files of a spec, and everything that was not taken over."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rehost.importers._assemble import draft_of, existing_in
from rehost.importers._cmf import read_cmf
from rehost.importers._draft import Draft
from rehost.importers._errors import InventoryWrong
from rehost.importers._inventory import Inventory, Options
from rehost.importers._mapped import read_mapped
from rehost.importers._mgn import read_mgn
from rehost.importers._remarks import Kind, Remark, summaries
from rehost.importers._rvtools import read_rvtools
from rehost.importers._sms import read_sms
from rehost.importers._written import written
from rehost.text import named

#: What each tool's files are read with.
TOOLS: Mapping[str, Callable[[Sequence[Path], Options], Inventory]] = {
    "sms": read_sms,
    "mgn": read_mgn,
    "cmf": read_cmf,
    "rvtools": read_rvtools,
    "csv": read_mapped,
}


@dataclass(frozen=True)
class Imported:
    """`files` by name: a spec takes them as they are. Counts are of live entries; `left_out` are servers written as comments."""

    files: Mapping[str, str]
    remarks: Sequence[Remark]
    warnings: Sequence[str]
    servers: int
    applications: int
    waves: int
    left_out: int


def import_inventory(tool: str, files: Sequence[Path], options: Options, *, folder: Path, stem: str) -> Imported:
    """Read an inventory, and write a spec of it, without touching anything.

    `folder` is that of the spec which it is for: its names are not given again, its machines not taken over twice, and
    `options.source` is one of its sources. What a former import under this `stem` wrote there does not count. Raises InventoryUnreadable, InventoryWrong, NothingToImport.
    """
    existing = existing_in(folder, replaced=lambda name: is_of(stem, name))
    if options.source is not None:
        if options.source not in existing.sources:
            known = ", ".join(sorted(existing.sources)) or "none"
            raise InventoryWrong(
                [
                    f"the spec in {folder} has no source {options.source}; known: {known}. Without --source one is written"
                ]
            )
        options = replace(options, source_type=str(existing.sources[options.source]["type"]))
    inventory = TOOLS[tool](files, options)
    draft = draft_of(inventory, options, existing)
    draft.header[:0] = _header(tool, files, draft)
    made = written(draft, existing, stem=stem)
    return Imported(
        files=made.files,
        remarks=tuple(draft.remarks),
        warnings=made.warnings,
        servers=len(draft.live("servers")),
        applications=len(draft.live("applications")),
        waves=len(draft.live("waves")),
        left_out=len(draft.entries["servers"]) - len(draft.live("servers")),
    )


def is_of(stem: str, name: str) -> bool:
    """Whether a file was written by an import under this name: an estate may take several."""
    return re.fullmatch(rf"{re.escape(stem)}(-\d+)?\.yaml", name) is not None


def _header(tool: str, files: Sequence[Path], draft: Draft) -> list[str]:
    sources = named((each.name for each in files), 10)
    lines = [
        f"Made by `rehost import {tool}` from {sources}. Review it: what did not fit is a comment, and in the table that the command printed.",
        "Every application is in phase replicate: nothing is launched, and no source is touched, before somebody changes that.",
    ]
    assumed = [each.reason for each in summaries(draft.remarks) if each.kind is Kind.ASSUMED]
    return lines + [f"Assumed: {each}" for each in dict.fromkeys(assumed)]
