"""The azure source, held to the contract: a machine of two disks, by restore points, and one that is off, by snapshots."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.azure import AzureCloud
from tests.sources.azure import AzureHarness, built
from tests.sources.contract import SourceContract
from tests.sources.harness import Harness


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureCloud]:
    with AzureCloud(tmp_path_factory.mktemp("azure"), built()) as running:
        yield running


class TestAzure(SourceContract):
    harness_type = AzureHarness

    @pytest.fixture
    def site(self, tmp_path: Path, cloud: AzureCloud) -> Iterator[Harness]:
        made = AzureHarness(tmp_path, cloud)
        yield made
        made.close()
