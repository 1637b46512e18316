"""`rehost init`: an estate repository that works as it is, and nothing of anybody else's touched."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from rehost.scaffold import NewFile, Settings, TargetInTheWay, TargetNotWritten, WrongSetting, estate_files, write
from tests.cli.conftest import ROOT, Command
from tools.ci.forge import git

GITHUB = {
    ".github/actions/setup-rehost/action.yml",
    ".github/workflows/rehost-drift.yml",
    ".github/workflows/rehost.yml",
}
ALWAYS = {
    ".gitignore",
    ".pre-commit-config.yaml",
    "Pulumi.prod.yaml",
    "Pulumi.yaml",
    "README.md",
    "__main__.py",
    "exports/example-01.raw",
    "migration_specs/estate.yaml",
    "migration_specs/schema.json",
    "policies/estate.yaml",
}


def made(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }


@pytest.mark.parametrize(
    ("pipeline", "expected"), [("github", GITHUB), ("gitlab", {".gitlab-ci.yml"}), ("none", set())]
)
def test_what_it_makes(pipeline: str, expected: set[str], command: Command) -> None:
    said = command("init", "estate", "--region", "eu-west-1", "--pipeline", pipeline)
    assert (said.code, said.err) == (0, "")
    folder = command.folder / "estate"
    assert made(folder) == ALWAYS | expected
    for name in ALWAYS | expected:
        assert f"estate/{name}\n" in said.out
    text = (folder / "README.md").read_text()
    assert ("## The pipeline" in text) is bool(expected)
    assert "@" not in text.replace("USER:PASSWORD@HOST", "")


def test_the_program_and_the_pipelines_are_this_repositorys_own(command: Command) -> None:
    command("init", "estate", "--region", "eu-central-1")
    folder = command.folder / "estate"
    for theirs, ours in {
        "__main__.py": "__main__.py",
        "Pulumi.yaml": "Pulumi.yaml",
        ".github/workflows/rehost.yml": "pipelines/github/rehost.yml",
        ".pre-commit-config.yaml": "pipelines/pre-commit-config.yaml",
    }.items():
        assert (folder / theirs).read_bytes() == (ROOT / ours).read_bytes()


def test_it_validates_as_it_is_and_is_a_repository_without_what_does_not_belong(command: Command) -> None:
    command("init", "estate", "--region", "eu-central-1")
    folder = command.folder / "estate"
    inside = Command(folder)
    assert inside("fmt", "--check").code == 0
    assert inside("schema").out == (folder / "migration_specs" / "schema.json").read_text("utf-8")
    said = inside("validate")
    assert (said.code, said.err) == (0, "")
    assert "1 servers" in said.out
    for name in (".rehost/control.db", "exports/big.raw", "plan.md", ".rehost-venv/x", "__pycache__/x"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
    git(folder, "add", "--all")
    assert set(git(folder, "ls-files").split("\n")) == ALWAYS | GITHUB
    assert git(folder, "symbolic-ref", "HEAD") == "refs/heads/main"


def test_stack_region_and_source_of_rehost_are_filled_in(command: Command) -> None:
    command.environment["AWS_REGION"] = "us-east-2"
    said = command("init", "estate", "--stack", "lab", "--rehost", "acme/rehost", "--ref", "v1.2")
    assert said.code == 0
    folder = command.folder / "estate"
    assert yaml.safe_load((folder / "Pulumi.lab.yaml").read_text()) == {"config": {"rehost:region": "us-east-2"}}
    for name in ("rehost.yml", "rehost-drift.yml"):
        jobs = yaml.safe_load((folder / ".github" / "workflows" / name).read_text())["jobs"]
        settings = [(job["env"]["PULUMI_STACK"], job["env"]["AWS_REGION"]) for job in jobs.values()]
        assert set(settings) == {("lab", "us-east-2")}
    inputs = yaml.safe_load((folder / ".github/actions/setup-rehost/action.yml").read_text())["inputs"]
    assert (inputs["repository"]["default"], inputs["ref"]["default"]) == ("acme/rehost", "v1.2")


def test_within_a_repository_it_makes_none_of_its_own(command: Command) -> None:
    git(command.folder, "init", "--quiet")
    assert command("init", "estate", "--region", "eu-central-1").code == 0
    assert not (command.folder / "estate" / ".git").exists()


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ("estate/README.md", "estate already has README.md; nothing is overwritten"),
        ("estate", "estate is not a folder"),
        ("estate/.github", "is not a folder of its own"),
    ],
)
def test_nothing_is_overwritten(there: str, expected: str, command: Command) -> None:
    path = command.folder / there
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    said = command("init", "estate", "--region", "eu-central-1")
    assert (said.code, said.out) == (2, "")
    assert expected in said.err
    assert path.read_text() == "mine"
    assert made(command.folder) == {there}


def test_a_link_is_not_followed_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "estate").mkdir()
    (tmp_path / "estate" / "exports").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TargetInTheWay, match="not a folder of its own"):
        write(tmp_path / "estate", estate_files(Settings()))
    (tmp_path / "estate" / "exports").unlink()
    (tmp_path / "estate" / "README.md").symlink_to(tmp_path / "nowhere")
    with pytest.raises(TargetInTheWay, match="already has README"):
        write(tmp_path / "estate", estate_files(Settings()))
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_what_cannot_be_written_whole_is_taken_back(tmp_path: Path) -> None:
    # The second path needs a folder where the first has a file: what the file system refuses in the middle of it.
    new = [NewFile("a/one", b"1"), NewFile("a/one/two", b"2")]
    with pytest.raises(TargetNotWritten, match="removed again"):
        write(tmp_path / "estate", new)
    assert list(tmp_path.iterdir()) == []


def test_a_copy_of_the_package_alone_says_what_it_lacks(tmp_path: Path, command: Command) -> None:
    """As in the container of a connector, where the links lead nowhere."""
    skipped = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "rehost", tmp_path / "only" / "rehost", symlinks=True, ignore=skipped)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "rehost.cli", "init", "estate", "--region", "eu-central-1"],
        cwd=tmp_path,
        env={**command.environment, "PYTHONPATH": str(tmp_path / "only")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "install it with pip, or use a clone" in done.stderr
    assert not (tmp_path / "estate").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "which AWS region?"),
        (["--region", "Frankfurt"], "--region 'Frankfurt' will not do"),
        (["--region", "eu-central-1", "--stack", "../prod"], "--stack '../prod' will not do"),
        (["--region", "eu-central-1", "--pipeline", "jenkins"], "github, gitlab, none"),
        (["--region", "eu-central-1", "--rehost", "https://example.com/x"], "write OWNER/NAME"),
        (["--region", "eu-central-1", "--ref", "-x; rm"], "write a tag or a commit"),
    ],
)
def test_settings_that_somebody_else_would_refuse_are_refused_here(
    arguments: list[str], expected: str, command: Command
) -> None:
    said = command("init", "estate", *arguments)
    assert (said.code, said.out) == (2, "")
    assert expected in said.err
    assert list(command.folder.iterdir()) == []


def test_settings_are_checked_without_the_command_too() -> None:
    with pytest.raises(WrongSetting):
        Settings(stack="a\nb")


def test_a_wheel_has_the_files(tmp_path: Path) -> None:
    """The pipeline installs rehost as a wheel: what are links into the repository here are files there."""
    source = tmp_path / "source"
    for name in ("rehost", "pipelines", "requirements"):
        skipped = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=skipped)
    for name in ("pyproject.toml", "Pulumi.yaml", "__main__.py", "README.md"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*command, "--wheel-dir", tmp_path, source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("rehost-*.whl")
    with zipfile.ZipFile(wheel) as packed:
        for path in (ROOT / "pipelines").rglob("*"):
            if path.is_file() and path.name != "README.md":
                name = path.relative_to(ROOT).as_posix()
                assert packed.read(f"rehost/scaffold/files/{name}") == path.read_bytes()
        assert packed.read("rehost/scaffold/files/program") == (ROOT / "__main__.py").read_bytes()
