"""Which engine is taken: the one on PATH, one of the cache, a downloaded or a built one; and what is kept of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools import _engine_build, _engine_download, engine
from tools._errors import SetupError
from tools._progress import Progress

_number = st.integers(0, 9999)


@given(_number, _number, _number, st.sampled_from(["", "v"]), st.sampled_from(["", "-alpha.1+dirty", "\n"]))
def test_versions_are_compared_as_numbers(major: int, minor: int, patch: int, prefix: str, suffix: str) -> None:
    assert engine.parse_version(f"{prefix}{major}.{minor}.{patch}{suffix}") == (major, minor, patch)


@pytest.mark.parametrize("text", ["", "unknown", "3", "3.x.1", "pulumi 3.1.0"])
def test_what_is_no_version_is_none(text: str) -> None:
    assert engine.parse_version(text) is None


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, an empty PATH, and no way to download or build."""
    cache = tmp_path / "cache"
    monkeypatch.setattr(engine, "CACHE", cache)
    monkeypatch.setattr(engine, "ENGINES", cache / "pulumi")
    monkeypatch.setattr(engine, "_CHOICE", cache / "pulumi" / "choice.json")
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(_engine_download, "reachable", lambda _: False)
    monkeypatch.setattr(_engine_build, "build", _refuse)
    return tmp_path


def _refuse(*_: object) -> None:
    raise SetupError(what="no Go here", todo=["install Go"])


def _install(directory: Path, version: str, *, companions: bool = True) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    names = ["pulumi", *(engine.COMPANIONS if companions else ())]
    for name in names:
        (directory / name).write_text(f"#!/bin/sh\necho v{version}\n")
        (directory / name).chmod(0o755)
    return directory


def _building(version: str) -> Callable[[Path, Progress], None]:
    def build(target: Path, _: Progress) -> None:
        _install(target, version)

    return build


def test_a_recent_engine_on_path_is_used_and_remembered(place: Path) -> None:
    directory = _install(place / "path", "3.101.0")
    assert engine.current() is None
    chosen = engine.ensure(Progress())
    assert chosen == engine.Engine(directory, "3.101.0", "on PATH")
    assert engine.current() == chosen


def test_an_upgraded_engine_is_looked_at_again(place: Path) -> None:
    _install(place / "path", "3.101.0")
    engine.ensure(Progress())
    _install(place / "path", "3.1010.0")
    assert engine.current() is None
    assert engine.ensure(Progress()).version == "3.1010.0"


def test_companions_may_stand_where_the_link_on_path_points(place: Path) -> None:
    directory = _install(place / "opt", "3.150.0")
    (place / "path").mkdir()
    (place / "path" / "pulumi").symlink_to(directory / "pulumi")
    assert engine.ensure(Progress()).directory == directory


@pytest.mark.parametrize(("version", "companions"), [("3.99.9", True), ("2.300.0", True), ("3.200.0", False)])
def test_an_old_or_partial_engine_on_path_is_passed_over(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], version: str, companions: bool
) -> None:
    _install(place / "path", version, companions=companions)
    monkeypatch.setattr(_engine_build, "build", _building(_engine_build.VERSION))
    monkeypatch.setenv("PATH", os.pathsep.join([str(place / "path"), "/usr/bin", "/bin"]))
    assert engine.ensure(Progress()).origin == "built from its Go modules"
    assert "it is not used" in capsys.readouterr().err


def test_a_built_engine_is_found_again_without_building(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_engine_build, "build", _building(_engine_build.VERSION))
    built = engine.ensure(Progress())
    monkeypatch.setattr(_engine_build, "build", _refuse)
    (place / "cache" / "pulumi" / "choice.json").unlink()
    assert engine.ensure(Progress()) == built
    # It is on PATH within `make shell`; that is no reason to think again.
    monkeypatch.setenv("PATH", f"{built.directory}{os.pathsep}{os.environ['PATH']}")
    assert engine.current() == built


def test_an_interrupted_build_leaves_nothing_that_is_taken_for_an_engine(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(target: Path, _: Progress) -> None:
        _install(target, "3.250.0", companions=False)
        raise KeyboardInterrupt

    monkeypatch.setattr(_engine_build, "build", interrupted)
    with pytest.raises(KeyboardInterrupt):
        engine.ensure(Progress())
    assert [path.name for path in (place / "cache" / "pulumi").iterdir()] == []
    monkeypatch.setattr(_engine_build, "build", _building("3.250.0"))
    assert engine.ensure(Progress()).version == "3.250.0"


def test_a_build_that_does_not_run_is_not_installed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_engine_build, "build", lambda target, _: target.mkdir())
    with pytest.raises(SetupError, match="does not run"):
        engine.ensure(Progress())
    assert list((place / "cache" / "pulumi").iterdir()) == []


def test_a_failed_download_falls_back_to_building(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(version: str, target: Path, progress: Progress) -> None:
        raise SetupError(what="the download broke off")

    monkeypatch.setattr(_engine_download, "reachable", lambda _: True)
    monkeypatch.setattr(_engine_download, "download", broken)
    monkeypatch.setattr(_engine_build, "build", _building(_engine_build.VERSION))
    assert engine.ensure(Progress()).origin == "built from its Go modules"
    assert "the download broke off; building the engine instead" in capsys.readouterr().err


def test_without_any_way_the_command_says_what_to_do(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert engine.main(["path"]) == 1
    assert capsys.readouterr().err == "no Go here\n  install Go\n"


def test_the_command_prints_the_directory_alone(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = _install(place / "path", "3.101.0")
    assert engine.main(["path"]) == 0
    assert capsys.readouterr().out == f"{directory}\n"
    assert engine.main([]) == 2
