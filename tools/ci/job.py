"""A job of a workflow, step by step: conditions, environment, files for output, and each `run:` by the shell that GitHub takes."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tools.ci.expressions import evaluate, fill, is_true

#: What a step, a job and an action may say. Anything else raises: it would not be done.
_STEP_KEYS = {"name", "id", "if", "uses", "with", "run", "env", "shell", "working-directory"}
_JOB_KEYS = {"if", "runs-on", "timeout-minutes", "environment", "concurrency", "permissions", "env", "steps"}
#: https://docs.github.com/en/actions/reference/workflow-syntax-for-github-actions#jobsjob_idstepsshell
_SHELLS = {None: ["bash", "-e"], "bash": ["bash", "--noprofile", "--norc", "-eo", "pipefail"]}
_STEP_SECONDS = 600
_STATUS = ("always(", "success(", "failure(", "cancelled(")


class Unsupported(Exception):
    """The workflow says something that cannot be done here."""


@dataclass(frozen=True)
class StepResult:
    name: str
    outcome: str  # success, failure or skipped
    seconds: float
    output: str


@dataclass(frozen=True)
class JobResult:
    """`ran` is False where the job's own condition kept it from running."""

    ran: bool
    steps: list[StepResult]
    summary: str

    @property
    def succeeded(self) -> bool:
        return self.ran and all(step.outcome != "failure" for step in self.steps)

    def step(self, name: str) -> StepResult:
        return next(step for step in self.steps if step.name == name)

    def told(self) -> str:
        """Everything that was printed, for a failed test to show."""
        return "\n".join(f"--- {step.name}: {step.outcome}\n{step.output}" for step in self.steps)


@dataclass
class Call:
    """An action that a step uses: its inputs, and what it leaves for the steps that follow."""

    workspace: Path
    inputs: Mapping[str, str]
    github: Mapping[str, Any]
    outputs: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    path: list[str] = field(default_factory=list)


Action = Callable[[Call], None]


