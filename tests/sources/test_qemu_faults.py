"""What goes wrong at a running machine: each is told, leaves nothing behind, and the next run succeeds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rehost.blocks import Extent
from rehost.sources import (
    ChangesUnknown,
    CommandRefused,
    Consistency,
    FreezeLost,
    FrozenServer,
    Quiesce,
    QuiesceImpossible,
    ServerNotRunning,
    SourceChanged,
    SourceConfigInvalid,
    SourceUnavailable,
    open_source,
)
from rehost.sources.qemu import _agent, _bitmaps, _freeze, _frozen, _monitor
from rehost.sources.qemu._scratch import Note, Scratch
from tests.sources.fake_agent import FakeAgent
from tests.sources.harness import INITIAL, KIB, whole
from tests.sources.qemu import CONFIG, QemuHarness, virsh_stands_in
from tests.sources.qemu_machine import make_disk


@pytest.fixture
def site(tmp_path: Path) -> Iterator[QemuHarness]:
    harness = QemuHarness(tmp_path)
    yield harness
    harness.close()


def freeze(site: QemuHarness, run: str = "run-1", quiesce: Quiesce = Quiesce.NONE) -> FrozenServer:
    return site.source.freeze(site.locator, quiesce=quiesce, run=run)


def assert_next_run_succeeds(site: QemuHarness) -> None:
    assert list(site.made()) == []
    frozen = freeze(site, "run-next")
    assert [whole(disk) for disk in frozen.disks] == [site.content(0), site.content(1)]
    frozen.check()
    frozen.release()
    assert list(site.made()) == []


# The guest agent


def agent(site: QemuHarness, answers: dict[str, Any] | None = None) -> FakeAgent:
    return FakeAgent(site.folder / "s" / "web-01.qga", answers)


def test_the_guest_is_frozen_for_the_transaction_and_not_for_longer(site: QemuHarness) -> None:
    with agent(site) as guest:
        guest.on_command = lambda command: jobs.append((command, len(site.machine.leftovers())))
        jobs: list[tuple[str, int]] = []
        frozen = freeze(site, quiesce=Quiesce.REQUIRE)
        assert frozen.consistency is Consistency.FILESYSTEM
        assert guest.commands == ["ping", "freeze", "status", "thaw"]
        made = dict(jobs)
        assert made["guest-fsfreeze-freeze"] < made["guest-fsfreeze-status"], "the point in time was taken in between"
        assert site.source.inspect(site.locator).facts["guestAgent"]
        assert site.source.reopen(frozen.token).consistency is Consistency.FILESYSTEM
        frozen.release()


@pytest.mark.parametrize(
    ("answers", "commands", "said"),
    [
        ({"sync": None}, [], "does not answer"),
        (
            {"guest-fsfreeze-freeze": {"error": {"class": "GenericError", "desc": "no space"}}},
            ["ping", "freeze", "thaw"],
            "refused guest-fsfreeze-freeze: no space",
        ),
        ({"guest-fsfreeze-freeze": {"return": 0}}, ["ping", "freeze", "thaw"], "no file system to freeze"),
        ({"guest-fsfreeze-freeze": None}, ["ping", "freeze", "thaw"], "did not finish guest-fsfreeze-freeze"),
        (
            {"guest-fsfreeze-status": {"return": "thawed"}},
            ["ping", "freeze", "status", "thaw"],
            "thawed by itself before its point in time stood",
        ),
    ],
    ids=["silent", "refuses", "nothing to freeze", "hangs", "thaws by itself"],
)
def test_an_agent_that_cannot(
    site: QemuHarness, monkeypatch: pytest.MonkeyPatch, answers: dict[str, Any], commands: list[str], said: str
) -> None:
    monkeypatch.setattr(_agent, "SYNC_SECONDS", 0.3)
    monkeypatch.setattr(_agent, "FREEZE_SECONDS", 0.3)
    with agent(site, answers) as guest:
        frozen = freeze(site, quiesce=Quiesce.TRY)
        assert (frozen.consistency, guest.commands, guest.frozen) == (Consistency.CRASH, commands, False)
        frozen.release()
        with pytest.raises(QuiesceImpossible, match=said):
            freeze(site, "run-2", Quiesce.REQUIRE)
        assert not guest.frozen
    assert site.machine.bitmaps("vda") == ["rehost-run-1"]
    assert_next_run_succeeds(site)


def test_no_agent_at_all(site: QemuHarness) -> None:
    with pytest.raises(QuiesceImpossible, match="has no guest agent"):
        freeze(site, quiesce=Quiesce.REQUIRE)
    assert_next_run_succeeds(site)


def test_a_guest_that_stays_frozen_is_said_to(site: QemuHarness) -> None:
    refusal = {"error": {"class": "GenericError", "desc": "busy"}}
    with agent(site, {"guest-fsfreeze-thaw": refusal}) as guest:
        with pytest.raises(SourceUnavailable, match="may still be frozen"):
            freeze(site, quiesce=Quiesce.TRY)
        assert guest.commands.count("thaw") >= 3
    assert_next_run_succeeds(site)


def test_a_guest_that_a_killed_connector_left_frozen_is_thawed_by_the_next_start(site: QemuHarness) -> None:
    with agent(site) as guest:
        guest.frozen = True
        scratch = Scratch.of(site.folder / "x", "web-01")
        scratch.prepare()
        scratch.write_note(Note("run-0", guest_frozen=True))
        freeze(site).release()
        assert not guest.frozen
    assert_next_run_succeeds(site)


# QEMU refuses, or is somebody else's


def test_a_transaction_that_fails_takes_everything_back(site: QemuHarness) -> None:
    site.machine.execute("block-dirty-bitmap-add", node="drive-vda", name="somebody-elses")
    target = make_disk(site.folder / "target.raw", len(INITIAL[1]))
    site.machine.execute("blockdev-add", driver="raw", node_name="t", file={"driver": "file", "filename": str(target)})
    job = {"job_id": "user", "device": "drive-vdb", "target": "t", "sync": "none"}
    site.machine.execute("blockdev-backup", **job)
    with agent(site) as guest, pytest.raises(CommandRefused, match="in use by block job: backup"):
        freeze(site, quiesce=Quiesce.TRY)
    assert not guest.frozen
    assert site.made() == []
    assert site.machine.bitmaps("vda") == ["somebody-elses"]
    assert [each["id"] for each in site.machine.execute("query-jobs")] == ["user"]
    site.machine.execute("block-job-cancel", device="user")
    assert_next_run_succeeds(site)
    assert "somebody-elses" in site.machine.bitmaps("vda")


def test_the_nbd_server_may_be_in_use(site: QemuHarness) -> None:
    address = {"type": "unix", "data": {"path": str(site.folder / "theirs")}}
    site.machine.execute("nbd-server-start", addr=address)
    with pytest.raises(SourceUnavailable, match="somebody else"):
        freeze(site)
    assert (site.folder / "theirs").exists()
    site.machine.execute("nbd-server-stop")
    assert_next_run_succeeds(site)


def test_what_a_dead_run_left_is_cleared_by_the_next(site: QemuHarness) -> None:
    dead = freeze(site, "run-dead")
    dead.close()
    frozen = freeze(site, "run-2")
    with pytest.raises(FreezeLost):
        site.source.reopen(dead.token)
    dead.release()  # does nothing to what is not its own any more
    assert whole(frozen.disks[0]) == INITIAL[0]
    frozen.check()
    frozen.release()
    assert_next_run_succeeds(site)


def test_a_freeze_that_was_killed_in_the_middle_is_begun_anew(
    site: QemuHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing after the transaction is carried out, and nothing is cleared, as after a kill."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(_freeze, "_add_export", killed)
        patched.setattr(_freeze, "clear", lambda *_: None)
        patched.setattr(_bitmaps, "make_room", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            freeze(site)
    assert site.made()
    assert site.machine.bitmaps("vda") != []
    frozen = freeze(site)
    assert whole(frozen.disks[0]) == INITIAL[0]
    frozen.release()
    assert site.machine.bitmaps("vda") == ["rehost-run-1"]
    assert_next_run_succeeds(site)


# The machine goes, or its monitor


@pytest.mark.parametrize("kill", [False, True], ids=["shut down", "killed"])
def test_a_machine_that_ends_during_a_run(site: QemuHarness, kill: bool) -> None:
    frozen = freeze(site)
    assert whole(frozen.disks[1]) == INITIAL[1]
    site.machine.stop(kill=kill)
    with pytest.raises(FreezeLost, match="is not running"):
        whole(frozen.disks[0])
    with pytest.raises(SourceChanged, match="is not running"):
        frozen.check()
    with pytest.raises(FreezeLost):
        site.source.reopen(frozen.token)
    frozen.release()
    with pytest.raises((ServerNotRunning, Exception), match="web-01"):
        freeze(site, "run-2")
    site.machine.start()
    assert_next_run_succeeds(site)


def test_a_machine_that_is_restarted_during_a_run(site: QemuHarness) -> None:
    frozen = freeze(site)
    site.machine.restart()
    with pytest.raises(SourceChanged, match="restarted"):
        frozen.check()
    with pytest.raises(FreezeLost):
        site.source.reopen(frozen.token)
    frozen.release()
    assert_next_run_succeeds(site)


def test_a_job_that_is_cancelled_behind_our_back_is_found_out(site: QemuHarness) -> None:
    frozen = freeze(site)
    site.lose_freeze(frozen.token)
    with pytest.raises(SourceChanged, match="has ended: Operation canceled"):
        frozen.check()
    frozen.release()
    assert_next_run_succeeds(site)


def test_a_socket_that_nobody_listens_at(site: QemuHarness) -> None:
    site.machine.stop(kill=True)
    site.machine.qmp.write_text("")
    with pytest.raises(ServerNotRunning, match="nobody listens"):
        site.source.inspect(site.locator)
    [found] = site.source.discover()
    assert "nobody listens" in found.facts["problem"]


def test_a_monitor_that_somebody_holds(site: QemuHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_monitor, "CONNECT_SECONDS", 0.3)
    with _monitor.qmp_session("other", site.machine.qmp):
        with pytest.raises(SourceUnavailable, match="takes no second client") as busy:
            freeze(site)
        assert busy.value.retryable
    assert_next_run_succeeds(site)


# Disks and bitmaps over time


def changes(site: QemuHarness, run: str, since: str, disk: int = 0) -> list[Extent]:
    frozen = freeze(site, run)
    try:
        return list(frozen.disks[disk].extents(f"{since} {frozen.disks[disk].size}"))
    finally:
        frozen.release()


def test_a_restart_keeps_the_record_of_a_qcow2_disk_and_loses_that_of_a_raw_one(site: QemuHarness) -> None:
    freeze(site, "run-1").release()
    site.write(0, 640 * KIB, b"x" * 512)
    site.machine.restart()
    site.write(0, 1280 * KIB, b"x" * 512)
    assert changes(site, "run-2", "run-1") == [Extent(640 * KIB, 64 * KIB), Extent(1280 * KIB, 64 * KIB)]
    with pytest.raises(ChangesUnknown, match="QEMU was restarted"):
        changes(site, "run-3", "run-1", disk=1)


def test_failed_runs_leave_no_bitmap_for_long_and_lose_no_change(site: QemuHarness) -> None:
    freeze(site, "run-01").release()
    for number in range(2, 14):  # each asks for the changes since the last good one, and fails
        site.write(0, number * 128 * KIB, b"x" * 512)
        found = changes(site, f"run-{number:02}", "run-01")
        assert found == [Extent(each * 128 * KIB, 64 * KIB) for each in range(2, number + 1)]
        assert site.machine.bitmaps("vda") == ["rehost-run-01", f"rehost-run-{number:02}~run-01"]
    assert changes(site, "run-14", "run-13") == []
    assert site.machine.bitmaps("vda") == ["rehost-run-13~run-01", "rehost-run-14~run-13"]


def test_first_runs_that_fail_leave_few(site: QemuHarness) -> None:
    for number in range(20):
        freeze(site, f"run-{number:02}").release()
    kept = site.machine.bitmaps("vda")
    assert len(kept) == _bitmaps.MOST
    assert kept[-1] == "rehost-run-19"


def test_two_jobs_on_one_server_do_not_take_each_others_record(site: QemuHarness) -> None:
    freeze(site, "run-a1").release()
    site.write(0, 128 * KIB, b"x" * 512)
    freeze(site, "run-b1").release()
    site.write(0, 256 * KIB, b"x" * 512)
    assert changes(site, "run-a2", "run-a1") == [Extent(128 * KIB, 64 * KIB), Extent(256 * KIB, 64 * KIB)]
    assert changes(site, "run-b2", "run-b1") == [Extent(256 * KIB, 64 * KIB)]
    assert changes(site, "run-a3", "run-a2") == changes(site, "run-b3", "run-b2") == []


def test_a_disk_that_was_added_is_there_in_the_next_run(site: QemuHarness) -> None:
    freeze(site, "run-1").release()
    site.write(0, 128 * KIB, b"x" * 512)
    site.machine.stop()
    site.machine.disks["vdc"] = make_disk(site.folder / "new.raw", 1 << 20, {0: b"new"})
    site.machine.start()
    frozen = freeze(site, "run-2")
    assert [disk.key for disk in frozen.disks] == ["vda", "vdb", "vdc"]
    assert whole(frozen.disks[2]).startswith(b"new")
    assert list(frozen.disks[0].extents(f"run-1 {frozen.disks[0].size}")) == [Extent(128 * KIB, 64 * KIB)]
    frozen.release()


def test_going_back_to_an_internal_snapshot_is_refused_while_there_is_a_bitmap(tmp_path: Path) -> None:
    """The disk would change as a whole, and not by writes that a bitmap marks."""
    site = OneDisk(tmp_path)
    try:
        [node] = [each["inserted"]["node-name"] for each in site.machine.execute("query-block")]
        arguments = {"job_id": "s", "tag": "before", "vmstate": node, "devices": [node]}
        site.machine.execute("snapshot-save", **arguments)
        assert _end_of_job(site, "s") == ""
        freeze(site, "run-1").release()
        site.machine.execute("snapshot-load", **arguments)
        assert "active dirty bitmaps" in _end_of_job(site, "s")
    finally:
        site.close()


class OneDisk(QemuHarness):
    def files(self) -> list[tuple[str, bytes]]:
        return [("root.qcow2", INITIAL[0])]


def _end_of_job(site: QemuHarness, job: str) -> str:
    """Its error, if it has one."""
    deadline = time.monotonic() + 30
    while True:
        state = next(each for each in site.machine.execute("query-jobs") if each["id"] == job)
        if state["status"] == "concluded":
            site.machine.execute("job-dismiss", id=job)
            return str(state.get("error", ""))
        assert time.monotonic() < deadline, state
        time.sleep(0.01)


# Scratch


def test_a_scratch_folder_without_room_is_refused(site: QemuHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Scratch, "room", lambda _self: 1 << 20)
        with pytest.raises(SourceUnavailable, match="has 1 MiB left and needs 4"):
            freeze(site)
    assert_next_run_succeeds(site)


def test_a_run_is_given_up_before_scratch_space_runs_out(site: QemuHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = freeze(site)
    monkeypatch.setattr(_frozen, "_ROOM_INTERVAL", 0.0)
    with monkeypatch.context() as patched:
        patched.setattr(Scratch, "room", lambda _self: 1000)
        with pytest.raises(SourceChanged, match="running full"):
            whole(frozen.disks[0])
    frozen.release()
    assert_next_run_succeeds(site)


def test_a_scratch_folder_that_qemu_cannot_write_to(site: QemuHarness) -> None:
    """Here it is in the way of the folder that a file is."""
    scratch = Scratch.of(site.folder / "x", "web-01")
    scratch.prepare()
    scratch.disk("run-1", 0).mkdir()
    with pytest.raises(SourceUnavailable):
        freeze(site)
    scratch.disk("run-1", 0).rmdir()
    assert_next_run_succeeds(site)


def test_a_path_that_is_too_long_for_a_socket(tmp_path: Path) -> None:
    scratch = Scratch.of(tmp_path / ("x" * 120), "web-01")
    with pytest.raises(SourceUnavailable, match="too long for the socket"):
        scratch.prepare()


# Configuration and concerns


@pytest.mark.parametrize("config", [{}, {"sockets": "s", "libvirt": "qemu:///system"}, {"sockets": "s"}])
def test_a_configuration_that_lacks_something(config: dict[str, str], tmp_path: Path) -> None:
    if "libvirt" in config:
        config["scratch"] = "x"
    with pytest.raises(SourceConfigInvalid, match="a `qemu` source needs"):
        open_source({"type": "qemu", **config}, base=tmp_path)


def test_what_is_better_known_beforehand(tmp_path: Path) -> None:
    site = QemuHarness(tmp_path)
    site.machine.stop()
    disk = make_disk(tmp_path / "ro.raw", 1 << 20)
    extra: tuple[str, ...] = (
        "-drive",
        f"if=none,id=r,file={disk},format=raw,readonly=on",
        "-device",
        "virtio-blk-pci,drive=r,id=fixed",
    )
    extra += ("-drive", f"if=ide,media=cdrom,id=cd,file={disk},format=raw")
    site.machine._extra = extra
    site.machine.start()
    try:
        found = site.source.inspect(site.locator)
        assert [disk.key for disk in found.disks] == ["vda", "vdb"]
        concerns = {concern.id: concern for concern in found.concerns}
        assert set(concerns) == {
            *("qemu-read-only-disk", "qemu-removable-medium", "qemu-volatile-bitmap", "qemu-no-agent"),
        }
        assert "fixed" in concerns["qemu-read-only-disk"].message
        assert "vdb is raw" in concerns["qemu-volatile-bitmap"].message
        assert all(concern.remedy for concern in found.concerns)
    finally:
        site.close()


# libvirt, by a stand-in for its command


def test_libvirt(site: QemuHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    virsh_stands_in(monkeypatch, site.folder / "s")
    config = {"type": "qemu", "libvirt": "qemu:///test", "scratch": CONFIG["scratch"]}
    source = open_source(config, base=site.folder)
    found = {server.name: server for server in source.discover()}
    assert "shut off" in found["idle"].facts["problem"]
    assert [disk.key for disk in found["web-01"].disks] == ["vda", "vdb"]
    with pytest.raises(QuiesceImpossible):
        source.freeze({"name": "web-01"}, quiesce=Quiesce.REQUIRE, run="run-1")
    frozen = source.freeze({"name": "web-01"}, quiesce=Quiesce.TRY, run="run-1")
    assert frozen.consistency is Consistency.CRASH
    assert [whole(disk) for disk in frozen.disks] == list(INITIAL)
    frozen.check()
    frozen.release()
    assert site.made() == []
    elsewhere = open_source({**config, "libvirt": "qemu:///elsewhere"}, base=site.folder)
    with pytest.raises(SourceUnavailable, match="failed to connect"):
        list(elsewhere.discover())


def test_libvirt_without_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    source = open_source({"type": "qemu", "libvirt": "qemu:///system", "scratch": "x"}, base=tmp_path)
    with pytest.raises(SourceUnavailable, match="Debian package libvirt-clients"):
        list(source.discover())
