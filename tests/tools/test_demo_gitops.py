"""What the pull requests' scenario can be held to without running it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rehost.scaffold import Settings, estate_files, write
from rehost.spec import load
from tools import demo, demo_gitops


def test_each_scenario_has_its_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "perform", lambda played: 0)
    monkeypatch.setattr("tools.demo_project.DemoProject.forget_earlier", lambda _: None)
    monkeypatch.setattr("tools.demo_gitops.GitopsProject.forget_earlier", lambda _: None)
    for name in demo.SCENARIOS:
        monkeypatch.setenv("SCENARIO", name)
        assert demo.main() == 0
    monkeypatch.setenv("SCENARIO", "nonsense")
    with pytest.raises(SystemExit, match="nonsense is not one of: shop, gitops"):
        demo.main()


def test_what_it_edits_is_in_a_new_estate_and_stays_valid(tmp_path: Path) -> None:
    write(tmp_path, estate_files(Settings()))
    spec = tmp_path / "migration_specs" / "estate.yaml"
    before = spec.read_text()
    for changes in (demo_gitops.TO_TEST, demo_gitops.SMALLER, demo_gitops.PLAIN):
        text = before
        for old, new in changes.items():
            assert text.count(old) == 1
            text = text.replace(old, new)
        spec.write_text(text)
        load(tmp_path / "migration_specs", root=tmp_path)
    (old,) = demo_gitops.NONSENSE
    assert old in before


def test_the_comment_on_a_terminal_has_no_markup_that_folds() -> None:
    body = "<!-- rehost:plan -->\n# Plan\n<details><summary>Servers</summary>\n\n- one\n\n</details>\n"
    assert demo_gitops.visible(body) == "# Plan\n\n- one\n"
