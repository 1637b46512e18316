"""Packages whose modules are imported when a name of theirs is first used: PEP 562.

The AWS SDK and SQLAlchemy take a second to import together, which `rehost status` and the program of an estate have no use for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def names_of(package: str, homes: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """The `__getattr__` of a package: `homes` has the names by the module, within the package, that they stand in."""
    home = {name: module for module, names in homes.items() for name in names}

    def __getattr__(name: str) -> Any:  # noqa: N807 - what Python asks the package for
        if name not in home:
            message = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(message)
        return getattr(import_module(f"{package}.{home[name]}"), name)

    return __getattr__
