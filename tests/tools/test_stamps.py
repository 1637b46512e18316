"""What lets set-up be repeated, interrupted, and run twice at once."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tools import setup
from tools._errors import SetupError
from tools._files import appearing, digest, locked, read_stamp, write_stamp
from tools._process import ask, watch
from tools._progress import Progress


def test_a_digest_follows_content_and_boundaries(tmp_path: Path) -> None:
    file = tmp_path / "file"
    missing = digest(file)
    file.write_text("one")
    before = digest(file)
    file.write_text("two")
    assert len({missing, before, digest(file)}) == 3
    assert digest("ab", "c") != digest("a", "bc")


def test_a_stamp_reads_back_and_a_cut_one_counts_as_none(tmp_path: Path) -> None:
    stamp = tmp_path / "below" / "stamp.json"
    assert read_stamp(stamp) == {}
    write_stamp(stamp, {"packages": "abc"})
    assert read_stamp(stamp) == {"packages": "abc"}
    stamp.write_text(stamp.read_text()[:-5])
    assert read_stamp(stamp) == {}
    stamp.write_text("[1]")
    assert read_stamp(stamp) == {}


def test_a_directory_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "target"
    (tmp_path / ".new-target-killed").mkdir()
    with pytest.raises(IsADirectoryError), appearing(target) as scratch:
        scratch.write_text("half")
    assert list(tmp_path.iterdir()) == []
    with appearing(target) as scratch:
        (scratch / "whole").touch()
        assert not target.exists()
    with appearing(target) as scratch:
        (scratch / "newer").touch()
    assert [path.name for path in target.iterdir()] == ["newer"]
    assert list(tmp_path.iterdir()) == [target]


def test_the_second_waits_for_the_first(tmp_path: Path) -> None:
    order: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        with locked(tmp_path / "lock", waiting.set):
            order.append("second")

    with locked(tmp_path / "lock", lambda: order.append("never")):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(10)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


@pytest.fixture
def stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stages that ran, in a clone of the test's own where each does nothing but say so."""
    ran: list[str] = []
    python = tmp_path / ".venv" / "bin" / "python"
    (tmp_path / "requirements").mkdir()
    for name in ("requirements/dev.txt", "requirements/kerberos.txt", "requirements/runtime.in", "pyproject.toml"):
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(setup, "ROOT", tmp_path)
    monkeypatch.setattr(setup, "CACHE", tmp_path / ".cache")
    monkeypatch.setattr(setup, "_REQUIREMENTS", tmp_path / "requirements" / "dev.txt")
    monkeypatch.setattr(setup, "_KERBEROS", tmp_path / "requirements" / "kerberos.txt")
    monkeypatch.setattr(setup, "_kerberos_is_here", lambda: True)
    monkeypatch.setattr(setup, "_STAMP", tmp_path / ".venv" / "stamp.json")
    monkeypatch.setattr(setup, "_PYTHON", python)

    def environment(_: Progress) -> None:
        ran.append("environment")
        python.parent.mkdir(parents=True, exist_ok=True)
        python.touch()

    monkeypatch.setattr(setup, "_make_environment", environment)
    monkeypatch.setattr(setup, "_install_packages", lambda _: ran.append("packages"))
    monkeypatch.setattr(setup, "_install_kerberos", lambda _: ran.append("kerberos"))
    monkeypatch.setattr(setup, "_install_project", lambda _: ran.append("project"))
    return ran


def test_set_up_does_everything_once(stages: list[str]) -> None:
    setup.prepare(Progress())
    assert stages == ["environment", "packages", "kerberos", "project"]
    setup.prepare(Progress())
    assert len(stages) == 4
    assert setup.up_to_date()


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ("requirements/dev.txt", ["packages"]),
        ("requirements/kerberos.txt", ["kerberos"]),
        ("pyproject.toml", ["project"]),
        ("newpackage/__init__.py", ["project"]),
        ("README.md", []),
    ],
)
def test_only_what_changed_is_done_again(stages: list[str], tmp_path: Path, changed: str, expected: list[str]) -> None:
    setup.prepare(Progress())
    stages.clear()
    (tmp_path / changed).parent.mkdir(exist_ok=True)
    (tmp_path / changed).write_text("changed")
    setup.prepare(Progress())
    assert stages == expected


def test_kerberos_is_left_out_where_it_cannot_be_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(setup, "_kerberos_is_here", lambda: False)
    monkeypatch.setattr(setup, "_PYTHON", tmp_path / "none")
    setup._install_kerberos(Progress())
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(setup, "_kerberos_is_here", lambda: True)
    setup._install_kerberos(Progress())
    assert "Without Kerberos; all else works" in capsys.readouterr().err


def test_an_interrupted_set_up_goes_on_where_it_stopped(stages: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: Progress) -> None:
        raise SetupError(what="the network went away")

    with monkeypatch.context() as patch:
        patch.setattr(setup, "_install_packages", fails)
        with pytest.raises(SetupError):
            setup.prepare(Progress())
    assert not setup.up_to_date()
    setup.prepare(Progress())
    assert stages == ["environment", "packages", "kerberos", "project"]


def test_a_removed_environment_is_made_again(stages: list[str], tmp_path: Path) -> None:
    setup.prepare(Progress())
    stages.clear()
    (tmp_path / ".venv" / "bin" / "python").unlink()
    setup.prepare(Progress())
    assert stages == ["environment", "packages", "kerberos", "project"]


def test_a_python_without_ensurepip_is_told_which_package_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python3"
    python.write_text('#!/bin/sh\ncase "$2" in *ensurepip*) exit 1 ;; esac\n')
    python.chmod(0o755)
    monkeypatch.setattr(setup, "_PYTHON", tmp_path / "none")
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(SetupError, match="lacks ensurepip") as caught:
        setup._make_environment(Progress())
    version = ".".join(map(str, sys.version_info[:2]))
    assert f"python{version}-venv" in caught.value.todo[0]


def test_a_failed_program_shows_its_last_lines() -> None:
    with pytest.raises(SetupError, match="exit code 3") as caught:
        watch(["sh", "-c", "seq 100; echo broken >&2; exit 3"], todo=["try again"])
    assert caught.value.todo[-3:] == ("100", "broken", "try again")
    assert "1" not in caught.value.todo


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(SetupError, match="no-such-program cannot be run"):
        watch(["no-such-program"])
    assert ask("no-such-program") == ""
    assert ask("sh", "-c", "echo out; exit 1") == ""
    assert ask("sleep", "60", seconds=0.05) == ""


def test_a_program_ends_with_whoever_watches_it(tmp_path: Path) -> None:
    started: list[str] = []

    def stop(line: str) -> None:
        started.append(line)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch(["sh", "-c", "echo $$; exec sleep 60"], on_line=stop)
    assert not Path(f"/proc/{started[0]}").exists()


def test_in_a_pipe_progress_is_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress().step("Working", "a moment") as step:
        step.update("half done")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "› Working  a moment\n   0:00  done\n"


def test_the_launcher_passes_over_pythons_that_do_not_run_or_are_too_old(tmp_path: Path) -> None:
    root = Path(setup.__file__).resolve().parents[1]
    for name, script in {
        "python3": "exit 127",
        "python3.13": "exit 1",
        "python3.12": f'exec {sys.executable} "$@"',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(
        ["sh", root / "tools" / "run.sh", "tools.engine"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "python -m tools.engine path" in done.stderr
