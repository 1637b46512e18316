"""What is wrong with a spec, each with the place where it stands.

RehostError
└── SpecErrors   all findings of all files at once
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from rehost.errors import RehostError

#: Of one stage, for one file or for all of them: nobody reads more, and a hostile file could have a million.
MAX_ERRORS = 1000

#: So many names are still worth listing where none is near.
_FEW = 12
#: Up to so many, a word is compared with each of them.
_MANY = 40
#: No name of the spec is longer.
_LONG = 100


@dataclass(frozen=True, order=True)
class Position:
    """Line and column count from 1; `path` is relative to the project, with slashes."""

    path: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


@dataclass(frozen=True, order=True)
class Finding:
    """They sort as they stand in the files."""

    path: str
    line: int
    column: int
    message: str
    hint: str = ""
    severity: str = "error"  # or "warning"
    rule: str = "syntax"  # stable; docs/spec.md lists them

    def __post_init__(self) -> None:
        # What stands in a file must not steer the terminal that its errors are printed on.
        object.__setattr__(self, "message", visible(self.message))
        object.__setattr__(self, "hint", visible(self.hint))

    @classmethod
    def at(cls, where: Position, rule: str, message: str, hint: str = "", *, severity: str = "error") -> Finding:
        return cls(where.path, where.line, where.column, message, hint, severity, rule)

    @property
    def position(self) -> Position:
        return Position(self.path, self.line, self.column)

    @property
    def is_error(self) -> bool:
        return self.severity == "error"

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        warning = "" if self.is_error else "warning: "
        return f"{visible(str(self.position))}: {warning}{self.message}{hint}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def visible(text: str) -> str:
    """The text on one line, with nothing in it that a terminal would act upon."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape", "surrogatepass").decode("ascii") for each in text
    )


def too_many(where: Position) -> Finding:
    message = f"there are more than {MAX_ERRORS} errors of this kind"
    return Finding.at(where, "too-many", message, "correct some, and see the rest")


def bounded(findings: Iterable[Finding]) -> Iterator[Finding]:
    """At most MAX_ERRORS errors of what may be endless, and all of the warnings before the last of them.

    A finding of what a thousand entries have from one place is one.
    """
    errors = 0
    seen: set[Finding] = set()
    for each in findings:
        if each in seen:
            continue
        seen.add(each)
        errors += each.is_error
        if errors > MAX_ERRORS:
            yield too_many(each.position)
            return
        yield each


class SpecErrors(RehostError):
    """The spec cannot be used. `findings` holds everything that was found, warnings included."""

    template = "{text}"

    def __init__(self, findings: Sequence[Finding] = (), text: str = "") -> None:
        super().__init__(findings=tuple(findings), text=text or "\n".join(map(str, findings)))


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known name that `word` was probably meant to be."""
    return _closest(word, tuple(sorted(known)))


@lru_cache(maxsize=4096)
def _closest(word: str, names: tuple[str, ...]) -> str | None:
    if len(word) > _LONG:
        return None
    wanted = word.casefold()
    if len(names) <= _MANY:
        folded = {name.casefold(): name for name in reversed(names)}
    else:
        index = _index(names)
        folded = {index[variant].casefold(): index[variant] for variant in _variants(wanted) if variant in index}
    found = difflib.get_close_matches(wanted, folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else None


@lru_cache(maxsize=16)
def _index(names: tuple[str, ...]) -> dict[str, str]:
    """Among many names, the nearest one is that which equals the word once each lacks at most one letter.

    It costs a look-up a letter of the word, where comparing it with each name would cost seconds for a thousand words.
    """
    index: dict[str, str] = {}
    for name in names:
        for variant in _variants(name.casefold()):
            index.setdefault(variant, name)
    return index


def _variants(word: str) -> set[str]:
    return {word, *(word[:place] + word[place + 1 :] for place in range(len(word)))}


def nearest(word: str, known: Iterable[str]) -> str:
    """`did you mean X?`; where no name is near, what there is, if that is few."""
    names = sorted(known)
    found = closest(word, names)
    if found is not None:
        return f"did you mean {found}?"
    return f"known: {', '.join(names)}" if 0 < len(names) <= _FEW else ""


def shown(text: object, limit: int = 60) -> str:
    """As Python writes it, cut: a finding is one line, whatever stands in the file."""
    written = repr(text)
    return written if len(written) <= limit else f"{written[: limit - 3]}..."


def short(name: str) -> str:
    """A name as it stands where it is ordinary; otherwise as `shown`."""
    return name if name.isprintable() and 0 < len(name) <= 120 else shown(name)
