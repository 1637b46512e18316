"""What tests of several parts need."""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis
import pytest

from sandbox import Sandbox

# No example is timed: on a busy machine hypothesis's 200 ms say nothing of the code. Speed is measured by `make bench`.
hypothesis.settings.register_profile("rehost", deadline=None)
hypothesis.settings.load_profile("rehost")


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One sandbox process a test worker. Tests tell their things apart by a stack name of their own, and clear their faults."""
    with Sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running
