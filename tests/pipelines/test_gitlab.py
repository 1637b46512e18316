"""The scripts of GitLab's jobs, run by bash as its runner does, against the sandbox and a server that keeps notes."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.comments.conftest import Notes
from tests.comments.conftest import merge_request as merge_request
from tests.comments.conftest import notes as notes
from tools.ci import Workplace
from tools.ci.forge import git

from .conftest import PIPELINES
from .test_github import TESTED, running
from .test_github import place as place

pytestmark = pytest.mark.engine


def run(job: str, place: Workplace, checkout: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A job in a checkout of its own; the runner gives bash all lines at once."""
    pipeline = yaml.safe_load((PIPELINES / "gitlab" / "gitlab-ci.yml").read_text("utf-8"))
    base = pipeline[pipeline[job]["extends"]]
    lines = [*base["before_script"], *pipeline[job]["script"]]
    script = "set -eo pipefail\n" + "\n".join(lines)
    environment = {
        **place.machine,
        # An image that has rehost and Pulumi; the sandbox takes any key in place of AWS's answer to the token.
        **place.job_environment(),
        **{name: str(value) for name, value in pipeline["variables"].items()},
        "CI": "true",
        "GITLAB_CI": "true",
        "CI_BUILDS_DIR": str(checkout.parent),
        "CI_JOB_ID": "11",
        "AWS_TOKEN": "a-token-of-gitlab",
        **variables,
    }
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=checkout,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert "a-token-of-gitlab" not in done.stdout
    after = subprocess.run(["bash", "-c", "\n".join(base["after_script"])], cwd=checkout, env=environment, check=False)
    assert after.returncode == 0
    assert list(checkout.parent.glob(".aws-token*")) == []
    return done


def test_a_merge_request_and_its_merge(place: Workplace, notes: Notes, merge_request: dict[str, str]) -> None:
    place.branch("test-example", TESTED, "Test the example")
    request = place.forge.open("test-example", "Test the example")
    checkout = place.folder / "builds" / "estate"
    git(place.folder, "clone", "--quiet", str(place.forge.repository), str(checkout))
    git(checkout, "checkout", "--quiet", "--detach", "origin/test-example")
    merge_request["CI_MERGE_REQUEST_TARGET_BRANCH_NAME"] = "main"

    done = run("plan", place, checkout, **merge_request)
    assert done.returncode == 0, done.stdout
    (note,) = notes.notes
    assert note["body"] == "<!-- rehost:plan -->\n" + (checkout / "plan.md").read_text()

    place.forge.merge(request)
    git(checkout, "fetch", "--quiet", "origin")
    git(checkout, "checkout", "--quiet", "--detach", "origin/main")
    done = run("up", place, checkout)
    assert done.returncode == 0, done.stdout
    assert len(running(place)) == 1
    assert (checkout / "report.html").exists()


def test_a_wrong_spec_ends_with_its_errors(place: Workplace, notes: Notes, merge_request: dict[str, str]) -> None:
    place.edit({"schedule: daily": "schedule: dayly"})
    done = run("plan", place, place.clone, **merge_request)
    assert done.returncode == 2
    assert re.search(r"estate\.yaml:\d+:\d+: ", done.stdout)
    assert notes.notes == []
