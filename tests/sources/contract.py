"""What every source promises (`rehost/sources/_protocol.py`), as tests. A source's own test module subclasses
`SourceContract` and names its harness:

    class TestMemory(SourceContract):
        harness_type = MemoryHarness
"""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rehost.blocks import Extent
from rehost.sources import (
    ChangesUnknown,
    Consistency,
    FreezeLost,
    LocatorInvalid,
    Quiesce,
    QuiesceImpossible,
    ServerNotFound,
    SourceChanged,
    SourceError,
)
from tests.sources import elsewhere
from tests.sources.doctor_contract import DoctorContract
from tests.sources.harness import INITIAL, KIB, Harness, freeze, read, restored, whole
from tests.sources.power_contract import PowerContract


class SourceContract(DoctorContract, PowerContract):
    # Discovery and inspection

    def test_discovery_finds_the_server_once(self, site: Harness) -> None:
        found = [server for server in site.source.discover() if server.locator == site.locator]
        assert len(found) == 1
        assert [disk.size for disk in found[0].disks] == [len(content) for content in INITIAL]
        assert all(disk.format == disk.format.lower() != "" for disk in found[0].disks)
        assert all(disk.allocated is None or 0 < disk.allocated <= disk.size for disk in found[0].disks)

    def test_inspection_agrees_with_discovery_and_freeze(self, site: Harness) -> None:
        inspected = site.source.inspect(site.locator)
        [discovered] = [server for server in site.source.discover() if server.locator == site.locator]
        frozen = freeze(site)
        keys = [disk.key for disk in frozen.disks]
        assert keys == [disk.key for disk in inspected.disks] == [disk.key for disk in discovered.disks]
        assert [disk.size for disk in inspected.disks] == [disk.size for disk in frozen.disks]
        assert len(set(keys)) == len(keys)
        assert not [key for key in keys if "/" in key or not key]
        frozen.release()

    def test_inspection_leaves_nothing(self, site: Harness) -> None:
        site.source.inspect(site.locator)
        assert list(site.made()) == []

    def test_an_unknown_server_is_refused_before_and_by_the_freeze(self, site: Harness) -> None:
        with pytest.raises(ServerNotFound) as inspecting:
            site.source.inspect(site.unknown)
        with pytest.raises(ServerNotFound) as freezing:
            site.source.freeze(site.unknown, quiesce=Quiesce.NONE, run="run-1")
        assert str(inspecting.value) == str(freezing.value)
        assert list(site.made()) == []

    def test_a_wrong_locator_is_refused_before_and_by_the_freeze(self, site: Harness) -> None:
        assert site.wrong
        for locator in site.wrong:
            with pytest.raises(LocatorInvalid):
                site.source.inspect(locator)
            with pytest.raises(LocatorInvalid):
                site.source.freeze(locator, quiesce=Quiesce.NONE, run="run-1")

    # One point in time

    def test_a_freeze_holds_what_the_disks_held(self, site: Harness) -> None:
        frozen = freeze(site)
        assert [whole(disk) for disk in frozen.disks] == [site.content(0), site.content(1)] == list(INITIAL)
        frozen.check()
        frozen.release()

    def test_writes_after_the_freeze_are_not_in_it_or_found_out(self, site: Harness) -> None:
        frozen = freeze(site)
        site.write(0, 100 * KIB, b"later" * 1000)
        if site.survives_writes:
            assert [whole(disk) for disk in frozen.disks] == list(INITIAL)
            frozen.check()
        else:
            with pytest.raises(SourceChanged):
                frozen.check()
        frozen.release()

    def test_a_write_to_any_disk_counts(self, site: Harness) -> None:
        frozen = freeze(site)
        site.write(1, 0, b"later")
        if site.survives_writes:
            assert whole(frozen.disks[1]) == INITIAL[1]
            frozen.check()
        else:
            with pytest.raises(SourceChanged):
                frozen.check()
        frozen.release()

    def test_disks_of_a_busy_server_are_of_one_moment(self, site: Harness) -> None:
        """The writer counts up on disk 0 first and then on disk 1, so that no moment has more on 1 than on 0."""
        stop, started = threading.Event(), threading.Event()

        def count() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                for disk in (0, 1):
                    site.write(disk, 0, number.to_bytes(8, "big"))
                started.set()

        outcomes = []
        with ThreadPoolExecutor(1) as pool:
            writer = pool.submit(count)
            try:
                assert started.wait(30)
                for attempt in range(2):
                    try:
                        frozen = freeze(site, run=f"run-{attempt}")
                    except SourceChanged:
                        outcomes.append("refused")
                        continue
                    first, second = (int.from_bytes(read(disk, 0, 512)[:8], "big") for disk in frozen.disks)
                    try:
                        frozen.check()
                    except SourceChanged:
                        outcomes.append("found out")
                    else:
                        assert first - second in (0, 1)
                        outcomes.append("taken")
                    frozen.release()
            finally:
                stop.set()
            writer.result(30)
        assert len(outcomes) == 2
        assert list(site.made()) == []

    @pytest.mark.needs("keeping")
    def test_the_same_run_gets_the_same_point_in_time(self, site: Harness) -> None:
        freeze(site)
        made = list(site.made())
        site.write(0, 0, b"later")
        second = freeze(site)
        assert whole(second.disks[0]) == INITIAL[0]
        assert list(site.made()) == made
        second.release()
        third = freeze(site, run="run-2")
        assert read(third.disks[0], 0, 5) == b"later"
        third.release()

    def test_quiescing_is_done_or_refused(self, site: Harness) -> None:
        tried = site.source.freeze(site.locator, quiesce=Quiesce.TRY, run="run-1")
        assert tried.consistency in Consistency
        tried.release()
        try:
            required = site.source.freeze(site.locator, quiesce=Quiesce.REQUIRE, run="run-2")
        except QuiesceImpossible:
            assert list(site.made()) == []
        else:
            assert required.consistency in (Consistency.FILESYSTEM, Consistency.OFFLINE)
            required.release()

    # Extents

    def test_allocated_extents_lead_to_all_the_data(self, site: Harness) -> None:
        frozen = freeze(site)
        for disk, content in zip(frozen.disks, INITIAL, strict=True):
            extents = list(disk.extents(None))
            in_order(extents, disk.size)
            assert restored(extents, disk, b"") == content
        assert sum(extent.length for extent in frozen.disks[0].extents(None)) < len(INITIAL[0])
        frozen.release()

    def test_changed_extents_make_the_new_disk_of_the_old_one(self, site: Harness) -> None:
        first = freeze(site, run="run-1")
        since = [disk.position for disk in first.disks]
        first.release()
        # Data into a hole, over data, zeros over data, and into the last sector.
        for offset, data in (
            (700 * KIB, b"a" * 10),
            (64 * KIB, b"b" * 70_000),
            (0, bytes(512)),
            (3 * 1024 * KIB, b"c"),
        ):
            site.write(0, offset, data)
        second = freeze(site, run="run-2")
        if site.tracks_changes:
            extents = list(second.disks[0].extents(since[0]))
            in_order(extents, second.disks[0].size)
            assert restored(extents, second.disks[0], INITIAL[0]) == site.content(0) != INITIAL[0]
            assert sum(extent.length for extent in extents) < len(INITIAL[0])
        else:
            with pytest.raises(ChangesUnknown):
                list(second.disks[0].extents(since[0]))
        assert restored(list(second.disks[1].extents(since[1])), second.disks[1], INITIAL[1]) == INITIAL[1]
        second.release()

    def test_a_disk_nobody_wrote_to_has_no_changes(self, site: Harness) -> None:
        first = freeze(site, run="run-1")
        since = [disk.position for disk in first.disks]
        first.release()
        second = freeze(site, run="run-2")
        assert [list(disk.extents(at)) for disk, at in zip(second.disks, since, strict=True)] == [[], []]
        second.release()

    def test_a_write_during_the_first_run_is_a_change_of_the_second(self, site: Harness) -> None:
        first = freeze(site, run="run-1")
        since = first.disks[0].position
        site.write(0, 900 * KIB, b"meanwhile")
        first.release()
        second = freeze(site, run="run-2")
        try:
            assert restored(list(second.disks[0].extents(since)), second.disks[0], INITIAL[0]) == site.content(0)
        except ChangesUnknown:
            assert not site.tracks_changes
        second.release()

    def test_changes_over_several_runs(self, site: Harness) -> None:
        first = freeze(site, run="run-1")
        since = first.disks[0].position
        first.release()
        for number in (2, 3):
            site.write(0, number * 256 * KIB, b"x" * 512)
            frozen = freeze(site, run=f"run-{number}")
            if site.tracks_changes:
                assert restored(list(frozen.disks[0].extents(since)), frozen.disks[0], INITIAL[0]) == site.content(0)
            else:
                with pytest.raises(ChangesUnknown):
                    list(frozen.disks[0].extents(since))
            frozen.release()

    # ChangesUnknown

    def test_each_loss_of_the_record_is_told(self, site: Harness) -> None:
        first = freeze(site, run="run-0")
        first.release()
        for number, (cause, lose) in enumerate(site.losses().items(), 1):
            before = freeze(site, run=f"before-{number}")
            since = before.disks[0].position
            before.release()
            lose()
            after = freeze(site, run=f"after-{number}")
            with pytest.raises(ChangesUnknown) as told:
                list(after.disks[0].extents(since))
            assert after.disks[0].key in str(told.value), cause
            assert restored(list(after.disks[0].extents(None)), after.disks[0], b"") == site.content(0), cause
            after.release()

    @pytest.mark.parametrize(
        "change", [pytest.param(512, id="grown"), pytest.param(-512, id="shrunk", marks=pytest.mark.needs("shrinking"))]
    )
    def test_another_size_is_told(self, site: Harness, change: int) -> None:
        first = freeze(site, run="run-1")
        since = first.disks[0].position
        first.release()
        size = len(INITIAL[0]) + change
        site.resize(0, size)
        second = freeze(site, run="run-2")
        assert second.disks[0].size == size
        with pytest.raises(ChangesUnknown):
            list(second.disks[0].extents(since))
        assert whole(second.disks[0]) == site.content(0)
        second.release()

    def test_a_position_of_something_else_is_told(self, site: Harness) -> None:
        frozen = freeze(site)
        disk = frozen.disks[0]
        for foreign in ("", "x", "{}", "[]", "0:x", "0:", ":", "a/b", disk.position + "x", "x" + disk.position, "\0"):
            with pytest.raises(ChangesUnknown):
                list(disk.extents(foreign))
        frozen.release()

    def test_a_new_size_while_frozen(self, site: Harness) -> None:
        frozen = freeze(site)
        site.resize(0, len(INITIAL[0]) + 1024)
        assert frozen.disks[0].size == len(INITIAL[0])
        if site.survives_writes:
            assert whole(frozen.disks[0]) == INITIAL[0]
            frozen.check()
        else:
            with pytest.raises(SourceChanged):
                frozen.check()
        frozen.release()

    # Reads

    def test_reads_at_and_beyond_the_end(self, site: Harness) -> None:
        frozen = freeze(site)
        disk = frozen.disks[0]
        assert read(disk, disk.size - 512, 4096) == INITIAL[0][-512:]
        assert disk.read_into(disk.size, memoryview(bytearray(512))) == 0
        assert disk.read_into(disk.size + 4096, memoryview(bytearray(512))) == 0
        frozen.release()

    def test_a_read_touches_only_what_it_says(self, site: Harness) -> None:
        frozen = freeze(site)
        buffer = memoryview(bytearray(b"\xff" * 4096))
        got = frozen.disks[0].read_into(512, buffer[512:1024])
        assert 0 < got <= 512
        assert bytes(buffer) == b"\xff" * 512 + INITIAL[0][512 : 512 + got] + b"\xff" * (4096 - 512 - got)
        frozen.release()

    def test_reads_in_parallel(self, site: Harness) -> None:
        frozen = freeze(site)
        places = [(disk, at) for disk in (0, 1) for at in range(0, len(INITIAL[disk]), 128 * KIB)] * 3
        with ThreadPoolExecutor(8) as pool:
            parts = pool.map(lambda place: read(frozen.disks[place[0]], place[1], 128 * KIB), places)
            for (disk, at), part in zip(places, parts, strict=True):
                assert part == INITIAL[disk][at : at + 128 * KIB]
        frozen.check()
        frozen.release()

    # Reopening and releasing

    def test_a_closed_point_in_time_reopens(self, site: Harness) -> None:
        frozen = freeze(site)
        token, positions = frozen.token, [disk.position for disk in frozen.disks]
        frozen.close()
        frozen.close()
        again = site.source.reopen(token)
        assert (again.token, [disk.position for disk in again.disks]) == (token, positions)
        assert [whole(disk) for disk in again.disks] == list(INITIAL)
        again.check()
        again.release()

    @pytest.mark.needs("elsewhere")
    def test_reopening_in_another_process(self, site: Harness) -> None:
        frozen = freeze(site)
        if site.survives_writes:
            site.write(0, 0, b"later")
        frozen.close()
        with elsewhere.start(site, token=frozen.token) as process:
            assert elsewhere.digests(process) == [hashlib.sha256(content).hexdigest() for content in INITIAL]
        assert process.returncode == 0
        site.source.reopen(frozen.token).release()
        assert list(site.made()) == []

    def test_release_leaves_nothing_and_may_be_repeated(self, site: Harness) -> None:
        frozen = freeze(site)
        other = freeze(site, run="run-2")
        frozen.release()
        frozen.release()
        if site.survives_writes:
            assert whole(other.disks[0]) == INITIAL[0], "another run's point in time went as well"
        other.release()
        assert list(site.made()) == []

    @pytest.mark.needs("shrinking")
    def test_release_after_a_failure_in_the_middle(self, site: Harness) -> None:
        frozen = freeze(site)
        next(iter(frozen.disks[0].extents(None)))
        read(frozen.disks[0], 0, 512)
        site.resize(0, 512)
        frozen.release()
        assert list(site.made()) == []

    def test_release_from_a_second_handle(self, site: Harness) -> None:
        frozen = freeze(site)
        site.source.reopen(frozen.token).release()
        frozen.release()
        assert list(site.made()) == []

    @pytest.mark.needs("elsewhere")
    def test_release_after_a_kill(self, site: Harness) -> None:
        """The process that froze is gone at once; the run is repeated, finds the same moment and gives it up."""
        with elsewhere.start(site, run="run-1", hang=True) as process:
            taken = elsewhere.digests(process)
            process.kill()
        assert taken == [hashlib.sha256(content).hexdigest() for content in INITIAL]
        made = list(site.made())
        if site.survives_writes:
            assert made
            site.write(0, 0, b"later")
        frozen = freeze(site)
        assert [hashlib.sha256(whole(disk)).hexdigest() for disk in frozen.disks] == taken
        assert list(site.made()) == made
        frozen.release()
        assert list(site.made()) == []

    @pytest.mark.needs("keeping")
    def test_what_was_released_is_lost(self, site: Harness) -> None:
        frozen = freeze(site)
        frozen.release()
        with pytest.raises(FreezeLost):
            site.source.reopen(frozen.token)

    @pytest.mark.needs("losing")
    def test_a_point_in_time_taken_away_is_lost_and_leaves_nothing(self, site: Harness) -> None:
        frozen = freeze(site)
        frozen.close()
        site.lose_freeze(frozen.token)
        with pytest.raises(FreezeLost):
            site.source.reopen(frozen.token)
        assert list(site.made()) == []

    def test_writes_while_closed(self, site: Harness) -> None:
        frozen = freeze(site)
        frozen.close()
        site.write(0, 0, b"later")
        if site.survives_writes:
            again = site.source.reopen(frozen.token)
            assert whole(again.disks[0]) == INITIAL[0]
            again.release()
        else:
            with pytest.raises(FreezeLost):
                site.source.reopen(frozen.token)
        assert list(site.made()) == []

    def test_a_token_of_something_else_is_refused(self, site: Harness) -> None:
        for token in ("", "x", "{}", "[]", "null", "\0", '{"version": 1, "disks": []}', "run-9/nobody"):
            with pytest.raises(FreezeLost):
                site.source.reopen(token)

    def test_no_descriptor_is_left_open(self, site: Harness) -> None:
        warm = freeze(site, run="run-0")
        whole(warm.disks[0])
        warm.release()
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count, and no path of ours
        for run in ("run-1", "run-2"):
            frozen = freeze(site, run=run)
            whole(frozen.disks[0])
            frozen.release()
            with pytest.raises(SourceError):
                site.source.inspect(site.unknown)
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def in_order(extents: list[Extent], size: int) -> None:
    """Ascending, none empty, none beyond the end."""
    assert all(extent.length > 0 for extent in extents)
    assert all(before.offset <= after.offset for before, after in itertools.pairwise(extents))
    assert all(0 <= extent.offset < extent.end <= size for extent in extents)
