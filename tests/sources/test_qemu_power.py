"""The power of QEMU's machines beyond the contract: guests that listen and that do not, agents, libvirt, and refusals."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rehost.sources import (
    CommandRefused,
    Consistency,
    Power,
    PowerImpossible,
    QemuSource,
    Quiesce,
    ServerNotRunning,
    SourceUnavailable,
)
from rehost.sources.qemu import _power
from tests.sources.fake_agent import FakeAgent
from tests.sources.harness import freeze, whole
from tests.sources.power_contract import PowerContract
from tests.sources.qemu import LibvirtHarness, QemuHarness, open_qemu, virsh, virsh_stands_in
from tests.sources.qemu_machine import LISTENING, QemuMachine, make_disk

WEB = {"name": "web-01"}


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen within {seconds:g} s"
        time.sleep(0.05)


def boots(machine: QemuMachine) -> None:
    """Until its boot sector runs: only then does it enable the power button (a write to the register at 0x602)."""

    def waits() -> bool:
        said = machine.execute("human-monitor-command", command_line="info registers")
        return "EIP=00007c" in said.replace(" ", "") or ("CS =0000" in said and "EIP=00007c" in said)

    until(waits)


class TestLibvirtPower(PowerContract):
    harness_type = LibvirtHarness

    @pytest.fixture(autouse=True)
    def _virsh(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        virsh_stands_in(monkeypatch, tmp_path / "s")


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[QemuMachine]:
    """A machine whose guest shuts down when its power button is pressed."""
    disk = make_disk(tmp_path / "root.qcow2", 1 << 20, {0: LISTENING})
    with QemuMachine(tmp_path / "s", "web-01", {"vda": disk}) as machine:
        yield machine


def test_a_guest_that_shuts_down_leaves_a_qemu_that_can_be_read(listening: QemuMachine, tmp_path: Path) -> None:
    source = open_qemu(str(tmp_path))
    source.power_on(WEB)
    boots(listening)
    assert source.shut_down(WEB)
    until(lambda: source.power(WEB) is Power.OFF)
    source.power_off(WEB)
    frozen = source.freeze(WEB, quiesce=Quiesce.REQUIRE, run="run-1")
    assert frozen.consistency is Consistency.OFFLINE
    assert whole(frozen.disks[0])[:512] == LISTENING
    frozen.release()
    source.power_on(WEB)
    boots(listening)
    listening.execute("system_powerdown")
    until(lambda: not listening.runs())  # as before all this, QEMU ends with its guest


def test_a_guest_that_does_not_listen_is_cut_off(tmp_path: Path) -> None:
    site = QemuHarness(tmp_path)  # nothing on its disks boots
    try:
        site.source.power_on(WEB)
        assert site.source.shut_down(WEB)
        assert site.source.power(WEB) is Power.ON
        site.source.power_off(WEB)
        assert site.source.power(WEB) is Power.OFF
        assert site.machine.execute("query-status")["status"] == "prelaunch"
    finally:
        site.close()


def test_a_qemu_that_is_gone_is_off_and_cannot_be_read(tmp_path: Path) -> None:
    site = QemuHarness(tmp_path)
    try:
        since = {disk.key: disk.position for disk in freeze(site).disks}
        site.machine.stop()
        site.machine.qmp.touch()  # as a QEMU that was killed leaves it
        assert site.source.power(WEB) is Power.OFF
        site.source.power_off(WEB)
        assert site.source.changed(WEB, since) is None
        with pytest.raises(ServerNotRunning):
            site.source.power_on(WEB)
    finally:
        site.close()


def test_standing_still_has_frozen_file_systems_where_an_agent_answers(tmp_path: Path) -> None:
    site = QemuHarness(tmp_path)
    try:
        with FakeAgent(tmp_path / "s" / "web-01.qga") as guest:
            site.source.power_on(WEB)
            site.source.pause(WEB)
            still = [guest.frozen]
            frozen = site.source.freeze(WEB, quiesce=Quiesce.REQUIRE, run="run-1")
            assert frozen.consistency is Consistency.FILESYSTEM
            frozen.release()
            still.append(guest.frozen)
            open_qemu(str(tmp_path)).power_on(WEB)  # another process, perhaps
            still.append(guest.frozen)
            assert still == [True, True, False], "paused, after a run, powered on"
            assert site.made() == []
    finally:
        site.close()


def test_a_guest_that_cannot_be_frozen_stands_still_as_it_is(tmp_path: Path) -> None:
    site = QemuHarness(tmp_path)
    refusal = {"guest-fsfreeze-freeze": {"error": {"class": "GenericError", "desc": "no space"}}}
    try:
        with FakeAgent(tmp_path / "s" / "web-01.qga", refusal) as guest:
            site.source.power_on(WEB)
            site.source.pause(WEB)
            assert guest.commands == ["ping", "freeze", "thaw"]
            assert site.source.power(WEB) is Power.PAUSED
            assert site.made() == []
    finally:
        site.close()


def test_a_guest_that_stays_frozen_when_it_goes_on_is_said_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_power, "_THAW_SECONDS", 0.3)
    site = QemuHarness(tmp_path)
    try:
        with FakeAgent(tmp_path / "s" / "web-01.qga") as guest:
            site.source.power_on(WEB)
            site.source.pause(WEB)
            guest._answers["guest-fsfreeze-thaw"] = {"error": {"class": "GenericError", "desc": "busy"}}
            with pytest.raises(SourceUnavailable, match="fsfreeze --unfreeze"):
                site.source.power_on(WEB)
            assert site.made() != [], "nobody would know that it is to be thawed"
            del guest._answers["guest-fsfreeze-thaw"]
            site.source.power_on(WEB)
            assert guest.commands[-1] == "thaw"
            assert site.made() == []
    finally:
        site.close()


def test_libvirt_ends_a_qemu_with_its_guest_and_starts_another_to_be_read(
    listening: QemuMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    virsh_stands_in(monkeypatch, tmp_path / "s")
    recipe = tmp_path / "s" / "web-01.domain"
    source = QemuSource({"type": "qemu", "libvirt": "qemu:///test", "scratch": "x"}, base=tmp_path)
    source.power_on(WEB)
    boots(listening)
    first = source.freeze(WEB, quiesce=Quiesce.TRY, run="run-1")
    since = {disk.key: disk.position for disk in first.disks}
    first.release()
    with pytest.raises(PowerImpossible, match="virsh define"):
        source.shut_down(WEB)  # nobody could start it again
    recipe.write_text(json.dumps(listening.arguments()))
    assert source.shut_down(WEB)
    until(lambda: source.power(WEB) is Power.OFF)
    assert not listening.runs()
    source.power_off(WEB)
    try:
        second = source.freeze(WEB, quiesce=Quiesce.REQUIRE, run="run-2")
        assert second.consistency is Consistency.OFFLINE
        assert list(second.disks[0].extents(since["vda"])) == [], "its bitmap went with its QEMU"
        second.release()
        assert source.changed(WEB, since) is False
        source.power_on(WEB, to=Power.OFF)
        assert not listening.qmp.exists() or source.power(WEB) is Power.OFF
        source.power_on(WEB)
        assert source.power(WEB) is Power.ON
    finally:
        virsh("destroy")


def test_what_libvirt_refuses_is_told_in_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    virsh_stands_in(monkeypatch, tmp_path / "s")
    site = LibvirtHarness(tmp_path)
    try:
        site.source.power_on(WEB)
        site.recipe.write_text(json.dumps([*site.machine.arguments(), "-no-such-option"]))
        with pytest.raises(CommandRefused, match=r"refused virsh start: .*Failed to start domain") as refused:
            site.source.power_off(WEB)
        assert not refused.value.retryable
        assert site.source.power(WEB) is Power.OFF
        site.recipe.write_text(json.dumps(site.machine.arguments()))
        site.source.power_on(WEB)
        assert site.source.power(WEB) is Power.ON
    finally:
        site.close()
