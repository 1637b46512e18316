"""What is wrong with a spec, each with the place where it stands.

RehostError
└── SpecErrors   all findings of all files at once
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rehost.errors import RehostError


@dataclass(frozen=True, order=True)
class Position:
    """Line and column count from 1; `path` is relative to the project."""

    path: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


@dataclass(frozen=True, order=True)
class Finding:
    position: Position
    message: str
    rule: str  # stable, e.g. unknown-key
    hint: str = ""
    severity: str = "error"  # or warning

    @property
    def is_error(self) -> bool:
        return self.severity == "error"

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        warning = "" if self.is_error else "warning: "
        return f"{self.position}: {warning}{self.message}{hint}"

    def as_dict(self) -> dict[str, Any]:
        values = asdict(self)
        return {**values.pop("position"), **values}


class SpecErrors(RehostError):
    """The spec cannot be used. `findings` holds everything that was found."""

    template = "{text}"

    def __init__(self, findings: Sequence[Finding] = (), text: str = "") -> None:
        super().__init__(findings=tuple(findings), text=text or "\n".join(map(str, findings)))


def nearest(word: str, known: Iterable[str]) -> str:
    """`did you mean X?` for the nearest known name; what there is, where none is near and they are few."""
    names = sorted(map(str, known))
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"known: {', '.join(names)}" if 0 < len(names) <= 12 else ""
