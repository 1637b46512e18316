"""What a person has to know of an import: everything that did not go into the spec as it stood in the inventory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The gravest first."""

    LEFT_OUT = "left out"  # a server, an application or a wave that is not in the spec
    NOT_CARRIED = "not carried over"  # a value that has no place in the spec, or does not fit there
    CHANGED = "changed"  # it is there in another form
    ASSUMED = "assumed"  # the inventory does not say it, and something has to stand there
    NOTE = "note"


@dataclass(frozen=True)
class Remark:
    """`subject` is a server, an application or a wave; empty where it is about the whole inventory."""

    kind: Kind
    reason: str
    subject: str = ""
    field: str = ""
    value: str = ""
    where: str = ""  # file:row, or file and the place in it

    def as_dict(self) -> dict[str, str]:
        return {
            "kind": self.kind.value,
            "subject": self.subject,
            "field": self.field,
            "value": self.value,
            "reason": self.reason,
            "where": self.where,
        }


@dataclass(frozen=True)
class Summary:
    """One remark for all that it is true of."""

    kind: Kind
    field: str
    reason: str
    subjects: Sequence[str]
    values: Sequence[str]


def summaries(remarks: Iterable[Remark]) -> list[Summary]:
    """What many servers have in common, once; the gravest kinds first."""
    found: dict[tuple[Kind, str, str], tuple[dict[str, None], dict[str, None]]] = {}
    for each in remarks:
        subjects, values = found.setdefault((each.kind, each.field, each.reason), ({}, {}))
        if each.subject:
            subjects[each.subject] = None
        if each.value:
            values[each.value] = None
    made = [Summary(*key, list(subjects), list(values)) for key, (subjects, values) in found.items()]
    return sorted(made, key=lambda each: list(Kind).index(each.kind))