@dataclass
class Job:
    """`base` is the runner's environment, `github`, `vars` and `secrets` are contexts; `actions` are those of others, by name without version."""

    workspace: Path
    base: Mapping[str, str]
    github: Mapping[str, Any]
    actions: Mapping[str, Action]
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    on_step: Callable[[StepResult], None] = lambda _: None

    def run(self, workflow: Path, name: str) -> JobResult:
        """The steps of the job. A failed one is followed only by those whose condition says so. Raises Unsupported, ExpressionError."""
        job = yaml.safe_load(workflow.read_text("utf-8"))["jobs"][name]
        _only(job, _JOB_KEYS, f"the job {name}")
        self._results: list[StepResult] = []
        self._added: dict[str, str] = {}
        self._path: list[str] = []
        with tempfile.TemporaryDirectory() as scratch:
            self._scratch = Path(scratch)
            if not self._holds(job.get("if"), self._contexts({}, {}), implied=""):
                return JobResult(False, [], "")
            environment = self._filled(job.get("env", {}), self._contexts({}, {}))
            self._steps(job["steps"], environment, inputs={}, default_shell=None)
            summary = self._scratch / "summary"
            return JobResult(True, self._results, summary.read_text() if summary.exists() else "")

    def _steps(
        self,
        steps: list[dict[str, Any]],
        environment: Mapping[str, str],
        *,
        inputs: Mapping[str, str],
        default_shell: str | None,
    ) -> None:
        known: dict[str, Any] = {}
        for number, step in enumerate(steps):
            name = step.get("name") or step.get("uses") or f"step {number + 1}"
            _only(step, _STEP_KEYS, name)
            contexts = self._contexts({**environment, **self._added}, inputs, known)
            result = StepResult(name, "skipped", 0.0, "")
            outputs: dict[str, str] = {}
            nested = str(step.get("uses", "")).startswith("./")
            if self._holds(step.get("if"), contexts, implied="success()"):
                started = time.monotonic()
                own = {**environment, **self._filled(step.get("env", {}), contexts)}
                contexts = self._contexts({**own, **self._added}, inputs, known)
                if nested:
                    self._composite(step, own, contexts)
                    continue
                if "uses" in step:
                    outcome, output, outputs = self._action(step, contexts)
                else:
                    outcome, output, outputs = self._shell(step, own, contexts, default_shell)
                result = StepResult(name, outcome, round(time.monotonic() - started, 2), output)
            if "id" in step:
                known[step["id"]] = {"outputs": outputs, "outcome": result.outcome, "conclusion": result.outcome}
            self._results.append(result)
            self.on_step(result)

    def _composite(self, step: Mapping[str, Any], environment: Mapping[str, str], contexts: Mapping[str, Any]) -> None:
        """An action of this repository: its steps stand in the place of the step that uses it."""
        action = yaml.safe_load((self.workspace / step["uses"] / "action.yml").read_text("utf-8"))
        if action["runs"]["using"] != "composite":
            raise Unsupported(f"{step['uses']} is not composite")
        given = self._filled(step.get("with", {}), contexts)
        if unknown := set(given) - set(action["inputs"]):
            raise Unsupported(f"{step['uses']} has no input {unknown}")
        inputs = {}
        for name, declared in action["inputs"].items():
            if name not in given and declared.get("required"):
                raise Unsupported(f"{step['uses']} needs the input {name}")
            inputs[name] = given.get(name, str(declared.get("default", "")))
        self._steps(action["runs"]["steps"], environment, inputs=inputs, default_shell="must be said")

    def _action(self, step: Mapping[str, Any], contexts: Mapping[str, Any]) -> tuple[str, str, dict[str, str]]:
        name = step["uses"].partition("@")[0]
        if name not in self.actions:
            raise Unsupported(f"the action {name} is not known here")
        call = Call(self.workspace, self._filled(step.get("with", {}), contexts), self.github)
        self.actions[name](call)
        self._added |= call.environment
        self._path[:0] = call.path
        return "success", "", call.outputs

    def _shell(
        self,
        step: Mapping[str, Any],
        environment: Mapping[str, str],
        contexts: Mapping[str, Any],
        default_shell: str | None,
    ) -> tuple[str, str, dict[str, str]]:
        shell = step.get("shell", default_shell)
        if shell not in _SHELLS:
            raise Unsupported(f"the shell {shell} (in a composite action each step has to say it)")
        script = self._scratch / "script.sh"
        script.write_text(fill(step["run"], contexts, self._functions()))
        files = {name: self._scratch / name.lower() for name in ("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_PATH")}
        for file in files.values():
            file.write_text("")
        variables = {
            **self.base,
            **{
                f"GITHUB_{key.upper()}": value
                for key, value in self.github.items()
                if isinstance(value, str) and key != "token"  # a step gets it where it says so
            },
            "GITHUB_ACTIONS": "true",
            "CI": "true",
            "GITHUB_WORKSPACE": str(self.workspace),
            "GITHUB_STEP_SUMMARY": str(self._scratch / "summary"),
            **{name: str(file) for name, file in files.items()},
            **self._added,
            **environment,
        }
        variables["PATH"] = ":".join([*self._path, variables["PATH"]])
        done = subprocess.run(
            [*_SHELLS[shell], str(script)],
            cwd=self.workspace / step.get("working-directory", "."),
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_STEP_SECONDS,
            check=False,
        )
        self._added |= _settings(files["GITHUB_ENV"])
        self._path[:0] = reversed(files["GITHUB_PATH"].read_text().split("\n")[:-1])
        return "failure" if done.returncode else "success", done.stdout, _settings(files["GITHUB_OUTPUT"])

    def _contexts(
        self, environment: Mapping[str, str], inputs: Mapping[str, str], steps: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        return {
            "github": self.github,
            "env": environment,
            "vars": self.variables,
            "secrets": self.secrets,
            "inputs": inputs,
            "steps": steps or {},
            "runner": {"os": "Linux"},
        }

    def _functions(self) -> dict[str, Callable[..., Any]]:
        failed = any(step.outcome == "failure" for step in self._results)
        return {
            "always": lambda: True,
            "cancelled": lambda: False,
            "success": lambda: not failed,
            "failure": lambda: failed,
            "hashFiles": self._hash,
        }

    def _hash(self, *patterns: str) -> str:
        found = sorted({path for pattern in patterns for path in self.workspace.glob(pattern) if path.is_file()})
        digests = b"".join(hashlib.sha256(path.read_bytes()).digest() for path in found)
        return hashlib.sha256(digests).hexdigest() if found else ""

    def _holds(self, condition: object, contexts: Mapping[str, Any], *, implied: str) -> bool:
        """A condition; where it asks for no status itself, `implied` holds too."""
        text = "" if condition is None else str(condition).strip()
        text = text.removeprefix("${{").removesuffix("}}") if text.startswith("${{") else text
        if implied and not any(name in text for name in _STATUS):
            text = f"{implied} && ({text})" if text else implied
        return is_true(evaluate(text, contexts, self._functions())) if text else True

    def _filled(self, values: Mapping[str, Any], contexts: Mapping[str, Any]) -> dict[str, str]:
        return {name: fill(_plain(value), contexts, self._functions()) for name, value in values.items()}


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _only(content: Mapping[str, Any], keys: set[str], where: str) -> None:
    if unknown := set(content) - keys:
        raise Unsupported(f"{where} says {', '.join(sorted(unknown))}")


def _settings(file: Path) -> dict[str, str]:
    """NAME=VALUE lines, and NAME<<END blocks."""
    found: dict[str, str] = {}
    lines = iter(file.read_text().splitlines())
    for line in lines:
        name, separator, value = line.partition("=")
        if separator and "<<" not in name:
            found[name] = value
        elif "<<" in line:
            name, _, end = line.partition("<<")
            block = []
            for inner in lines:
                if inner == end:
                    break
                block.append(inner)
            found[name] = "\n".join(block)
    return found
