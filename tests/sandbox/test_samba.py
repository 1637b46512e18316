"""smbd as the sandbox runs it: it ends with whoever started it, and with all that it started."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rehost.processes import is_running
from sandbox import Samba, SambaMissing
from sandbox._samba import samba_program

pytestmark = pytest.mark.skipif(
    subprocess.run(["/bin/sh", "-c", "PATH=$PATH:/usr/sbin command -v smbd"], capture_output=True).returncode != 0,
    reason="smbd is not installed: apt-get install samba",
)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _gone(pid: int) -> bool:
    deadline = time.monotonic() + 20
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not is_running(pid)


def test_it_keeps_its_port_for_as_long_as_it_is_told(tmp_path: Path) -> None:
    samba = Samba(tmp_path / "samba", {"VMs": tmp_path / "vms", "C$": tmp_path / "c"})
    with samba:
        port, first = samba.port, samba.pid
        assert _listens(port)
        samba.stop(keep_port=True)
        assert _gone(first)
        assert not _listens(port)
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        assert samba.start().port == port
        assert _listens(port)
    assert _gone(samba.pid)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))


def test_it_ends_with_whoever_started_it(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys, time; from sandbox import Samba;"
        "samba = Samba(pathlib.Path(sys.argv[1])).start(); print(samba.pid, samba.port, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "samba")], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        pid, port = map(int, owner.stdout.readline().split())
        assert _listens(port)
        owner.send_signal(signal.SIGKILL)
    assert _gone(pid)
    assert not _listens(port)


def test_what_smbd_said_when_it_does_not_start(tmp_path: Path) -> None:
    samba = Samba(tmp_path / "samba", options={"passdb backend": "nonsense:/nowhere"})
    with pytest.raises(RuntimeError, match=r"did not make the account|did not start"):
        samba.start()
    assert samba.pid == 0 or _gone(samba.pid)


def test_a_missing_program_is_said_with_its_package() -> None:
    with pytest.raises(SambaMissing, match="apt-get install samba"):
        samba_program("smbd-that-nobody-has")
