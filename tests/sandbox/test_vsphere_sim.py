"""The simulator's own tests, in Go."""

from __future__ import annotations

import subprocess

import pytest

from tools._engine_build import find_go
from tools._errors import SetupError
from tools.vsphere_sim import OLDEST_GO, SOURCES


def test_the_simulators_own_tests() -> None:
    try:
        go, environment = find_go(OLDEST_GO, "The simulator's tests are in Go")
    except SetupError as error:
        pytest.skip(str(error))
    done = subprocess.run(
        [go, "test", "-mod=readonly", "./..."],
        cwd=SOURCES,
        env={**environment, "GOFLAGS": ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
