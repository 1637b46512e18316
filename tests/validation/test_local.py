"""Commands of this machine: their environment, their output, and that nothing of them stays."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from rehost.processes import is_running
from rehost.validation import Tried, attempt, redacted
from rehost.validation._local import local_command
from rehost.validation._output import OUTPUT_CHARACTERS, capped

from .conftest import TARGET, check


def run(root: Path, seconds: float = 20.0, **settings: Any) -> Tried:
    return local_command(check("command", **settings), TARGET, seconds, root=root, context={"REHOST_GROUP": "web"})


def test_it_knows_the_instance_and_runs_in_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "opensesame")
    monkeypatch.setenv("REHOST_DATABASE", "postgresql://me:hidden@db/rehost")
    tried = run(tmp_path, shell="env; pwd")
    assert tried.ok
    lines = tried.output.splitlines()
    for line in (
        "REHOST_SERVER=web-01", "REHOST_INSTANCE_ID=i-0123456789abcdef0", "REHOST_PRIVATE_ADDRESS=127.0.0.1",
        "REHOST_PUBLIC_ADDRESS=", "REHOST_CHECK=command", "REHOST_GROUP=web", str(tmp_path),
    ):  # fmt: skip
        assert line in lines
    assert "opensesame" not in tried.output
    assert "hidden" not in tried.output


def test_no_shell_reads_its_words(tmp_path: Path) -> None:
    tried = run(tmp_path, run=["echo", "$HOME; touch made", "*"])
    assert (tried.ok, tried.output) == (True, "$HOME; touch made *\n")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_says_code_and_last_line(tmp_path: Path) -> None:
    tried = run(tmp_path, shell="echo first; echo the queue is stuck >&2; exit 3")
    assert (tried.ok, tried.message) == (False, "the shell line ended with exit code 3: the queue is stuck")
    assert tried.output == "first\nthe queue is stuck\n"


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    outcome = attempt(
        check("command", run=["./absent"]), TARGET,
        lambda each, target, seconds: local_command(each, target, seconds, root=tmp_path, context={}),
    )  # fmt: skip
    assert (outcome.ok, outcome.attempts) == (False, 1)
    assert "./absent cannot be started: No such file or directory" in outcome.message


def test_a_hanging_command_ends_with_all_that_it_started(tmp_path: Path) -> None:
    begun = time.monotonic()
    tried = run(tmp_path, 1.0, shell="echo $$ >pids; sleep 600 & echo $! >>pids; echo waiting; wait")
    took = time.monotonic() - begun
    assert (tried.ok, tried.final, tried.output) == (False, True, "waiting\n")
    assert tried.message == "the shell line had not ended after 1 s and was killed"
    assert took < 10
    for pid in map(int, (tmp_path / "pids").read_text().split()):
        wait_until_gone(pid)


def test_what_it_leaves_in_the_background_ends_with_it(tmp_path: Path) -> None:
    assert run(tmp_path, shell="sleep 600 & echo $! >pid").ok
    wait_until_gone(int((tmp_path / "pid").read_text()))


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    """As when `pulumi up` is killed."""
    program = (
        "from pathlib import Path\nfrom tests.validation.conftest import TARGET, check\n"
        "from rehost.validation._local import local_command\n"
        "local_command(check('command', shell='echo $$ >pid.part; mv pid.part pid; sleep 600'), TARGET, 600.0, "
        f"root=Path({str(tmp_path)!r}), context={{}})\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=Path(__file__).resolve().parents[2])
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "pid").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    wait_until_gone(int((tmp_path / "pid").read_text()))


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while is_running(pid):
        assert time.monotonic() < deadline, f"process {pid} still runs"
        time.sleep(0.02)


def test_output_is_bounded(tmp_path: Path) -> None:
    tried = run(tmp_path, run=[sys.executable, "-c", "print('x' * 3_000_000); print('end')"])
    assert tried.ok
    assert len(tried.output) < 5 * OUTPUT_CHARACTERS
    kept = capped(tried.output)
    assert kept.endswith("end\n")
    assert len(kept) < OUTPUT_CHARACTERS + 100
    assert "characters left out" in kept


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("password=hunter22 user=me", "password=[redacted] user=me"),
        ('{"api_key": "abc def", "a": 1}', '{"api_key": [redacted], "a": 1}'),
        ("postgresql://me:secret@db/x", "postgresql://[redacted]@db/x"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: [redacted]"),
        ("key AKIAIOSFODNN7EXAMPLE used", "key [redacted] used"),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nrest", "[redacted]\nrest"),
        ("it says xyzzy-plugh here", "it says [redacted] here"),
        ("\x1b[31mred\x1b[0m\x07 \x00text", "red text"),
    ],
)
def test_what_looks_like_a_secret_is_not_kept(text: str, kept: str) -> None:
    assert redacted(text, {"SHOP_PASSWORD": "xyzzy-plugh", "HOME": "/root"}) == kept


def test_a_check_keeps_no_secret_of_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "tok-4711-4711")
    outcome = attempt(
        check("command", shell="echo $SHOP_TOKEN; exit 1", attempts=1), TARGET,
        lambda each, target, seconds: local_command(each, target, seconds, root=tmp_path, context={}),
    )  # fmt: skip
    assert os.environ["SHOP_TOKEN"] not in outcome.output + outcome.message
    assert "[redacted]" in outcome.output
