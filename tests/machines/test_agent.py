"""The agent in the demo's guests, in a guest that the sandbox boots: it runs scripts, and user data at the first boot."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import _boot
from sandbox._agents import Ran
from sandbox._boot import Guests
from sandbox.machines import Machines

pytestmark = pytest.mark.qemu
USER_DATA = "#!/bin/sh\necho made by user data >/run/user-data\necho rehost-validation: ok, content is whole\n"


@pytest.fixture
def guests(tmp_path: Path, bootable: Machines, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guests]:
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("needs the Debian package qemu-system-x86")

    def copied(_snapshot: Any, target: Path) -> None:
        subprocess.run(["cp", "--sparse=always", bootable.web.disks[0].path, target], check=True)

    monkeypatch.setattr(_boot, "materialise", copied)
    made = Guests(tmp_path / "guests")
    yield made
    made.close()


def wait(what: str, holds: Callable[[], object], seconds: float = 240.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what} within {seconds:g} s"
        time.sleep(0.2)


def test_a_guest_runs_what_it_is_sent(guests: Guests) -> None:
    guests.start("i-1", [("vol1", None)], None, USER_DATA)  # type: ignore[list-item]
    agent = guests.agents.of("i-1")
    wait("the agent answers", lambda: agent.answers(1.0))
    wait("user data reports", lambda: b"rehost-validation: ok, content is whole" in guests.console("i-1"))

    def run(script: str) -> Ran:
        number = agent.start(script)
        while (ran := agent.result(number)) is None:
            time.sleep(0.1)
        return ran

    assert run("cat /run/user-data; hostname; echo odd >&2; exit 3") == Ran(3, b"made by user data\nweb-01\n", b"odd\n")
    many = run('i=0; while [ $i -lt 2000 ]; do echo "line $i"; i=$((i + 1)); done')
    assert many.output.startswith(b"line 0\nline 1\n")
    assert len(many.output) == len("".join(f"line {number}\n" for number in range(2000)))
    number = agent.start("echo $$ >/run/hanging; sleep 600")
    wait("it runs", lambda: run("cat /run/hanging").output, 60)
    agent.kill(number)
    assert run("sleep 1; ps | grep -c '[s]leep 600'").output == b"0\n"
    guests.stop("i-1")
    assert not agent.answers(0.5)
