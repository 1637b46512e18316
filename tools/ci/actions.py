"""What the actions of others leave behind, put there without them: they cannot be fetched here, and need not be."""

from __future__ import annotations

import shutil
from pathlib import Path

from tools import engine
from tools._paths import ROOT, VENV
from tools._progress import Progress
from tools.ci.forge import Forge, git
from tools.ci.job import Action, Call


def actions(forge: Forge, artifacts: Path) -> dict[str, Action]:
    """By name: the estate is checked out of the forge, rehost is this repository and its virtual environment, AWS is a sandbox."""

    def checkout(call: Call) -> None:
        if "repository" in call.inputs:
            (call.workspace / call.inputs["path"]).symlink_to(ROOT)
            call.outputs["commit"] = "0" * 40
            return
        _empty(call.workspace)
        git(call.workspace, "init", "--quiet")
        git(call.workspace, "remote", "add", "origin", str(forge.repository))
        commit, depth = str(call.github["sha"]), call.inputs.get("fetch-depth", "1")
        if depth == "0":
            git(
                call.workspace,
                "fetch",
                "--quiet",
                "origin",
                "+refs/heads/*:refs/remotes/origin/*",
                str(call.github["ref"]),
            )
        else:
            git(
                call.workspace,
                "fetch",
                "--quiet",
                f"--depth={depth}",
                f"file://{forge.repository}",
                str(call.github["ref"]),
            )
        git(call.workspace, "checkout", "--quiet", "--detach", commit)
        call.outputs["commit"] = commit

    def setup_python(call: Call) -> None:
        call.outputs["python-version"] = call.inputs["python-version"]

    def cache(call: Call) -> None:
        # An installation that an earlier job put there: this repository's own.
        (call.workspace / call.inputs["path"]).symlink_to(VENV)
        call.outputs["cache-hit"] = "true"

    def pulumi(call: Call) -> None:
        call.path.append(str(engine.ensure(Progress()).directory))

    def aws(call: Call) -> None:
        # The sandbox takes any key, and counts calls by it: so the role can be told from what it called.
        call.environment.update(credentials(call.inputs["role-to-assume"].rpartition("/")[2]))
        call.environment["AWS_REGION"] = call.inputs["aws-region"]

    def upload(call: Call) -> None:
        target = artifacts / call.inputs["name"]
        target.mkdir(parents=True, exist_ok=True)
        for path in call.workspace.glob(call.inputs["path"]):
            shutil.copy(path, target)

    return {
        "actions/checkout": checkout,
        "actions/setup-python": setup_python,
        "actions/cache": cache,
        "actions/upload-artifact": upload,
        "aws-actions/configure-aws-credentials": aws,
        "pulumi/actions": pulumi,
    }


def credentials(role: str) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": role, "AWS_SECRET_ACCESS_KEY": "sandbox"}


def _empty(folder: Path) -> None:
    """The folder without what an earlier job left: links go, not what they lead to."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
