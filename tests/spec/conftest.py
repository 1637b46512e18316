"""What a developer's own shell says of stacks is no part of a test."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PULUMI_STACK", raising=False)
