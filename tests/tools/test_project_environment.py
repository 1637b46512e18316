"""The environment in which pulumi runs, and the shell that is opened in it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tools import check, coldsnap, engine, environment, shell
from tools._errors import SetupError
from tools._paths import ROOT, VENV
from tools._progress import Progress


@pytest.fixture(autouse=True)
def _engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = engine.Engine(tmp_path / "engine", "3.250.0", "on PATH")
    monkeypatch.setattr(engine, "ensure", lambda _: found)
    monkeypatch.setattr(environment, "DEMO_ENVIRONMENT", tmp_path / "env")


def test_environment_and_engine_come_first_on_path_and_once(tmp_path: Path) -> None:
    variables = environment.environment({"PATH": "/usr/bin:/bin", "PYTHONHOME": "/elsewhere"})
    assert variables["PATH"].split(":") == [
        f"{VENV}/bin",
        str(tmp_path / "engine"),
        "/usr/bin",
        "/bin",
    ]
    assert "PYTHONHOME" not in variables
    assert environment.environment(variables) == variables


def test_the_state_outlives_the_cache() -> None:
    state = environment.environment({})["PULUMI_BACKEND_URL"]
    assert state == f"file://{ROOT}/.pulumi?metadata=skip"
    assert (ROOT / ".pulumi").is_dir()


def test_what_the_user_has_set_stays() -> None:
    given = {"PATH": "/bin", "PULUMI_BACKEND_URL": "s3://bucket", "PULUMI_CONFIG_PASSPHRASE": "secret"}
    variables = environment.environment(given)
    assert (variables["PULUMI_BACKEND_URL"], variables["PULUMI_CONFIG_PASSPHRASE"]) == ("s3://bucket", "secret")
    with_file = environment.environment({"PATH": "/bin", "PULUMI_CONFIG_PASSPHRASE_FILE": "/run/passphrase"})
    assert "PULUMI_CONFIG_PASSPHRASE" not in with_file


def test_the_kept_sandbox_of_the_demo_is_loaded_unless_refused(tmp_path: Path) -> None:
    settings = "# kept\n\nAWS_ENDPOINT_URL=http://127.0.0.1:4711/?a=b\nexport AWS_REGION = eu-central-1\nnonsense\n"
    (tmp_path / "env").write_text(settings)
    variables = environment.environment({"AWS_REGION": "us-east-1"})
    assert variables["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4711/?a=b"
    assert variables["AWS_REGION"] == "eu-central-1"
    assert "nonsense" not in variables
    assert environment.environment({"AWS_REGION": "us-east-1"}, demo=False)["AWS_REGION"] == "us-east-1"


def test_the_printed_exports_can_be_evaluated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "env").write_text("ODD=a 'b' $HOME\n")
    assert environment.main([]) == 0
    script = capsys.readouterr().out + 'printf %s "$ODD"'
    assert subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout == "a 'b' $HOME"
    assert environment.main(["unknown"]) == 2


def test_without_an_engine_the_reason_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none(_: object) -> engine.Engine:
        raise SetupError(what="no engine", todo=["install it"])

    monkeypatch.setattr(engine, "ensure", none)
    assert environment.main([]) == 1
    assert "install it" in capsys.readouterr().err


def test_the_shell_is_the_users_own() -> None:
    assert shell.command({"SHELL": "/bin/zsh"}, interactive=True) == ["/bin/zsh"]
    assert shell.command({"SHELL": "/bin/bash"}, interactive=False) == ["/bin/bash"]
    assert shell.command({"SHELL": "/bin/bash"}, interactive=True)[:2] == ["/bin/bash", "--rcfile"]
    assert Path(shell.command({}, interactive=False)[0]).is_absolute()


def test_bash_gets_its_path_back_after_the_users_own_start_file(tmp_path: Path) -> None:
    (tmp_path / ".bashrc").write_text("export PATH=/spoiled:$PATH\nMINE=kept\n")
    (tmp_path / "rc").write_text(shell.bashrc({"PATH": "/first:/usr/bin:/bin"}))
    done = subprocess.run(
        ["bash", "-c", f'. "{tmp_path}/rc"; echo "$PATH $MINE"'],
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "/first:/usr/bin:/bin kept\n"


def test_missing_programs_are_named_with_their_debian_packages(tmp_path: Path) -> None:
    present = tmp_path / "qemu-nbd"
    present.write_text("#!/bin/sh\n")
    present.chmod(0o755)
    packages = [package for package, _ in check.missing(str(tmp_path))]
    assert "qemu-system-x86" in packages
    assert "e2fsprogs" in packages
    assert "qemu-utils" not in packages


def test_coldsnap_without_cargo_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(coldsnap, "CACHE", tmp_path)
    monkeypatch.setattr(coldsnap, "COLDSNAP", tmp_path / "coldsnap" / "0" / "bin" / "coldsnap")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(SetupError, match="cargo, which is not here"):
        coldsnap._build(Progress())
