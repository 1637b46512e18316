"""What the bench needs besides the clone's own environment: coldsnap, and the HTTP layers it compares, in their own one."""

from __future__ import annotations

import sys
from pathlib import Path

from tools import coldsnap as _coldsnap
from tools._files import digest, read_stamp, write_stamp
from tools._paths import CACHE, ROOT, VENV
from tools._process import watch
from tools._progress import Progress

LAYERS = ("socket", "socket-signed", "http.client", "urllib3", "botocore.httpsession", "boto3", "awscrt", "aiohttp")

_ENVIRONMENT = CACHE / "bench" / "venv"
_REQUIREMENTS = ROOT / "requirements" / "bench.txt"


def python() -> Path:
    """The interpreter that the product is installed in."""
    return VENV / "bin" / "python"


def coldsnap() -> Path:
    """Built with cargo where it is missing. Raises SetupError."""
    return _coldsnap.ensure(Progress())


def bench_python() -> Path:
    """The interpreter with everything of requirements/bench.txt. Raises SetupError."""
    stamp, wanted = _ENVIRONMENT / "rehost-bench.json", {"packages": digest(_REQUIREMENTS)}
    program = _ENVIRONMENT / "bin" / "python"
    if read_stamp(stamp) == wanted and program.exists():
        return program
    with Progress().step("Installing the bench's packages", "a minute") as step:
        watch([sys.executable, "-m", "venv", _ENVIRONMENT], on_idle=step.update)
        pip: list[str | Path] = [
            program,
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            "--no-input",
            "--require-hashes",
        ]
        watch([*pip, "-r", str(_REQUIREMENTS)], on_idle=step.update)
    write_stamp(stamp, wanted)
    return program


def py_spy() -> Path:
    return bench_python().with_name("py-spy")
