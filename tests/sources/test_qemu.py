"""What the `qemu` source adds to the contract."""

from __future__ import annotations

import pytest

from rehost.sources import SourceUnavailable
from tests.sources.contract import SourceContract
from tests.sources.harness import INITIAL, Harness, freeze, whole
from tests.sources.qemu import QemuHarness


class TestQemu(SourceContract):
    harness_type = QemuHarness

    def test_release_leaves_nothing_and_may_be_repeated(self, site: Harness) -> None:
        """QEMU keeps one point in time at once: a second run is told so, and spoils nothing."""
        frozen = freeze(site)
        with pytest.raises(SourceUnavailable, match="run run-1 is copying it"):
            freeze(site, run="run-2")
        assert whole(frozen.disks[0]) == INITIAL[0]
        frozen.check()
        frozen.release()
        frozen.release()
        assert list(site.made()) == []

    def test_a_server_that_is_being_copied_looks_as_it_did(self, site: Harness) -> None:
        """`pulumi preview` inspects it while a run is under way."""
        before = site.source.inspect(site.locator)
        frozen = freeze(site)
        assert site.source.inspect(site.locator) == before
        frozen.release()
