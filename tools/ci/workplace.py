"""An estate with everything around it: a person's clone, the forge, and a runner that carries its jobs out against a sandbox."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from sandbox import Sandbox
from tools._paths import VENV
from tools.ci.actions import actions, credentials
from tools.ci.forge import IDENTITY, MAIN, Forge, PullRequest, git
from tools.ci.job import Job, JobResult, StepResult
from tools.environment import backend_url, project_environment

STACK = "prod"
REGION = "eu-central-1"
PASSPHRASE = "a passphrase of the estate"
_OURS = ("PATH", "VIRTUAL_ENV", "PULUMI_BACKEND_URL", "PULUMI_CONFIGPASSPHRASE")


@dataclass
class Workplace:
    """`folder` gets the clone, the runner's workspace, state and artifacts; `database` is the control plane's SQLite file."""

    folder: Path
    forge: Forge
    sandbox: Sandbox
    database: Path
    connector_idle: float = 20.0
    on_step: Callable[[StepResult], None] = lambda _: None
    machine: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.clone = self.folder / "estate"
        self.workspace = self.folder / "runner" / "estate"
        self.artifacts = self.folder / "artifacts"
        self.backend = self.folder / "pulumi"
        for each in (self.backend, self.database.parent):
            each.mkdir(parents=True, exist_ok=True)
        self.database_url = f"sqlite:///{self.database}"
        self._prepared = project_environment()
        outside = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "REHOST_", "PULUMI_", "GITHUB_", "GITLAB_", "GIT_"))
        }
        # The machine has neither rehost nor Pulumi on PATH: that is what the job's own steps are for.
        path = [each for each in os.environ["PATH"].split(":") if each not in (str(VENV / "bin"), "")]
        self.machine = {
            **outside,
            **{name: value for name, value in self._prepared.items() if name not in _OURS},
            "PATH": ":".join(path),
            "AWS_ENDPOINT_URL": self.sandbox.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            "REHOST_CONNECTOR_IDLE": str(self.connector_idle),
        }
        self.machine.pop("VIRTUAL_ENV", None)

    def person(self, *command: str, folder: Path | None = None, ok: bool = True) -> subprocess.CompletedProcess[str]:
        """What a person types in the clone, with rehost and pulumi on PATH. Raises CalledProcessError unless it may fail."""
        # A clone of its own, though the folder may be within another one: the demo's is.
        alone = {"GIT_CEILING_DIRECTORIES": str(self.folder.resolve())}
        environment = {**self.machine, **self.job_environment(), **IDENTITY, **alone}
        return subprocess.run(
            command,
            cwd=folder or self.clone,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=ok,
        )

    def job_environment(self) -> dict[str, str]:
        """What a machine needs on top to have rehost, Pulumi with its state, and AWS."""
        return {
            **credentials("person"),
            "AWS_REGION": REGION,
            "PATH": self._prepared["PATH"],
            "VIRTUAL_ENV": str(VENV),
            "PULUMI_BACKEND_URL": backend_url(self.backend),
            "PULUMI_CONFIGPASSPHRASE": PASSPHRASE,
            "PULUMI_STACK": STACK,
            "REHOST_DATABASE": self.database_url,
        }

    def start(self) -> None:
        """Make the estate as its README says, and push it: the stack, its control plane, and everything that `rehost init` wrote."""
        self.person(
            "rehost", "init", str(self.clone), "--region", REGION, "--rehost", "example/rehost", folder=self.folder
        )
        self.person("pulumi", "stack", "init", STACK)
        self.person("pulumi", "config", "set", "--secret", "rehost:database", self.database_url)
        git(self.clone, "remote", "add", "origin", str(self.forge.repository))
        self.commit("Begin the estate")
        git(self.clone, "push", "--quiet", "origin", MAIN)

    def commit(self, message: str) -> None:
        git(self.clone, "add", "--all")
        git(self.clone, "commit", "--quiet", "--message", message)

    def branch(self, name: str, changes: dict[str, str], message: str) -> None:
        """Begin a branch at the newest main, or go on with it; edit the spec, commit, push."""
        git(self.clone, "fetch", "--quiet", "origin")
        start = (
            f"origin/{name}" if git(self.clone, "branch", "--remotes", "--list", f"origin/{name}") else f"origin/{MAIN}"
        )
        git(self.clone, "checkout", "--quiet", "-B", name, start)
        self.edit(changes)
        self.commit(message)
        git(self.clone, "push", "--quiet", "origin", name)

    def edit(self, changes: dict[str, str]) -> None:
        spec = self.clone / "migration_specs" / "estate.yaml"
        text = spec.read_text("utf-8")
        for old, new in changes.items():
            if old not in text:
                raise LookupError(f"the estate's spec has no {old!r}")
            text = text.replace(old, new)
        spec.write_text(text, "utf-8")

    def run(self, job: str, request: PullRequest | None = None, *, workflow: str = "rehost.yml") -> JobResult:
        """A job as GitHub runs it: for the merge commit of a pull request, or for main; by the workflow as it stands there."""
        with tempfile.TemporaryDirectory() as scratch:
            event = self.forge.event(Path(scratch), request)
            file = Path(scratch) / workflow
            file.write_text(git(self.forge.repository, "show", f"{event['sha']}:.github/workflows/{workflow}"))
            environment = yaml.safe_load(file.read_text())["jobs"][job]["environment"]
            runner = Job(
                self.workspace,
                self.machine,
                event,
                actions(self.forge, self.artifacts),
                variables={
                    "PULUMI_BACKEND_URL": backend_url(self.backend),
                    "AWS_ROLE": f"arn:aws:iam::123456789012:role/{environment}",
                },
                secrets={"PULUMI_CONFIGPASSPHRASE": PASSPHRASE, "REHOST_DATABASE": self.database_url},
                on_step=self.on_step,
            )
            return runner.run(file, job)
