"""`make demo`: a real `pulumi up` migrates two machines into the sandbox, in eight acts.

Everything it does, a user could type: it edits YAML, and calls `pulumi` and `rehost`. What it measured goes to
`build/demo/result.json`. `KEEP=1` stops before act 8 and leaves the sandbox running for you.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table

from sandbox.machines import MESSAGE_PATH, Machines, build, write_file
from tools.demo_project import DemoProject

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "demo"
CACHE = ROOT / ".cache"
MESSAGE = "written on the source disk in act 5"
#: What SOURCE=... may be beside `images`: the module whose `demo(keep)` makes that demo.
LIVE = {
    "qemu": "tools.demo_qemu",
    "vsphere": "tools.demo_vsphere",
    "hyperv": "tools.demo_hyperv",
    "azure": "tools.demo_azure",
}
#: What SCENARIO=... may be, and the class that plays it.
SCENARIOS = {"shop": "tools.demo_shop:ShopDemo", "gitops": "tools.demo_gitops:GitopsDemo"}
CONSOLE_SECONDS = 90  # a guest without KVM takes 4 to 40 s to boot on two cores
LIVES = 2  # about one guest in a hundred hangs early in its boot under QEMU's emulation on a busy machine

console = Console(highlight=False)


class Demo:
    """The acts, in order; `result` is what the result's file will say."""

    #: The result's file in `build/demo`.
    result_file = "result.json"

    def __init__(self, keep: bool, project: DemoProject | None = None) -> None:
        self.keep = keep
        self.result: dict[str, Any] = {"servers": {}, "console_line": None, "leftovers": None, "seconds": {}}
        self.project = project or DemoProject(ROOT, FOLDER, console)
        self.machines: Machines

    @contextmanager
    def act(self, number: int, headline: str) -> Iterator[None]:
        console.print()
        console.rule(f"[bold cyan]Act {number}[/]  [bold]{headline}[/]", align="left")
        started = time.monotonic()
        yield
        self.result["seconds"][f"{number} {headline}"] = round(time.monotonic() - started, 1)

    def play(self) -> None:
        with self.act(1, "two machines to migrate"):
            self.make_machines()
        with self.act(2, "the spec, and what Pulumi would do"):
            self.project.start()
            console.print(Syntax(self.project.spec.read_text(), "yaml", background_color="default"))
            self.project.rehost("validate", str(self.project.specs))
            self.project.pulumi("preview")
        with self.act(3, "pulumi up: both machines replicate"):
            self.project.pulumi("up", "--yes", "--skip-preview")
            self.project.rehost("status")
        with self.act(4, "the snapshots, read back and compared"):
            self.verify("--source")
        with self.act(5, "a change on a source disk, and how little of it moves"):
            write_file(self.machines.web.disks[0].path, MESSAGE_PATH, f"{MESSAGE}\n".encode())
            console.print(f"wrote [green]{MESSAGE!r}[/] into web-01's root file system")
            self.project.rehost("run", "web-01", "db-01")
            self.verify("--source")
        with self.act(6, "phase: test, another instance type"):
            self.project.edit_spec(
                {"phase: replicate": "phase: test", "instanceType: t3.micro": "instanceType: t3.small"}
            )
            self.project.pulumi("preview", "--diff")
            self.project.pulumi("up", "--yes", "--skip-preview")
            self.instances()
        with self.act(7, "pulumi up again: nothing to do"):
            self.project.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
        if not self.keep:
            with self.act(8, "pulumi destroy, and nothing is left"):
                self.project.pulumi("destroy", "--yes", "--skip-preview")
                self.leftovers()

    def make_machines(self) -> None:
        self.machines = build(FOLDER / "machines", cache=CACHE, on_progress=lambda line: console.print(f"  {line}"))
        if not self.machines.bootable:
            console.print(f"[yellow]the disks hold real file systems but do not boot:[/] {self.machines.reason}")
        table = Table("server", "disk", "size", "on disk", box=None, pad_edge=False)
        for machine in (self.machines.web, self.machines.db):
            for disk in machine.disks:
                stat = disk.path.stat()
                table.add_row(machine.name, disk.path.name, _mib(stat.st_size), _mib(stat.st_blocks * 512))
        console.print(table)

    def verify(self, *options: str) -> None:
        """`rehost verify` compares with the manifest and, with `--source`, block by block with the source itself."""
        self.project.rehost("verify", *options)
        report = self.project.rehost_json("verify", *options, "--json")
        status = self.project.rehost_json("status", "--json")
        for server in report["servers"]:
            entry = self.result["servers"].setdefault(
                server["server"], {"disks": [], "image_ids": [], "instance_id": None}
            )
            jobs = [job for job in status["jobs"] if job["server"] == server["server"]]
            entry["image_ids"] = [image["image_id"] for image in jobs[0]["images"]]
            for index, disk in enumerate(server["disks"]):
                if index == len(entry["disks"]):
                    entry["disks"].append({"key": disk["key"], "sent_bytes": [], "snapshot_ids": []})
                known = entry["disks"][index]
                known["bytes"] = disk["bytes"]
                known["allocated_bytes"] = disk["allocated_bytes"]
                known["verified"] = disk["verified"] and (disk["matches_source"] or "--source" not in options)
                if disk["snapshot_id"] not in known["snapshot_ids"]:
                    known["snapshot_ids"].append(disk["snapshot_id"])
                    known["sent_bytes"].append(disk["sent_bytes"])

    def instances(self) -> None:
        outputs = self.project.pulumi_json("stack", "output", "--json")
        for server, instance in outputs["instances"].items():
            self.result["servers"][server]["instance_id"] = instance["instanceId"]
        if not self.machines.bootable or not shutil.which("qemu-system-x86_64"):
            console.print(
                "[yellow]no console:[/] needs the Debian package qemu-system-x86 (and the boot disk of act 1)"
            )
            return
        line = self.await_console(outputs["instances"]["web-01"]["instanceId"], MESSAGE)
        console.print(f"the migrated machine says: [bold green]{line}[/]")

    def await_console(self, instance_id: str, wanted: str) -> str:
        """The first line with `wanted` on the console of an instance, which the sandbox boots in QEMU."""
        console.print(f"waiting for the console of {instance_id}, which boots the migrated disk in QEMU ...")
        ec2 = boto3.client("ec2", endpoint_url=self.project.endpoint, **self.project.credentials)
        for life in range(LIVES):
            if life:
                console.print("[yellow]it does not go on:[/] stopping and starting it, as an operator would")
                self.result["console_restarts"] = life
                ec2.stop_instances(InstanceIds=[instance_id])
                ec2.get_waiter("instance_stopped").wait(InstanceIds=[instance_id], WaiterConfig={"Delay": 1})
                ec2.start_instances(InstanceIds=[instance_id])
            line, text = console_line(ec2, instance_id, wanted)
            if line:
                self.result["console_line"] = line
                return line
        console.print(text[-3000:], markup=False)
        raise SystemExit(
            f"the migrated machine did not print {wanted!r} within {CONSOLE_SECONDS} s, started {LIVES} times; its console is above"
        )

    def leftovers(self) -> None:
        owned = self.project.owned()
        self.result["leftovers"] = len(owned)
        if owned:
            for line in owned:
                console.print(f"[red]left over:[/] {line}")
            raise SystemExit("pulumi destroy left something behind")
        console.print("[green]nothing in the sandbox carries this stack's tags any longer[/]")

    def summary(self) -> None:
        table = Table("server", "disk", "size", "allocated", "sent by each run", "verified", box=None, pad_edge=False)
        for server, entry in self.result["servers"].items():
            for disk in entry["disks"]:
                sent = "  ".join(_mib(count) for count in disk["sent_bytes"])
                verified = "[green]yes[/]" if disk["verified"] else "[red]no[/]"
                table.add_row(server, disk["key"], _mib(disk["bytes"]), _mib(disk["allocated_bytes"]), sent, verified)
        console.print(table)

    def close(self) -> None:
        """End what else was started; here, nothing."""

    def write_result(self) -> Path:
        path = FOLDER / self.result_file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.result, indent=2) + "\n")
        return path


