"""The vsphere source, held to the contract, over HTTPS and by export."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import VSphere
from tests.sources.contract import SourceContract
from tests.sources.harness import Harness
from tests.sources.vcenter import VCenterHarness, built, harness


@pytest.fixture(scope="module")
def vcenter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VSphere]:
    with VSphere(tmp_path_factory.mktemp("vcenter"), built()) as simulated:
        yield simulated


class VSphereContract(SourceContract):
    transport: str

    @pytest.fixture
    def site(self, tmp_path: Path, vcenter: VSphere) -> Iterator[Harness]:
        made = harness(self.transport)(tmp_path, vcenter)
        yield made
        made.close()


class TestAuto(VSphereContract):
    """HTTPS, but where a run finds the snapshot of another one: then by export."""

    harness_type = VCenterHarness
    transport = "auto"


class TestExport(VSphereContract):
    harness_type = VCenterHarness
    transport = "export"
