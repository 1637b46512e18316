"""What could not be carried over, as comments of the entries that it concerns; of what concerns many, once at the head of the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rehost.importers._draft import Draft, Entry
from rehost.importers._remarks import Kind, summaries

#: Of so many entries, the same comment in each of them hides what is particular to one.
_MANY = 20
_TOLD = {Kind.NOT_CARRIED: "Not carried over", Kind.CHANGED: "Changed"}


def annotate(draft: Draft, entries: Mapping[str, Sequence[Entry]]) -> None:
    """`entries` are by subject of the remarks. No values: what has no place in a spec may not be for everybody to read."""
    of_all: list[str] = []
    fields: dict[tuple[int, Kind, str], list[str]] = {}
    concerned: dict[int, Entry] = {}
    for each in summaries(draft.remarks):
        if each.kind not in _TOLD or each.field == "name":  # a new name is a comment already
            continue
        if not each.subjects or len(each.subjects) > _MANY:
            of = f", of {len(each.subjects)} entries" if each.subjects else ""
            of_all.append(f"{_TOLD[each.kind]}{of}: {_line(each.field, each.reason)}")
            continue
        for entry in (entry for subject in each.subjects for entry in entries.get(subject, ())):
            if not any(each.reason in text for text in entry.comments):
                concerned[id(entry)] = entry
                fields.setdefault((id(entry), each.kind, each.reason), []).append(each.field)
    for (key, kind, reason), names in fields.items():
        concerned[key].comments.append(f"{_TOLD[kind]}: {_line(', '.join(dict.fromkeys(filter(None, names))), reason)}")
    draft.header += of_all


def _line(field: str, reason: str) -> str:
    return f"{field}: {reason}" if field else reason
