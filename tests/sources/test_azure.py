"""The azure source, held to the contract: a machine of two disks, by restore points."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rehost.sources.azure import _client
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

    @pytest.fixture(autouse=True)
    def at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The stand-in's operations end as soon as they have begun."""
        monkeypatch.setattr(_client, "_POLL", (0.01, 1.0))

    @pytest.fixture
    def site(self, tmp_path: Path, cloud: AzureCloud) -> Iterator[Harness]:
        made = AzureHarness(tmp_path, cloud)
        yield made
        made.close()
