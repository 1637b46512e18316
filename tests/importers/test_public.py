"""What the package promises: its names, and errors that survive pickle."""

from __future__ import annotations

import pickle

import pytest

from rehost import importers
from rehost.importers import InventoryError, InventoryUnreadable, InventoryWrong, NothingToImport

PUBLIC = """
TOOLS Imported InventoryError InventoryUnreadable InventoryWrong Kind Mapping NothingToImport Options Remark Summary import_inventory is_of
read_mapping summaries
"""
ERRORS: list[InventoryError] = [
    InventoryUnreadable(path="a.csv", reason="it is empty"),
    InventoryWrong(["a.csv:2: one", "a.csv:3: two"]),
    NothingToImport(reason="the form holds no servers"),
]


def test_the_public_names() -> None:
    assert importers.__all__ == PUBLIC.split()
    assert all(hasattr(importers, name) for name in importers.__all__)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_survive_pickle(error: InventoryError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.attributes) == (str(error), error.attributes)
