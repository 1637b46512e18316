"""
RehostError
└── InventoryError
    ├── InventoryUnreadable   a file cannot be read, or is not what it should be
    ├── InventoryWrong        what it holds cannot be used: every problem at once
    └── NothingToImport       it holds no server
"""

from __future__ import annotations

from collections.abc import Sequence

from rehost.errors import RehostError


class InventoryError(RehostError):
    """An inventory of another tool cannot be taken over. A retry does not help; nothing was written."""


class InventoryUnreadable(InventoryError):
    """Attributes: `path`, `reason` (with what to do)."""

    template = "{path}: {reason}"


class InventoryWrong(InventoryError):
    """`problems` has each with its place; the message is all of them, a line each."""

    template = "{text}"

    def __init__(self, problems: Sequence[str] = (), text: str = "") -> None:
        super().__init__(problems=tuple(problems), text=text or "\n".join(problems))


class NothingToImport(InventoryError):
    """Attribute: `reason`."""

    template = "{reason}"
