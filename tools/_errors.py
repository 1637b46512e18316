"""The one error of the tools: it is shown to a person, without a traceback.

It does not derive from `rehost.errors.RehostError`: set-up runs where nothing is installed, without the product.
"""

from __future__ import annotations

from collections.abc import Sequence


class SetupError(Exception):
    """What went wrong, and lines that say more or what to do about it."""

    def __init__(self, *, what: str, todo: Sequence[str] = ()) -> None:
        super().__init__(what)
        self.what = what
        self.todo = tuple(todo)

    def __str__(self) -> str:
        return "\n".join([self.what, *(f"  {line}" for line in self.todo)])
