"""Names that a spec takes, as near to those of another tool as can be."""

from __future__ import annotations

import re
from collections.abc import Iterable

_LONGEST = 100


class Names:
    """The names of one section. Each is given once, also beside those that are `taken` already."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)

    def give(self, wanted: str, *, otherwise: str) -> str:
        """`wanted`, where it is a name that is free; else one made of it. `otherwise` where nothing of it can stand."""
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", wanted).strip("-._")[:_LONGEST] or otherwise
        name, number = plain, 1
        while name in self._taken:
            number += 1
            ending = f"-{number}"
            name = plain[: _LONGEST - len(ending)] + ending
        self._taken.add(name)
        return name
