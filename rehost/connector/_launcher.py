"""Start a connector beside an embedded control plane when none is live for a source."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rehost.connector._errors import ConnectorNotStarted
from rehost.control import ControlPlane

#: Seconds an embedded connector stays without work. `REHOST_CONNECTOR_IDLE` overrides it.
IDLE_EXIT = 60.0
START_SECONDS = 30.0


def ensure_connector(database: str, *, state: Path, base: Path, control: ControlPlane, source: str) -> None:
    """Return once a connector is live for `source`: one that is there already, or a new process.

    The process outlives this one, ends itself when idle and writes to `connector.log` in `state`. Safe to call from many
    processes at once. Raises `ConnectorNotStarted` with the log's last lines.
    """
    if is_served(control, source):
        return
    state.mkdir(parents=True, exist_ok=True)
    log = state / "connector.log"
    with _locked(state / "connector.lock"):
        if is_served(control, source):  # another process has started one while this one waited
            return
        process = _spawn(database, state, base, log)
        deadline = time.monotonic() + START_SECONDS
        while not is_served(control, source):
            if process.poll() is not None or time.monotonic() > deadline:
                raise ConnectorNotStarted(reason=_last_line(log), log=log)
            time.sleep(0.05)


def is_served(control: ControlPlane, source: str) -> bool:
    """Whether a connector that serves `source` is live; one of this machine whose process is gone is not."""
    return bool(control.connectors.live(source=source))


def _spawn(database: str, state: Path, base: Path, log: Path) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        # By environment, not by argument: a URL may hold a password, and arguments are everybody's to read.
        "REHOST_DATABASE": database,
        "REHOST_STATE": str(state),
    }
    idle = os.environ.get("REHOST_CONNECTOR_IDLE") or str(IDLE_EXIT)
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "rehost.cli", "connector", "run", "--idle-exit", idle],
            cwd=base,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C at `pulumi up` is not meant for it
        )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it wrote nothing"
