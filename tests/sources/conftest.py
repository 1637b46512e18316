"""Tests of the contract that a platform cannot be held to are not collected for it."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    beyond = [item for item in items if _lacking(item)]
    if beyond:
        config.hook.pytest_deselected(items=beyond)
        items[:] = [item for item in items if item not in beyond]


def _lacking(item: pytest.Item) -> bool:
    harness = getattr(getattr(item, "cls", None), "harness_type", None)
    wanted = {name for mark in item.iter_markers("needs") for name in mark.args}
    return harness is not None and not wanted.isdisjoint(harness.lacks())
