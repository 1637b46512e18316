"""The proof by a guest that writes all the while: whatever happens to the connector, an image is of one moment of it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from rehost.control import Job, Run, RunState
from rehost.sources.qemu import PREFIX, qmp_session
from sandbox import Sandbox
from sandbox.machines import LiveGuest, Records, build, check_disks, make_live
from tests.connector.conftest import BLOCK, Site
from tests.sources.qemu_machine import need

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(600)]  # two connectors, and a boot in an emulator

CACHE = Path(__file__).resolve().parents[2] / ".cache"
SOURCE = {"type": "qemu", "sockets": "s", "scratch": "x"}


@dataclass
class Live:
    site: Site
    guest: LiveGuest
    job: Job

    def run(self, fault: str = "") -> Run:
        """See the next run through; a connector that a fault killed is followed by another."""
        code = self.site.work(fault)
        assert (code != 0) == bool(fault), self.site.log()[-3000:]
        if fault:
            assert self.site.work() == 0, self.site.log()[-3000:]
        run = self.site.run(self.job)
        assert run.state is RunState.COMPLETED, run.message
        return run

    def records(self, run: Run) -> Records:
        """What the run's snapshots hold."""
        paths = []
        for disk in self.site.control.runs.disks(run.id):
            path = self.site.folder / f"restored-{disk.key}.raw"
            with path.open("wb") as file:
                file.truncate(disk.size)
                for index, data in self.site.content(disk.snapshot_id).items():
                    file.seek(index * BLOCK)
                    file.write(data[: disk.size - index * BLOCK])
            paths.append(path)
        return check_disks(*paths)

    def assert_nothing_is_left(self) -> None:
        with qmp_session("web-01", self.site.folder / "s" / "web-01.qmp") as monitor:
            assert monitor.execute("query-jobs") == monitor.execute("query-block-exports") == []
            nodes = [node["node-name"] for node in monitor.execute("query-named-block-nodes", flat=True)]
        assert [name for name in nodes if name.startswith(PREFIX)] == []
        assert [path.name for path in (self.site.folder / "x").iterdir()] == ["rehost-web-01.lock"]


@pytest.fixture
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """In place of the one that the tests of a worker share: this one's instances boot."""
    with Sandbox(tmp_path_factory.mktemp("sandbox"), options=()) as running:
        yield running


@pytest.fixture
def live(site: Site) -> Iterator[Live]:
    need("qemu-system-x86_64", "qemu-system-x86")
    cache = Path(os.environ.get("REHOST_MACHINES_CACHE", CACHE))
    machines = build(site.folder / "machines", cache=cache)
    if not machines.bootable:
        pytest.skip(f"needs the Debian package linux-image-cloud-amd64: {machines.reason}")
    sockets = site.folder / "s"
    sockets.mkdir()
    arguments = ["-qmp", f"unix:{sockets / 'web-01.qmp'},server=on,wait=off"]
    arguments += [
        "-chardev",
        f"socket,id=qga,path={sockets / 'web-01.qga'},server=on,wait=off",
        "-serial",
        "chardev:qga",
    ]
    for disk in make_live(machines.web, site.folder / "live"):
        image = disk.path.with_suffix(".qcow2")
        convert = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(disk.path), str(image)]
        subprocess.run(convert, check=True, stdin=subprocess.DEVNULL)
        name = disk.path.stem
        arguments += ["-drive", f"if=none,id=drive-{name},file={image},format=qcow2"]
        arguments += ["-device", f"virtio-blk-pci,drive=drive-{name},id={name},bootindex={0 if name == 'root' else 1}"]
    job = site.declare(source_name="rack", source=SOURCE, locator={"name": "web-01"}, quiesce="none")
    with LiveGuest("web-01", site.folder / "guest", arguments) as guest:
        guest.wait_for(20)
        yield Live(site, guest, job)


def test_a_guest_that_writes_all_the_while(live: Live) -> None:
    site, guest = live.site, live.guest
    # Crash-consistent, and the connector is killed in the middle of the first disk: the next one resumes the same moment.
    told = guest.acknowledged()
    first = live.run("copy-piece@2:kill")
    records = live.records(first)
    assert (first.consistency, records.of_one_moment) == ("crash", True)
    assert told <= records.data <= records.root <= guest.acknowledged()
    live.assert_nothing_is_left()

    # With the guest's file systems frozen; only what changed is sent.
    site.declare(source_name="rack", source=SOURCE, locator={"name": "web-01"}, quiesce="require")
    told = guest.wait_for(guest.acknowledged() + 20)
    site.control.runs.request(live.job.id, token="second")
    second = live.run()
    records = live.records(second)
    assert (second.consistency, records.of_one_moment) == ("filesystem", True)
    assert told <= records.data <= records.root <= guest.acknowledged()
    live.assert_nothing_is_left()
    before, after = ([disk.sent_bytes for disk in site.control.runs.disks(run.id)] for run in (first, second))
    assert after[0] < before[0] / 4

    # Nothing of a point in time outlives it for the guest: it goes on writing.
    guest.wait_for(guest.acknowledged() + 5)
    assert second.image_id is not None
    line = console_line(site, second.image_id, "rehost: records:")
    assert f"{records.root} on the root disk, {records.data} on the data disk, without a gap" in line


def console_line(site: Site, image_id: str, wanted: str, seconds: float = 200) -> str:
    """What an instance of the image says on its console."""
    ec2 = boto3.client("ec2", region_name="eu-central-1", endpoint_url=site.sandbox.endpoint)
    [instance] = ec2.run_instances(ImageId=image_id, MinCount=1, MaxCount=1, InstanceType="t3.micro")["Instances"]
    try:
        deadline = time.monotonic() + seconds
        while True:
            text = ec2.get_console_output(InstanceId=instance["InstanceId"], Latest=True).get("Output", "")
            if found := [line for line in text.splitlines() if wanted in line]:
                return str(found[0])
            assert time.monotonic() < deadline, text[-2000:]
            time.sleep(0.2)
    finally:
        ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])
