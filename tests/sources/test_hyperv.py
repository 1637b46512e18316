"""The hyperv source, held to the contract: against the stand-in for a Windows host, with its disks on Samba."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sources.contract import SourceContract
from tests.sources.harness import Harness
from tests.sources.hyperv import HyperVHarness, Rack, racked


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rack]:
    with racked(tmp_path_factory.mktemp("rack")) as made:
        yield made


class TestHyperV(SourceContract):
    harness_type = HyperVHarness

    @pytest.fixture
    def site(self, tmp_path: Path, rack: Rack) -> Iterator[Harness]:
        made = HyperVHarness(tmp_path, rack)
        yield made
        made.close()