def console_line(ec2: Any, instance_id: str, wanted: str) -> tuple[str | None, str]:
    """The first line with `wanted` on an instance's console, None where it does not come, and the whole console."""
    deadline = time.monotonic() + CONSOLE_SECONDS
    text = ""
    while time.monotonic() < deadline:
        text = str(ec2.get_console_output(InstanceId=instance_id, Latest=True).get("Output", ""))
        line = next((line.strip() for line in text.splitlines() if wanted in line), None)
        if line:
            return line, text
        time.sleep(0.5)
    return None, text


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MiB"


def main() -> int:
    keep = os.environ.get("KEEP", "") not in ("", "0")
    source = os.environ.get("SOURCE", "")
    scenario = os.environ.get("SCENARIO", "")
    if scenario not in ("", *SCENARIOS):
        raise SystemExit(f"SCENARIO={scenario} is not one of: {', '.join(SCENARIOS)}")
    try:
        demo = _scenario(scenario, keep) if scenario else _demo(source, keep)
    except KeyError:
        raise SystemExit(f"SOURCE={source} is not one of: images, {', '.join(LIVE)}") from None
    return perform(demo)


def _demo(source: str, keep: bool) -> Demo:
    """The demo of a source; live ones are imported only when asked for. Raises KeyError."""
    if source in ("", "images"):
        return Demo(keep)
    demo: Demo = importlib.import_module(LIVE[source]).demo(keep)
    return demo


def _scenario(name: str, keep: bool) -> Demo:
    module, _, kind = SCENARIOS[name].partition(":")
    demo: Demo = getattr(importlib.import_module(module), kind)(keep)
    return demo


def perform(demo: Demo) -> int:
    """Play it, write down what was measured, and end what it started, whatever happens."""
    started = time.monotonic()
    try:
        demo.play()
    finally:
        demo.result["seconds"]["total"] = round(time.monotonic() - started, 1)
        path = demo.write_result()
        if not demo.keep:
            demo.project.stop()
        demo.close()
    console.print()
    console.rule("[bold green]done[/]", align="left")
    demo.summary()
    console.print(f"{demo.result['seconds']['total']:.0f} s in all; measured figures: {path.relative_to(ROOT)}")
    if demo.keep:
        demo.project.say_what_next()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
