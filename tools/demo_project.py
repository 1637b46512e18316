"""What the demo does to the Pulumi project, each as a user would type it: settings, previews, ups, and the sandbox."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from rehost.aws import Aws, AwsSettings
from rehost.control import ControlPlane
from rehost.processes import is_running
from sandbox import Sandbox
from tools.environment import backend_url, environment

STACK = "demo"
REGION = "eu-central-1"
#: The sandbox takes any key; these only keep the SDK from looking for real ones.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "sandbox", "AWS_SECRET_ACCESS_KEY": "sandbox", "AWS_REGION": REGION}

SPEC = """\
# The demo's estate. Act 6 of `make demo` edits this very file.
apiVersion: rehost/v1

sources:
  exports: {type: images, path: ../machines}

schedules:
  twice-a-day: {every: 12h, keepImages: 5}

launchConfigs:
  small: {instanceType: t3.micro, tags: {environment: demo}}

servers:
  web-01:
    source: exports
    locator: {path: web-01.raw}
    schedule: twice-a-day
    image: {conversion: register}
    launchConfig: small
  db-01:
    source: exports
    locator: {disks: [db-01/root.raw, db-01/data.raw]}
    schedule: twice-a-day
    image: {conversion: import}
    launchConfig: small

applications:
  shop:
    phase: replicate
    groups:
      db: {servers: [db-01]}
      web: {servers: [web-01], after: [db]}
