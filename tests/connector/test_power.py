"""Power requests, carried out by connector processes on a QEMU machine: killed in the middle, refused, looked at, undone."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from rehost import faults
from rehost.control import Job, PowerRequest, PowerState, RunKind, RunState
from tests.sources.qemu_machine import LISTENING, QemuMachine, make_disk

from .conftest import MIB, Site

SIZE = 8 * MIB


@pytest.fixture
def machine(site: Site) -> Iterator[QemuMachine]:
    """Its guest shuts down when its power button is pressed, once it has booted."""
    disk = make_disk(site.folder / "root.qcow2", SIZE, {0: LISTENING, MIB: b"data" * 1000})
    with QemuMachine(site.folder / "s", "web-01", {"vda": disk}) as running:
        running.execute("cont")
        yield running


@pytest.fixture
def job(site: Site, machine: QemuMachine) -> Job:
    source = {"type": "qemu", "sockets": "s", "scratch": "x"}
    made = site.declare(source_name="rack", source=source, locator={"name": "web-01"}, quiesce="none")
    site.control.jobs.pause(made.id)  # no run but those that are asked for
    return made


def carried_out(site: Site, job: Job, action: str, **more: object) -> PowerRequest:
    request_id = site.control.power.request(job.id, action, token=f"{action} {site.control.now()}", **more)  # type: ignore[arg-type]
    assert site.work() == 0, site.log()[-3000:]
    return site.control.power.get(request_id)


def status(machine: QemuMachine) -> str:
    return str(machine.execute("query-status")["status"])


def test_off_a_final_run_a_look_and_on(site: Site, job: Job, machine: QemuMachine) -> None:
    off = carried_out(site, job, "off", shutdown_seconds=0)
    assert (off.state, dict(off.result)) == (PowerState.DONE, {"before": "on", "after": "off", "how": "forced"})
    run = site.control.runs.request(job.id, kind=RunKind.FINAL, token="cutover 1")
    assert site.work() == 0
    run = site.control.runs.get(run.id)
    assert (run.state, run.consistency) == (RunState.COMPLETED, "offline"), run.message
    look = carried_out(site, job, "look", run_id=run.id)
    assert dict(look.result) == {"power": "off", "changed": False}
    machine.write("vda", 2 * MIB, b"somebody wrote")
    look = carried_out(site, job, "look", run_id=run.id)
    assert dict(look.result) == {"power": "off", "changed": True}
    on = carried_out(site, job, "on")
    assert (on.state, dict(on.result)) == (PowerState.DONE, {"before": "off", "after": "on", "how": "on"})
    assert status(machine) == "running"


def test_a_guest_that_listens_shuts_itself_down(site: Site, job: Job, machine: QemuMachine) -> None:
    site.wait(lambda: "EIP=00007c" in machine.execute("human-monitor-command", command_line="info registers"))
    off = carried_out(site, job, "off", shutdown_seconds=60)
    assert (off.state, off.result["how"]) == (PowerState.DONE, "shutdown"), off.message
    assert status(machine) == "shutdown"


@pytest.mark.parametrize("point", faults.POWER_POINTS)
def test_a_killed_connector_is_carried_on_by_the_next(site: Site, job: Job, machine: QemuMachine, point: str) -> None:
    request_id = site.control.power.request(job.id, "off", token="cutover 1", shutdown_seconds=0)
    assert site.work(f"{point}:kill") == -signal.SIGKILL
    assert site.control.power.get(request_id).state is PowerState.ACTIVE
    assert site.work() == 0
    off = site.control.power.get(request_id)
    assert (off.state, off.result["before"], off.result["after"]) == (PowerState.DONE, "on", "off"), off.message
    assert carried_out(site, job, "on").result["after"] == "on"


def test_a_connector_that_is_told_to_end_leaves_it_to_the_next(site: Site, job: Job, machine: QemuMachine) -> None:
    machine.execute("stop")
    machine.execute("system_reset")
    machine.execute("cont")  # it boots; whoever asks it before that is not heard
    request_id = site.control.power.request(job.id, "off", token="cutover 1", shutdown_seconds=3)
    process = site.start()
    site.wait(lambda: site.control.power.get(request_id).message is not None)
    process.terminate()
    assert process.wait(60) == 0
    assert site.work() == 0
    off = site.control.power.get(request_id)
    assert (off.state, off.result["before"], off.result["after"]) == (PowerState.DONE, "on", "off"), off.message


def test_what_was_off_before_is_left_off(site: Site, job: Job, machine: QemuMachine) -> None:
    machine.restart()
    machine.execute("system_reset")  # stopped and reset: it has not begun
    site.wait(lambda: status(machine) == "prelaunch")
    assert carried_out(site, job, "off").result["how"] == "already"
    assert carried_out(site, job, "on").result == {"before": "off", "after": "off", "how": "left"}
    assert carried_out(site, job, "on", restore=False).result["after"] == "on"


def test_standing_still(site: Site, job: Job, machine: QemuMachine) -> None:
    held = carried_out(site, job, "quiesce")
    assert dict(held.result) == {"before": "on", "after": "paused", "how": "paused"}
    assert status(machine) == "paused"
    assert carried_out(site, job, "on").result["after"] == "on"


def test_a_source_without_power_refuses_and_looks(site: Site) -> None:
    site.write(range(4), size=8 * MIB)
    job = site.declare()
    assert site.work() == 0
    run = site.run(job)
    refused = carried_out(site, job, "off")
    assert refused.state is PowerState.FAILED
    assert "shut the server down yourself" in (refused.message or "")
    assert carried_out(site, job, "look", run_id=run.id).result == {"power": "unknown", "changed": False}
    site.write(range(1), size=8 * MIB, seed=2)
    assert carried_out(site, job, "look", run_id=run.id).result == {"power": "unknown", "changed": True}
    assert carried_out(site, job, "on").result["how"] == "left"
