"""`make demo SOURCE=...` with a machine that runs and writes all the while: what the demos of live sources share.

A platform (`tools/demo_qemu.py` is one) starts the guest and says how the spec names its source; the acts, the proof and the
result are here. The result's file has the fields of the other demo's, and what became of the records.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from rich.syntax import Syntax

from rehost.blocks import BLOCK_SIZE
from rehost.control import ControlPlane, Run
from sandbox.machines import Disk, LiveGuest, Records, build, check_disks, make_live
from tools.demo import CACHE, FOLDER, ROOT, Demo, console
from tools.demo_project import DemoProject

SERVER = "web-01"
_WARM_UP = 40  # records before the first run; the machine is well under way then
_BETWEEN = 60  # records between the runs

_SPEC = """\
# The demo's estate: one machine, which runs all the while.
apiVersion: rehost/v1

sources:
  site: {source}

schedules:
  twice-a-day: {{every: 12h, keepImages: 5}}

launchConfigs:
  small: {{instanceType: t3.micro, tags: {{environment: demo}}}}

servers:
  {server}:
    source: site
    locator: {{name: {server}}}
    schedule: twice-a-day
    image: {{conversion: register}}
    launchConfig: small

applications:
  shop:
    phase: replicate
    groups:
      web: {{servers: [{server}]}}
"""


class LivePlatform(Protocol):
    """A place where the demo's machine lives."""

    @property
    def name(self) -> str:
        """What SOURCE=... calls it; the result's file is called so, too."""

    @property
    def source(self) -> str:
        """The entry of the spec's source, as YAML; its paths are relative to `build/demo/specs`."""

    def start(self, disks: Sequence[Disk]) -> LiveGuest:
        """Put the disks (raw images, the root disk first) where the platform has them, and power the guest on."""

    def leftovers(self) -> list[str]:
        """What a run left at the source, one line each, but for what the next run needs."""

    def stop(self) -> None:
        """End all that was started. May be repeated."""


@dataclass(frozen=True)
class Proof:
    """What one run's snapshots hold, against what the guest had told of by then."""

    records: Records
    told_before: int  # records that the guest had told of before the point in time
    told_after: int  # and after it
    consistency: str

    @property
    def gapless(self) -> bool:
        """Both disks are of one moment, nothing told of before it is missing, and nothing written after it is there."""
        # One that was safe on both disks may not have been told of yet.
        return (
            self.records.of_one_moment
            and self.told_before <= self.records.data
            and self.records.root <= self.told_after + 1
        )


