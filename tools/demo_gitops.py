"""`make demo SCENARIO=gitops`: an estate of its own in a bare Git repository, run by the pipeline that `rehost init` writes.

Each job's own steps are run as they stand in the workflow, against the sandbox. `build/demo/gitops.json` says of each step how long it
took and whether it did what it should; pictures of the plan and of the report are taken where Debian's chromium is.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from rich.markdown import Markdown
from rich.panel import Panel
from rich.table import Table

from sandbox import Sandbox
from tools import browser
from tools.ci import Forge, JobResult, PullRequest, StepResult, Workplace
from tools.ci.forge import MAIN, git
from tools.ci.workplace import REGION, STACK
from tools.demo import FOLDER, ROOT, Demo, console
from tools.demo_project import CREDENTIALS, DemoProject

_BRANCH = "test-example"
#: What the pull requests edit in the spec of `rehost init`.
TO_TEST = {"phase: replicate": "phase: test"}
PLAIN = {"encrypt: true": "encrypt: false"}
NONSENSE = {"schedule: daily": "schedule: dayly"}
SMALLER = {"instanceType: t3.small": "instanceType: t3.micro"}


class Unproved(SystemExit):
    """The demo did not show what it is there to show."""


class GitopsProject(DemoProject):
    """The files and processes of this scenario, which has a Pulumi project of its own."""

    def forget_earlier(self) -> None:
        super().forget_earlier()
        shutil.rmtree(self.folder / "gitops", ignore_errors=True)
        for picture in self.folder.glob("gitops-*.png"):
            picture.unlink()

    def say_what_next(self) -> None:
        place = self.folder.relative_to(self.root)
        self.console.print(
            f"\nThe sandbox is still there, at {self.endpoint}; the estate is in [bold]{place}/gitops/estate[/], the plan's comment in "
            f"[bold]{place}/gitops/plan.md[/], the report in [bold]{place}/gitops/artifacts/report/report.html[/]."
        )


class GitopsDemo(Demo):
    result_file = "gitops.json"

    def __init__(self, keep: bool) -> None:
        super().__init__(keep, GitopsProject(ROOT, FOLDER, console))
        self.result = {"proved": False, "steps": [], "comment": {}, "pictures": [], "leftovers": None, "seconds": {}}
        self.folder = FOLDER / "gitops"

    def play(self) -> None:
        # Detached: with KEEP=1 it outlives the demo.
        sandbox = Sandbox(FOLDER / "sandbox", options=()).start(detached=True)
        self.project.endpoint = sandbox.endpoint
        with Forge(self.folder / "forge") as forge:
            self.forge = forge
            database = FOLDER / "control" / "control.db"
            self.place = Workplace(self.folder, forge, sandbox, database, connector_idle=60.0, on_step=_show)
            with self.act(1, "rehost init: an estate repository, and its first up"):
                self.begin()
            with self.act(2, "a pull request that changes a phase, and its comment"):
                request = self.propose()
            with self.act(3, "another push: the same comment, changed"):
                self.push_again(request)
            with self.act(4, "a pull request that is wrong, and one that a policy refuses"):
                self.propose_nonsense()
                self.propose_what_is_refused()
            with self.act(5, "the merge, the up, and the report"):
                self.merge(request)
            with self.act(6, "drift: somebody terminates the instance by hand"):
                self.drift()
            with self.act(7, "the way back is a revert"):
                self.revert(request)
            if not self.keep:
                with self.act(8, "pulumi destroy, and nothing is left"):
                    self.destroy()
        self.result["proved"] = all(step["ok"] for step in self.result["steps"])

    @contextmanager
    def step(self, what: str) -> Iterator[dict[str, Any]]:
        """Note a step; it did what it should unless the block raises."""
        entry: dict[str, Any] = {"step": what, "ok": False, "seconds": 0.0}
        self.result["steps"].append(entry)
        started = time.monotonic()
        try:
            yield entry
            entry["ok"] = True
        finally:
            entry["seconds"] = round(time.monotonic() - started, 1)

    def begin(self) -> None:
        with self.step("init, stack and first push"):
            self.place.start()
            console.print(f"[dim]$ rehost init estate --region {REGION}[/]")
            for name in git(self.place.clone, "ls-files").split("\n"):
                console.print(f"  {name}")
        with self.step("job up on main: the first image"):
            self.job("up")
            if self.running():
                raise Unproved("replicating launched something")

    def propose(self) -> PullRequest:
        with self.step("branch and pull request"):
            self.place.branch(_BRANCH, TO_TEST, "Test the example")
            request = self.forge.open(_BRANCH, "Test the example")
            console.print(git(self.place.clone, "show", "--format=%s", "--unified=0", "HEAD"), markup=False)
        with self.step("job preview: the plan as a comment"):
            self.job("preview", request)
            (comment,) = self.forge.comments[request.number]
            (self.folder / "plan.md").write_text(comment.body)
            self.result["comment"] = {"id": comment.id, "characters": len(comment.body), "changes": comment.changes}
            console.print(Panel(Markdown(visible(comment.body)), title=f"comment on #{request.number}"))
        with self.step("a preview changes nothing"):
            if self.running():
                raise Unproved("the preview launched something")
        self.picture(
            "plan", ["rehost", "plan", "--preview", "preview.json", "--base", f"origin/{MAIN}", "--format", "html"]
        )
        return request

    def push_again(self, request: PullRequest) -> None:
        with self.step("another push, job preview: the same comment changes"):
            self.place.branch(_BRANCH, SMALLER, "Take a smaller instance")
            self.job("preview", request)
            (comment,) = self.forge.comments[request.number]
            if (comment.id, comment.changes) != (self.result["comment"]["id"], 1):
                raise Unproved("there is another comment, or it was not changed")
            self.result["comment"]["changes"] = comment.changes
            console.print(f"comment {comment.id} was changed; there is one")

    def propose_nonsense(self) -> None:
        with self.step("a wrong spec: job preview fails before anything is asked of AWS"):
            self.place.branch("wrong", NONSENSE, "Mistype a schedule")
            request = self.forge.open("wrong", "Mistype a schedule")
            result = self.place.run("preview", request)
            validated = result.step("Validate the spec")
            console.print(validated.output, markup=False)
            if validated.outcome != "failure" or result.step("Preview").outcome != "skipped":
                raise Unproved("the wrong spec went on")

    def propose_what_is_refused(self) -> None:
        with self.step("a policy refuses: job preview fails, and the comment says which"):
            self.place.branch("plain", PLAIN, "Do without encryption")
            request = self.forge.open("plain", "Do without encryption")
            result = self.place.run("preview", request)
            (comment,) = self.forge.comments[request.number]
            console.print(result.step("Plan").output, markup=False)
            if result.step("Plan").outcome != "failure" or "image.encrypt" not in comment.body:
                raise Unproved("the policy refused nothing")

    def merge(self, request: PullRequest) -> None:
        with self.step("merge, job up: the instance runs"):
            self.forge.merge(request)
            self.job("up")
            if len(self.running()) != 1:
                raise Unproved("no instance runs")
        with self.step("the report page"):
            report = self.place.artifacts / "report" / "report.html"
            if "example-01" not in report.read_text():
                raise Unproved("the report does not know the server")
            self.photograph("report", report)
        with self.step("main again: nothing to do"):
            self.place.person(
                "pulumi", "preview", "--expect-no-changes", "--non-interactive", folder=self.place.workspace
            )

    def drift(self) -> None:
        with self.step("job drift: AWS is what the state says"):
            self.job("drift", workflow="rehost-drift.yml")
        with self.step("job drift fails once the instance is gone, and names it"):
            (instance,) = self.running()
            self.ec2().terminate_instances(InstanceIds=[instance])
            result = self.place.run("drift", workflow="rehost-drift.yml")
            if result.succeeded or instance not in result.told():
                raise Unproved("nobody noticed")

    def revert(self, request: PullRequest) -> None:
        with self.step("revert, pull request, merge, up: the example replicates again"):
            clone = self.place.clone
            git(clone, "fetch", "--quiet", "origin")
            git(clone, "checkout", "--quiet", "-B", "revert", f"origin/{MAIN}")
            git(clone, "revert", "--no-edit", "--mainline", "1", "HEAD")
            git(clone, "push", "--quiet", "origin", "revert")
            back = self.forge.open("revert", f"Revert #{request.number}")
            self.job("preview", back)
            self.forge.merge(back)
            self.job("up")
            status = self.place.person("rehost", "status", folder=self.place.workspace).stdout
            console.print(status, markup=False)
            if self.running() or "example-01" not in status:
                raise Unproved("it did not go back")

    def destroy(self) -> None:
        with self.step("destroy: nothing is left"):
            self.place.person(
                "pulumi", "destroy", "--yes", "--skip-preview", "--non-interactive", folder=self.place.workspace
            )
            owned = [str(each) for each in self.project.aws().list_owned(STACK)]
            self.result["leftovers"] = len(owned)
            if owned:
                raise Unproved(f"left over: {', '.join(owned)}")

    def job(self, name: str, request: PullRequest | None = None, *, workflow: str = "rehost.yml") -> JobResult:
        where = f"#{request.number}" if request else MAIN
        console.print(f"[dim]job {name} of {workflow}, for {where}[/]")
        result = self.place.run(name, request, workflow=workflow)
        if not result.succeeded:
            console.print(result.told(), markup=False)
            raise Unproved(f"the job {name} failed")
        return result

    def picture(self, name: str, command: list[str]) -> None:
        """Take a picture of the page that a command in the runner's workspace prints."""
        page = self.folder / f"{name}.html"
        done = self.place.person(*command, "--output", str(page), folder=self.place.workspace, ok=False)
        if done.returncode not in (0, 3):
            console.print(done.stdout, markup=False)
            raise Unproved(f"{command[0]} {command[1]} failed")
        self.photograph(name, page)

    def photograph(self, name: str, page: Path) -> None:
        if browser.program() is None:
            console.print(f"[yellow]no picture:[/] needs the Debian package {browser.PACKAGE}")
            return
        target = FOLDER / f"gitops-{name}.png"
        with tempfile.TemporaryDirectory() as profile, browser.Browser(Path(profile)) as running:
            running.open(page.resolve().as_uri(), width=1200).screenshot(target, whole=True)
        self.result["pictures"].append(target.name)
        console.print(f"picture: {target.relative_to(ROOT)}")

    def running(self) -> list[str]:
        found = self.ec2().describe_instances(Filters=[{"Name": "instance-state-name", "Values": ["running"]}])
        return [each["InstanceId"] for reservation in found["Reservations"] for each in reservation["Instances"]]

    def ec2(self) -> Any:
        return boto3.client(
            "ec2",
            endpoint_url=self.place.sandbox.endpoint,
            region_name=REGION,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )

    def summary(self) -> None:
        table = Table("step", "seconds", "did what it should", box=None, pad_edge=False)
        for step in self.result["steps"]:
            table.add_row(step["step"], f"{step['seconds']:.1f}", "[green]yes[/]" if step["ok"] else "[red]no[/]")
        console.print(table)


def _show(step: StepResult) -> None:
    colour = {"success": "green", "failure": "red", "skipped": "dim"}[step.outcome]
    console.print(f"  [{colour}]{step.outcome:<8}[/] {step.seconds:6.1f} s  {step.name}")


def visible(body: str) -> str:
    """The comment without what a terminal cannot fold."""
    lines = body.splitlines()
    return "\n".join(line for line in lines if not line.startswith(("<!--", "<details", "</details", "<summary")))
