"""A source in a process of its own: `python -m tests.sources.elsewhere JSON`.

Prints the SHA-256 of each disk of the point in time as a line of JSON. `hang`: then stays until it is killed.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from rehost.sources import Quiesce
from tests.sources.harness import Harness, whole

ROOT = Path(__file__).resolve().parents[2]


def start(harness: Harness, **task: Any) -> subprocess.Popen[str]:
    """`token=` reopens, `run=` freezes the harness's server."""
    opener, keywords = harness.elsewhere()
    task |= {"open": opener, "keywords": dict(keywords), "locator": dict(harness.locator)}
    command = [sys.executable, "-m", "tests.sources.elsewhere", json.dumps(task)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


def digests(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    return list(json.loads(process.stdout.readline() or "[]"))


def main() -> None:
    task = json.loads(sys.argv[1])
    module, function = task["open"].split(":")
    source = getattr(importlib.import_module(module), function)(**task["keywords"])
    if "token" in task:
        frozen = source.reopen(task["token"])
    else:
        frozen = source.freeze(task["locator"], quiesce=Quiesce.NONE, run=task["run"])
    print(json.dumps([hashlib.sha256(whole(disk)).hexdigest() for disk in frozen.disks]), flush=True)
    if task.get("hang"):
        signal.pause()
    frozen.close()
    source.close()


if __name__ == "__main__":
    main()