class LiveDemo(Demo):
    def __init__(self, keep: bool, platform: LivePlatform) -> None:
        text = _SPEC.format(source=platform.source, server=SERVER)
        super().__init__(keep, DemoProject(ROOT, FOLDER, console, text))
        self.platform = platform
        self.result_file = f"{platform.name}.json"
        self.result |= {"records_gapless": False, "runs": []}
        self.proofs: list[Proof] = []
        self.guest: LiveGuest

    def play(self) -> None:
        with self.act(1, "a machine that writes all the while"):
            self.start_machine()
        with self.act(2, "the spec, and what Pulumi would do"):
            self.project.start()
            console.print(Syntax(self.project.spec.read_text(), "yaml", background_color="default"))
            self.project.rehost("validate", str(self.project.specs))
            self.project.pulumi("preview")
        with self.act(3, "pulumi up: it is replicated while it runs"):
            with self.watched() as watch:
                self.project.pulumi("up", "--yes", "--skip-preview")
            self.prove(watch)
        with self.act(4, "a second run sends only what changed"):
            self.guest.wait_for(self.guest.acknowledged() + _BETWEEN)
            with self.watched() as watch:
                self.project.rehost("run", SERVER)
            self.prove(watch)
            self.compare_runs()
        with self.act(5, "phase: test, and the migrated machine's own console"):
            self.project.edit_spec({"phase: replicate": "phase: test"})
            self.project.pulumi("preview", "--diff")
            self.project.pulumi("up", "--yes", "--skip-preview")
            self.boot()
        with self.act(6, "pulumi up again: nothing to do"):
            self.project.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
        if not self.keep:
            with self.act(7, "pulumi destroy, and nothing is left"):
                self.project.pulumi("destroy", "--yes", "--skip-preview")
                self.leftovers()

    def start_machine(self) -> None:
        self.machines = build(FOLDER / "machines", cache=CACHE, on_progress=lambda line: console.print(f"  {line}"))
        if not self.machines.bootable:
            raise SystemExit(f"this demo needs a machine that boots: {self.machines.reason}")
        live = FOLDER / "live"
        shutil.rmtree(live, ignore_errors=True)
        self.guest = self.platform.start(make_live(self.machines.web, live))
        console.print(f"{SERVER} boots in QEMU; its console is {self.guest.console.relative_to(ROOT)}")
        count = self.guest.wait_for(_WARM_UP)
        console.print(f"it has appended {count} records to each of its two disks, each with fsync, and goes on")

    @contextlib.contextmanager
    def watched(self) -> Iterator[Watch]:
        watch = Watch(self.guest, self.project.folder / "control" / "control.db")
        watch.start()
        try:
            yield watch
        finally:
            watch.end()
        if watch.told_after < 0:
            raise SystemExit("no point in time was taken")

    def prove(self, watch: Watch) -> None:
        """Read the run's snapshots back from EBS as disks, and hold the file systems and the records on them to be whole."""
        self.verify()
        entry = self.result["servers"][SERVER]
        paths = [self.restore(disk["snapshot_ids"][-1], disk["key"], disk["bytes"]) for disk in entry["disks"]]
        records = check_disks(*paths)
        for path in paths:
            path.unlink()
        proof = Proof(records, watch.told_before, watch.told_after, watch.consistency)
        self.proofs.append(proof)
        self.result["runs"].append({**asdict(proof), "gapless": proof.gapless})
        self.result["records_gapless"] = all(each.gapless for each in self.proofs)
        console.print(
            f"both file systems are clean after the replay of their journals; {records.root} records on the root disk, "
            f"{records.data} on the data disk, none missing or damaged; the guest had told of {proof.told_before} before "
            f"the point in time ({proof.consistency}-consistent), of {proof.told_after} after it, and of "
            f"{self.guest.acknowledged()} by now"
        )
        if not proof.gapless:
            raise SystemExit("the records are not those of one moment")

    def restore(self, snapshot_id: str, key: str, size: int) -> Path:
        """A snapshot as a sparse raw image."""
        path = FOLDER / "live" / f"restored-{key}.raw"
        ebs = self.project.aws().ebs
        with open(path, "wb") as file:
            file.truncate(size)
            for index, token in ebs.blocks_of(snapshot_id):
                file.seek(index * BLOCK_SIZE)
                file.write(ebs.blocks.get(snapshot_id, index, token)[: size - index * BLOCK_SIZE])
        return path

    def compare_runs(self) -> None:
        for disk in self.result["servers"][SERVER]["disks"]:
            first, second = disk["sent_bytes"][0], disk["sent_bytes"][-1]
            console.print(f"{disk['key']}: {first >> 20} MiB by the first run, {second >> 20} MiB by the second")
            # A data disk is small, and its journal goes round: what moves there is most of it.
            if disk is self.result["servers"][SERVER]["disks"][0] and second > first // 4:
                raise SystemExit("the second run sent more than what changed")

    def boot(self) -> None:
        outputs = self.project.pulumi_json("stack", "output", "--json")
        instance_id = outputs["instances"][SERVER]["instanceId"]
        self.result["servers"][SERVER]["instance_id"] = instance_id
        line = self.await_console(instance_id, "rehost: records:")
        line = line[line.index("rehost:") :]  # the console offers a login on the same line
        self.result["console_line"] = line
        console.print(f"the migrated machine says: [bold green]{line}[/]")
        records = self.proofs[-1].records
        wanted = f"rehost: records: {records.root} on the root disk, {records.data} on the data disk, without a gap"
        if line != wanted:
            raise SystemExit(f"it should have said: {wanted}")

    def leftovers(self) -> None:
        super().leftovers()
        if left := self.platform.leftovers():
            raise SystemExit(f"left over at the source: {', '.join(left)}")
        console.print("[green]nothing is left at the source but what the next run would need[/]")

    def close(self) -> None:
        if not self.keep:
            self.platform.stop()


class Watch(threading.Thread):
    """Notes what the guest had told of just before and just after the next point in time."""

    def __init__(self, guest: LiveGuest, database: Path) -> None:
        super().__init__(name="watch", daemon=True)
        self._guest, self._database = guest, database
        self._ended = threading.Event()
        self._known: set[str] = set()
        if database.exists():
            with self._control() as control:
                self._known = {run.id for run in self._runs(control)}
        self.told_before = guest.acknowledged()
        self.told_after = -1
        self.consistency = "unknown"

    def run(self) -> None:
        while not self._database.exists():
            if self._ended.wait(0.05):
                return
        with self._control() as control:
            while self.told_after < 0 and not self._ended.wait(0.02):
                told = self._guest.acknowledged()
                for run in self._runs(control):
                    if run.id in self._known:
                        continue
                    if run.freeze_token is not None:
                        self.told_after, self.consistency = self._guest.acknowledged(), str(run.consistency)
                    elif run.stage in (None, "preflight"):
                        self.told_before = told  # asked before the run was: the point in time was still to come

    @contextlib.contextmanager
    def _control(self) -> Iterator[ControlPlane]:
        control = ControlPlane.open(f"sqlite:///{self._database}")
        try:
            yield control
        finally:
            control.close()

    def _runs(self, control: ControlPlane) -> list[Run]:
        return [run for job in control.jobs.list() for run in control.runs.list(job.id, limit=3)]

    def end(self) -> None:
        self._ended.set()
        self.join()
