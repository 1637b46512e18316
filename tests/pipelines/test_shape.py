"""The pipelines, by whoever knows best: actionlint, the schemas that GitHub's and GitLab's users share, pre-commit itself."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from rehost.scaffold import Settings, estate_files, write
from tests.docs.test_references import subcommands
from tools import actionlint
from tools._errors import SetupError
from tools._paths import sdk_version
from tools._progress import Progress

from .conftest import PIPELINES, ROOT

WORKFLOWS = ("rehost.yml", "rehost-drift.yml")
STACK_SCHEMA = Path(__file__).with_name("stack-parts.schema.json")


@pytest.fixture(scope="session")
def linter() -> Path:
    try:
        return actionlint.ensure(Progress())
    except SetupError as error:
        pytest.skip(f"actionlint is not here: {error}")


@pytest.fixture
def estate(tmp_path: Path) -> Path:
    """An estate repository on disk, where the workflow finds its action."""
    write(tmp_path / "estate", estate_files(Settings()))
    (tmp_path / "estate" / ".git").mkdir()  # actionlint looks for the top of the repository
    return tmp_path / "estate"


def lint(linter: Path, folder: Path) -> list[dict[str, Any]]:
    workflows = sorted((folder / ".github" / "workflows").iterdir())
    command = [str(linter), "-format", "{{json .}}", "-no-color", "-shellcheck=", "-pyflakes=", *map(str, workflows)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def published(name: str) -> Any:
    """A schema that check-jsonschema ships, with the checksum it has there."""
    return json.loads((files("check_jsonschema") / "builtin_schemas" / "vendor" / f"{name}.json").read_text("utf-8"))


def load(*parts: str) -> Any:
    return yaml.safe_load((PIPELINES.joinpath(*parts)).read_text("utf-8"))


def problems(schema: Any, content: Any) -> list[str]:
    kind = jsonschema.validators.validator_for(schema)
    return [f"{error.json_path}: {error.message}" for error in kind(schema).iter_errors(_as_json(content))]


def _as_json(content: Any) -> Any:
    """YAML 1.1 reads the key `on` as true; GitHub does not."""
    if isinstance(content, dict):
        return {("on" if key is True else str(key)): _as_json(value) for key, value in content.items()}
    return [_as_json(each) for each in content] if isinstance(content, list) else content


def test_actionlint_finds_nothing(linter: Path, estate: Path) -> None:
    assert lint(linter, estate) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("github.event_name ==", "github.evnt_name ==", "evnt_name"),
        ("aws-role: ${{ vars.AWS_ROLE }}", "aws-rule: ${{ vars.AWS_ROLE }}", "aws-rule"),
        ("pull-requests: write", "pull-request: write", "pull-request"),
        ("fetch-depth: 0", "fetch_depth: 0", "fetch_depth"),
    ],
)
def test_actionlint_would_find_a_mistake(old: str, new: str, expected: str, linter: Path, estate: Path) -> None:
    workflow = estate / ".github" / "workflows" / "rehost.yml"
    assert old in workflow.read_text()
    workflow.write_text(workflow.read_text().replace(old, new))
    assert any(expected in each["message"] for each in lint(linter, estate))


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_workflows_have_the_published_shape(name: str) -> None:
    schema = published("github-workflows")
    content = load("github", name)
    assert problems(schema, content) == []
    content["jobs"]["wrong"] = {"steps": []}
    assert problems(schema, content)


def test_the_action_has_the_published_shape() -> None:
    schema, content = published("github-actions"), load("github", "setup-rehost", "action.yml")
    assert problems(schema, content) == []
    del content["runs"]["using"]
    assert problems(schema, content)


def test_the_gitlab_pipeline_has_the_published_shape() -> None:
    schema, content = published("gitlab-ci"), load("gitlab", "gitlab-ci.yml")
    assert problems(schema, content) == []
    content["up"]["resource_groups"] = "x"
    assert problems(schema, content)


def test_the_stack_has_the_shape_of_the_operators_documentation() -> None:
    """Only the parts that are used: the operator's own definition is a megabyte of pod templates."""
    schema, content = json.loads(STACK_SCHEMA.read_text()), load("kubernetes", "stack.yaml")
    assert problems(schema, content) == []
    assert content["spec"]["destroyOnFinalize"] is False
    content["spec"]["project_repo"] = content["spec"].pop("projectRepo")
    assert len(problems(schema, content)) == 2


