"""The version to compare with: from Git or a folder; and what differs, in the words of the spec."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from rehost.plan import BaseUnreadable, Known, base_of, default_base, make_plan, read_prices
from rehost.plan._differences import spec_changes
from rehost.spec import load
from tests.plan.conftest import SPEC, Steps, estate


def _git(folder: Path, *arguments: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment = {
        **kept,
        **{f"GIT_{who}_{what}": "t@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
    }
    done = subprocess.run(["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project in a subfolder of a repository: main, and a branch that left it one commit ago."""
    folder = tmp_path / "repository" / "estate"
    estate(folder)
    _git(folder.parent, "init", "--quiet", "--initial-branch=main")
    _git(folder, "add", ".")
    _git(folder, "commit", "--quiet", "-m", "first")
    _git(folder, "switch", "--quiet", "-c", "change")
    (folder / "migration_specs" / "estate.yaml").write_text(SPEC.replace("keepImages: 3", "keepImages: 5"))
    _git(folder, "commit", "--quiet", "-am", "keep more")
    return folder


def _changes(project: Path, name: str) -> list[tuple[str, str, str, list[tuple[str, str | None, str | None]]]]:
    specs = project / "migration_specs"
    with base_of(name, project, specs) as base:
        assert base.estate is not None
        found = spec_changes(base.estate, load(specs, root=project))
    return [
        (each.section, each.name, each.what, [(one.path, one.before, one.after) for one in each.changes])
        for each in found
    ]


def test_what_differs_is_told_in_the_words_of_the_spec(project: Path) -> None:
    assert _changes(project, "main") == [("schedules", "daily", "changed", [("keepImages", "3", "5")])]
    text = SPEC.replace("every: 24h", "every: 12h").replace("phase: replicate", "phase: test")
    text = text.replace("  wiki: {groups: {web: {servers: [wiki-01]}}}\n", "").replace("launchConfig: small}", "}")
    (project / "migration_specs" / "estate.yaml").write_text(text)
    assert _changes(project, "main") == [
        ("schedules", "daily", "changed", [("every", "86400s", "43200s")]),
        ("servers", "wiki-01", "changed", [("launchConfig", "small", None)]),
        ("applications", "shop", "changed", [("phase", "replicate", "test")]),
        ("applications", "wiki", "removed", []),
    ]


def test_the_base_is_where_the_branch_left_not_what_others_merged_since(project: Path) -> None:
    _git(project, "switch", "--quiet", "main")
    (project / "migration_specs" / "estate.yaml").write_text(SPEC.replace("t3.micro", "m5.large"))
    _git(project, "commit", "--quiet", "-am", "of somebody else")
    _git(project, "switch", "--quiet", "change")
    assert _changes(project, "main") == [("schedules", "daily", "changed", [("keepImages", "3", "5")])]


def test_a_folder_can_be_the_base(project: Path, tmp_path: Path) -> None:
    estate(tmp_path / "before", SPEC.replace("J. Doe", "A. Nother"))
    expected = [
        ("schedules", "daily", "changed", [("keepImages", "3", "5")]),
        ("applications", "shop", "changed", [("owner", "A. Nother", "J. Doe")]),
    ]
    assert _changes(project, str(tmp_path / "before")) == expected
    assert _changes(project, str(tmp_path / "before" / "migration_specs")) == expected, "a folder of specs, too"


def test_without_a_common_ancestor_it_is_the_commit_itself_and_that_is_said(project: Path) -> None:
    _git(project, "switch", "--quiet", "--orphan", "other")
    estate(project)
    _git(project, "add", ".")
    _git(project, "commit", "--quiet", "-m", "another beginning")
    with base_of("main", project, project / "migration_specs") as base:
        assert base.note is not None
        assert "no common ancestor" in base.note


@pytest.mark.parametrize(
    ("name", "reason"), [("nowhere", "neither a folder nor a commit"), ("--output=x", "neither a folder nor a commit")]
)
def test_a_base_that_is_not_there_is_an_error(project: Path, name: str, reason: str) -> None:
    with pytest.raises(BaseUnreadable, match=reason), base_of(name, project, project / "migration_specs"):
        pass
    assert not (project / "x").exists()


def test_a_commit_without_the_spec_is_an_error_and_no_repository_is_one(project: Path, tmp_path: Path) -> None:
    _git(project, "rm", "--quiet", "-r", "migration_specs")
    (project / "note").write_text("nothing")
    _git(project, "add", ".")
    _git(project, "commit", "--quiet", "-m", "gone")
    estate(project)
    with (
        pytest.raises(BaseUnreadable, match="it has no folder migration_specs"),
        base_of("HEAD", project, project / "migration_specs"),
    ):
        pass
    elsewhere = tmp_path / "elsewhere"
    estate(elsewhere)
    with (
        pytest.raises(BaseUnreadable, match="in no Git repository"),
        base_of("main", elsewhere, elsewhere / "migration_specs"),
    ):
        pass
    assert default_base(elsewhere) is None


def test_the_usual_base_is_the_remotes_head(project: Path, tmp_path: Path) -> None:
    assert default_base(project) is None
    _git(project.parent, "clone", "--quiet", "--bare", ".", str(tmp_path / "bare.git"))
    _git(project, "remote", "add", "origin", str(tmp_path / "bare.git"))
    _git(project, "fetch", "--quiet")
    assert default_base(project) == "origin/main"


def test_links_and_large_files_of_a_commit_are_left_out(project: Path) -> None:
    (project / "migration_specs" / "passwords.yaml").symlink_to("/etc/passwd")
    (project / "large.bin").write_bytes(b"\0" * ((1 << 20) + 1))
    _git(project, "add", ".")
    _git(project, "commit", "--quiet", "-m", "a trap")
    with base_of("HEAD", project, project / "migration_specs") as base:
        assert sorted(each.name for each in base.folder.rglob("*") if each.is_file()) == ["estate.yaml", "web.sh"]
        folder = base.folder
    assert not folder.exists()


def test_a_wrong_spec_in_the_base_is_a_note(project: Path, known: Known) -> None:
    (project / "migration_specs" / "estate.yaml").write_text("servers: nonsense")
    _git(project, "commit", "--quiet", "-am", "wrong")
    (project / "migration_specs" / "estate.yaml").write_text(SPEC)
    specs = project / "migration_specs"
    with base_of("HEAD", project, specs) as base:
        plan = make_plan(load(specs, root=project), Steps().read(), known=known, prices=read_prices(), base=base)
    assert plan.spec_changes is None
    assert any("has 1 errors, so it was not compared with" in each for each in plan.notes)


def test_what_the_preview_changes_besides_this_change_is_noticed(project: Path, known: Known) -> None:
    specs = project / "migration_specs"
    text = SPEC.replace("image: {conversion: register}", "image: {conversion: import}")
    (specs / "estate.yaml").write_text(text)
    steps = Steps().job("update", "web-01", image={"conversion": "import"}).job("update", "wiki-01", tags={"x": "y"})
    with base_of("main", project, specs) as base:
        plan = make_plan(load(specs, root=project), steps.read(), known=known, prices=read_prices(), base=base)
    assert [each for each in plan.notes if "wiki-01 differ already" in each]
    assert plan.base is not None
    assert plan.base.startswith("main (")
