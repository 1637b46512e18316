"""What is shipped to run a connector: paths that exist, commands that run, and no root anywhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "deploy" / "rehost-connector.service"
CONTAINER = (ROOT / "deploy" / "Containerfile").read_text("utf-8")
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing: Debian package systemd"
)


@pytest.fixture
def unit() -> RawConfigParser:
    parser = RawConfigParser(strict=False)  # SystemCallFilter stands there twice, and adds up
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNIT)
    return parser


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The unit as it would be for this clone: verify looks for the command."""
    path = tmp_path / UNIT.name
    text = UNIT.read_text().replace("/opt/rehost", str(ROOT))
    # A user that every machine has: ours is made by whoever installs it.
    path.write_text(re.sub(r"^(User|Group)=.*", r"\1=daemon", text, flags=re.MULTILINE))
    return path


def runs(*command: str, **environment: str) -> None:
    """The command, with `--help` in place of doing it."""
    done = subprocess.run(
        [*command, "--help"], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "SIGTERM" in done.stdout


def test_the_units_command_runs(unit: RawConfigParser) -> None:
    command = unit["Service"]["ExecStart"].split()
    assert command[0] == "/opt/rehost/.venv/bin/rehost"
    runs(str(Path(sys.executable).parent / "rehost"), *command[1:])
    assert unit["Service"]["User"] not in ("root", "0")
    assert not any("PASSWORD" in value for value in unit["Service"].values())


@needs_systemd
def test_systemd_takes_the_unit(here: Path) -> None:
    done = subprocess.run(["systemd-analyze", "verify", str(here)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
def test_systemd_finds_little_to_fear(here: Path) -> None:
    """Overall exposure, from 0 (none) to 10; a service without any of the hardening has 9.6."""
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(here)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    overall = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert overall is not None, done.stdout + done.stderr
    assert float(overall[1]) < 2.0


def test_what_the_container_copies_exists_and_it_is_not_root() -> None:
    copied = re.findall(r"^COPY (?!--from)(\S+) ", CONTAINER, flags=re.MULTILINE)
    assert copied
    assert [name for name in copied if not (ROOT / name).exists()] == []
    last = CONTAINER.rsplit("\nFROM ", 1)[1]
    (user,) = re.findall(r"^USER (\S+)$", last, flags=re.MULTILINE)
    assert user not in ("root", "0")
    assert last.index("USER ") < last.index("ENTRYPOINT ")
    assert re.search(r"--require-hashes -r \S+runtime\.txt", CONTAINER)


def test_the_containers_command_runs_from_what_it_copies(tmp_path: Path) -> None:
    entry = json.loads(CONTAINER.split("ENTRYPOINT ")[1].splitlines()[0])
    shutil.copytree(ROOT / "rehost", tmp_path / "rehost", ignore=shutil.ignore_patterns("__pycache__"))
    runs(sys.executable, *entry[1:], PYTHONPATH=str(tmp_path))


def test_the_pages_commands_name_files_that_exist() -> None:
    page = (ROOT / "deploy" / "README.md").read_text("utf-8")
    for name in re.findall(r"(?:deploy|requirements)/[\w.-]+", page):
        assert (ROOT / name).exists(), name