"""


class DemoProject:
    """The repository's own Pulumi project with a stack `demo`, whose endpoint is a sandbox of this process."""

    def __init__(self, root: Path, folder: Path, console: Console, text: str = SPEC) -> None:
        """`text` is the spec to begin with."""
        self.root, self.folder, self.console, self.text = root, folder, console, text
        self.specs = folder / "specs"
        self.spec = self.specs / "estate.yaml"
        self.env_file = folder / "env"
        self.credentials = {
            "aws_access_key_id": "sandbox",
            "aws_secret_access_key": "sandbox",
            "region_name": REGION,
        }
        self.endpoint = ""
        self.forget_earlier()

    def forget_earlier(self) -> None:
        """End what an earlier `KEEP=1` left running, and remove its files and its stack."""
        self.stop()
        for name in ("specs", "sandbox", "control", "pulumi"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        (self.root / f"Pulumi.{STACK}.yaml").unlink(missing_ok=True)

    def start(self) -> None:
        """Start the sandbox, write the spec, and make the stack."""
        self.specs.mkdir(parents=True)
        self.spec.write_text(self.text)
        # Detached: with KEEP=1 it outlives the demo.
        sandbox = Sandbox(self.folder / "sandbox", options=()).start(detached=True)
        self.endpoint = sandbox.endpoint
        database = self.folder / "control" / "control.db"
        backend = self.folder / "pulumi"
        backend.mkdir()
        demo = {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": self.endpoint,
            "REHOST_DATABASE": f"sqlite:///{database}",
            "PULUMI_BACKEND_URL": backend_url(backend),
            "PULUMI_CONFIG_PASSPHRASE": "",
        }
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "REHOST_"))}
        self.environment = {
            **environment(outside, demo=False),
            **demo,
        }
        # The stack's configuration names the endpoint: nothing else may.
        del self.environment["AWS_ENDPOINT_URL"]
        self.env_file.write_text("".join(f"{name}={value}\n" for name, value in demo.items()))
        self.pulumi("stack", "select", "--create", STACK, quiet=True)
        settings = {
            "rehost:region": REGION,
            "rehost:endpoint": self.endpoint,
            "rehost:specs": str(self.specs.relative_to(self.root)),
            "rehost:database": f"sqlite:///{database.relative_to(self.root)}",
        }
        self.pulumi(
            "config",
            "set-all",
            *(part for pair in settings.items() for part in ("--plaintext", "=".join(pair))),
            quiet=True,
        )

    def edit_spec(self, changes: dict[str, str]) -> None:
        text = self.spec.read_text()
        for old, new in changes.items():
            if old not in text:
                raise SystemExit(f"the demo's spec has no {old!r}")
            text = text.replace(old, new)
            self.console.print(f"  [red]- {old}[/]\n  [green]+ {new}[/]")
        self.spec.write_text(text)

    def pulumi(self, *arguments: str, quiet: bool = False) -> None:
        self._run(["pulumi", *arguments], quiet)

    def rehost(self, *arguments: str) -> None:
        self._run(["rehost", *arguments], quiet=False)

    def pulumi_json(self, *arguments: str) -> Any:
        return json.loads(self._output(["pulumi", *arguments]))

    def rehost_json(self, *arguments: str) -> Any:
        return json.loads(self._output(["rehost", *arguments]))

    def owned(self) -> list[str]:
        """Everything in the sandbox's EC2 with this stack's tag, one line each."""
        return [str(entry) for entry in self.aws().list_owned(STACK)]

    def aws(self) -> Aws:
        """The sandbox, as the product speaks to it."""
        os.environ.update(CREDENTIALS)
        return Aws(AwsSettings(region=REGION, profile=None, endpoint=self.endpoint))

    def stop(self) -> None:
        """End what `start` started; the files stay for a look."""
        for pid in (
            *_connectors(self.folder / "control" / "control.db"),
            *_sandbox(self.folder / "sandbox" / "ready.json"),
        ):
            _end(pid)
        self.env_file.unlink(missing_ok=True)

    def say_what_next(self) -> None:
        self.console.print(
            "\nThe sandbox, the stack [bold]demo[/] and its instances are still there. Try:\n\n"
            "  [bold]make shell[/]                                a shell in which the following work\n"
            "  [bold]pulumi preview[/]                            no changes\n"
            f"  [bold]$EDITOR {self.spec.relative_to(self.root)}[/]   e.g. keepImages: 3, then pulumi preview --diff\n"
            "  [bold]rehost status[/]                             jobs, runs, images\n"
            "  [bold]aws ec2 describe-images --owners self[/]     the sandbox answers the ordinary AWS CLI\n"
            "  [bold]pulumi destroy[/]                            takes all of it away again\n"
        )

    def _run(self, command: list[str], quiet: bool) -> None:
        if not quiet:
            self.console.print(f"[dim]$ {shlex.join(command)}[/]")
            sys.stdout.flush()
        done = subprocess.run(
            command, cwd=self.root, env=self.environment, capture_output=quiet, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(
                f"{shlex.join(command)} exited with {done.returncode}\n{(done.stderr or '') if quiet else ''}"
            )

    def capture(self, command: list[str], *, show: bool = False) -> tuple[int, str]:
        """Exit code and output of a command that may fail; `show` prints its lines as they come."""
        lines = []
        with subprocess.Popen(
            command, cwd=self.root, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            for line in process.stdout or ():
                lines.append(line)
                if show:
                    self.console.print(line.rstrip("\n"), markup=False, soft_wrap=True)
        return process.returncode, "".join(lines)

    def _output(self, command: list[str]) -> str:
        return subprocess.run(
            command, cwd=self.root, env=self.environment, stdout=subprocess.PIPE, text=True, check=True
        ).stdout


def _connectors(database: Path) -> list[int]:
    """The processes of the connectors that are live on the demo's control plane."""
    if not database.exists():
        return []
    control = ControlPlane.open(f"sqlite:///{database}")
    try:
        return [connector.pid for connector in control.connectors.live()]
    finally:
        control.close()


def _sandbox(ready: Path) -> list[int]:
    """The sandbox's process, as its ready file has it."""
    try:
        return [int(json.loads(ready.read_text())["pid"])]
    except (OSError, ValueError, KeyError):
        return []


def _end(pid: int) -> None:
    """Terminate a process, if it still is one of ours, and wait until it is gone."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return
    if b"sandbox" not in command and b"rehost" not in command:
        return  # the number belongs to somebody else by now
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 20
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
