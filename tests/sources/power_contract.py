"""What every source promises of power, as tests: a part of `contract.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from rehost.sources import Consistency, Power, PowerImpossible, Quiesce, ServerNotFound
from tests.sources.harness import INITIAL, Harness, freeze, restored, whole


class PowerContract:
    harness_type: ClassVar[type[Harness]]

    @pytest.fixture
    def site(self, tmp_path: Path) -> Iterator[Harness]:
        harness = self.harness_type(tmp_path)
        yield harness
        harness.close()

    def test_power_is_known_or_said_to_be_unknown(self, site: Harness) -> None:
        assert (site.source.power(site.locator) is Power.UNKNOWN) is not site.has_power
        with pytest.raises(ServerNotFound):
            site.source.power(site.unknown)

    def test_a_source_without_power_says_so(self, site: Harness) -> None:
        source, locator = site.source, site.locator
        if site.has_power:
            return
        for act in (source.shut_down, source.power_off, source.pause, source.power_on):
            with pytest.raises(PowerImpossible, match="shut the server down yourself"):
                act(locator)
        assert any(concern.id.endswith("no-power") for concern in source.inspect(locator).concerns)

    @pytest.mark.needs("power")
    def test_off_and_on_and_each_twice(self, site: Harness) -> None:
        source, locator = site.source, site.locator
        source.power_on(locator)
        source.power_on(locator)
        assert source.power(locator) is Power.ON
        source.power_off(locator)
        source.power_off(locator)
        assert source.power(locator) is Power.OFF
        assert source.shut_down(locator) is False
        source.pause(locator)
        assert source.power(locator) is Power.OFF, "what is off was made to stand still"
        source.power_on(locator, to=Power.ON)
        assert source.power(locator) is Power.ON
        source.power_off(locator)
        assert list(site.made()) == site.left_by_power()

    @pytest.mark.needs("power", "pausing")
    def test_what_stands_still_goes_on(self, site: Harness) -> None:
        source, locator = site.source, site.locator
        source.power_on(locator)
        source.pause(locator)
        source.pause(locator)
        assert source.power(locator) is Power.PAUSED
        assert source.shut_down(locator) is False
        source.power_on(locator, to=Power.PAUSED)
        assert source.power(locator) is Power.PAUSED, "it was to stay as it is"
        source.power_on(locator)
        assert source.power(locator) is Power.ON
        source.power_off(locator)
        source.power_on(locator, to=Power.OFF)
        assert source.power(locator) is Power.OFF
        assert list(site.made()) == []

    @pytest.mark.needs("power")
    def test_the_point_in_time_of_a_server_that_is_off_is_offline(self, site: Harness) -> None:
        site.source.power_on(site.locator)
        site.source.power_off(site.locator)
        for quiesce in (Quiesce.TRY, Quiesce.REQUIRE) if site.can_require else (Quiesce.TRY,):
            frozen = site.source.freeze(site.locator, quiesce=quiesce, run=f"run-{quiesce}")
            assert frozen.consistency is Consistency.OFFLINE
            assert whole(frozen.disks[0]) == site.content(0)
            frozen.release()

    @pytest.mark.needs("power", "pausing")
    def test_a_server_that_stands_still_is_not_offline(self, site: Harness) -> None:
        site.source.power_on(site.locator)
        site.source.pause(site.locator)
        frozen = freeze(site)
        assert frozen.consistency is Consistency.CRASH
        frozen.release()

    # Looking whether something changed

    @pytest.mark.needs("looking")
    def test_looking_for_changes_tells_them_and_takes_nothing(self, site: Harness) -> None:
        if site.has_power:
            site.source.power_off(site.locator)
        first = freeze(site, run="run-1")
        since = {disk.key: disk.position for disk in first.disks}
        assert site.source.changed(site.locator, since) in (False, None), "while it stands"
        first.release()
        assert site.source.changed(site.locator, since) is False
        assert list(site.made()) == site.left_by_power()
        site.write(1, 4096, b"later")
        assert site.source.changed(site.locator, since) is True
        # The record of changes is as it was: the next run finds the very same.
        second = freeze(site, run="run-2")
        assert list(second.disks[0].extents(since[first.disks[0].key])) == []
        if site.tracks_changes:
            extents = list(second.disks[1].extents(since[second.disks[1].key]))
            assert restored(extents, second.disks[1], INITIAL[1]) == site.content(1)
        after = {disk.key: disk.position for disk in second.disks}
        second.release()
        assert site.source.changed(site.locator, after) is False

    def test_changes_since_something_else_are_not_known(self, site: Harness) -> None:
        for since in (
            {},
            {"nobody": "x"},
            dict.fromkeys((disk.key for disk in site.source.inspect(site.locator).disks), "x"),
        ):
            assert site.source.changed(site.locator, since) is None