def test_pre_commit_takes_its_configuration_and_refuses_a_wrong_spec(estate: Path) -> None:
    shutil.rmtree(estate / ".git")
    bin_ = Path(sys.executable).parent
    environment = {
        "PATH": f"{bin_}:/usr/bin:/bin",
        "HOME": str(estate.parent),
        "PRE_COMMIT_HOME": str(estate.parent / "hooks"),
    }

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=estate, env=environment, capture_output=True, text=True, check=False)

    done = run("pre-commit", "validate-config", ".pre-commit-config.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert run("git", "init", "--quiet").returncode == 0
    assert run("git", "add", "--all").returncode == 0
    for hook in ("rehost-validate", "rehost-fmt"):
        done = run("pre-commit", "run", hook)
        assert done.returncode == 0, done.stdout + done.stderr
    spec = estate / "migration_specs" / "estate.yaml"
    spec.write_text(spec.read_text().replace("phase: replicate", "phase: replicat"))
    assert run("git", "add", "--all").returncode == 0
    done = run("pre-commit", "run", "rehost-validate")
    assert done.returncode == 1
    assert re.search(r"estate\.yaml:\d+:\d+: ", done.stdout)
    spec.write_text(spec.read_text().replace("phase: replicat", "phase:   replicate"))
    assert run("git", "add", "--all").returncode == 0
    assert run("pre-commit", "run", "rehost-fmt").returncode == 1


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for name in WORKFLOWS:
        yield from load("github", name)["jobs"].items()


def test_no_job_may_more_than_it_needs() -> None:
    for name in WORKFLOWS:
        assert load("github", name)["permissions"] == {"contents": "read"}
    for name, job in jobs():
        expected = {"contents": "read", "id-token": "write"}
        assert job["permissions"] == (expected | {"pull-requests": "write"} if name == "preview" else expected)
        assert job["timeout-minutes"] <= 360


def test_nothing_from_outside_is_put_into_a_script() -> None:
    """A branch's name or a title in `${{ }}` of a `run:` would be run as shell."""
    steps = [step for _, job in jobs() for step in job["steps"]] + load("github", "setup-rehost", "action.yml")["runs"][
        "steps"
    ]
    scripts = [step["run"] for step in steps if "run" in step]
    assert len(scripts) > 8
    assert [script for script in scripts if "${{" in script] == []


def test_up_is_never_cut_off_and_previews_are() -> None:
    found = dict(jobs())
    assert found["up"]["concurrency"] == {"group": "up", "cancel-in-progress": False}
    assert found["preview"]["concurrency"]["cancel-in-progress"] is True
    assert load("gitlab", "gitlab-ci.yml")["up"]["interruptible"] is False


def test_pulumi_is_the_version_that_is_pinned_here() -> None:
    steps = load("github", "setup-rehost", "action.yml")["runs"]["steps"]
    (version,) = [
        step["with"]["pulumi-version"] for step in steps if step.get("uses", "").startswith("pulumi/actions@")
    ]
    assert version == sdk_version()
    assert f"pulumi-base:{sdk_version()} " in (PIPELINES / "Containerfile").read_text()


def test_what_the_container_copies_exists_and_it_is_not_root() -> None:
    text = (PIPELINES / "Containerfile").read_text("utf-8")
    assert (ROOT / "requirements" / "runtime.txt").exists()
    assert re.search(r"--require-hashes -r /opt/rehost-source/requirements/runtime\.txt", text)
    assert re.findall(r"^USER (\S+)$", text, flags=re.MULTILINE) == ["rehost"]


def commands() -> set[str]:
    """The subcommands of `rehost` that the scripts of all pipelines call."""
    gitlab = load("gitlab", "gitlab-ci.yml")
    hooks = [hook for repository in load("pre-commit-config.yaml")["repos"] for hook in repository["hooks"]]
    scripts = [
        *(step.get("run", "") for _, job in jobs() for step in job["steps"]),
        *(line for part in gitlab.values() if isinstance(part, dict) for line in part.get("script", [])),
        *gitlab[".rehost"]["before_script"],
        *(hook["entry"] for hook in hooks),
    ]
    return {
        word for script in scripts for word in re.findall(r"(?:^|[;&{] *|then )rehost ([a-z-]+)", script, re.MULTILINE)
    }


def test_each_command_of_a_pipeline_is_one_of_ours() -> None:
    assert commands() == {"validate", "fmt", "plan", "comment", "report"}
    assert commands() <= set(subcommands())
