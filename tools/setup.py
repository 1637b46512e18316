"""Prepares this clone: the virtual environment with its pinned packages, this project in it, and the Pulumi engine.

    python -m tools.setup [--no-engine]

Every target of the Makefile begins with it. What is up to date is recognised by its stamp and costs a few milliseconds;
what was interrupted is taken up again. Several at once wait for each other.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import time
from collections.abc import Callable

from tools import engine
from tools._errors import SetupError
from tools._files import digest, locked, read_stamp, write_stamp
from tools._paths import CACHE, ROOT, VENV
from tools._process import ask, watch
from tools._progress import Progress, Step

_REQUIREMENTS = ROOT / "requirements" / "dev.txt"
_KERBEROS = ROOT / "requirements" / "kerberos.txt"
_STAMP = VENV / "rehost-setup.json"
_PYTHON = VENV / "bin" / "python"

# Raise it when set-up itself changes in a way that old environments must follow.
_FORMAT = "1"


def wanted() -> dict[str, str]:
    """What an environment that is up to date was made from, by stage."""
    packages = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))
    return {
        # Scripts in an environment carry its path: one that was moved is made anew.
        "environment": digest(_FORMAT, str(ROOT)),
        "packages": digest(_FORMAT, _REQUIREMENTS),
        "kerberos": digest(_FORMAT, _KERBEROS) if _kerberos_is_here() else "left out",
        # An editable install knows the top-level packages by name.
        "project": digest(_FORMAT, ROOT / "pyproject.toml", ROOT / "requirements" / "runtime.in", *packages),
    }


def up_to_date() -> bool:
    return _PYTHON.exists() and read_stamp(_STAMP) == wanted()


def prepare(progress: Progress) -> None:
    """Bring the virtual environment up to date. Raises `SetupError`; a retry is safe."""
    if up_to_date():
        return
    waiting = "  another set-up is at work on this clone; waiting for it"
    with locked(CACHE / "setup.lock", lambda: progress.say(waiting)):
        target = wanted()
        stamp = read_stamp(_STAMP) if _PYTHON.exists() else {}
        stages: dict[str, Callable[[Progress], None]] = {
            "environment": _make_environment,
            "packages": _install_packages,
            "kerberos": _install_kerberos,
            "project": _install_project,
        }
        for name, stage in stages.items():
            if stamp.get(name) != target[name]:
                stage(progress)
                # A stage is written down only when it is complete, and what follows it is done again.
                stamp = {**({} if name == "environment" else stamp), name: target[name]}
                write_stamp(_STAMP, stamp)


def _make_environment(progress: Progress) -> None:
    if _usable():
        return
    if not ask(sys.executable, "-c", "import ensurepip, venv; print('both')"):
        version = sysconfig.get_python_version()
        raise SetupError(
            what=f"{sys.executable} cannot make virtual environments: it lacks ensurepip.",
            todo=[f"Debian and Ubuntu: apt-get install python{version}-venv (or python3-venv)"],
        )
    with progress.step("Making the virtual environment in .venv", "a few seconds") as step:
        watch([sys.executable, "-m", "venv", "--clear", VENV], on_idle=step.update)


def _usable() -> bool:
    """Whether .venv, made by somebody else, will do: recent enough, here, and with pip."""
    check = "import sys, pip; print(sys.version_info >= (3, 11), sys.prefix)"
    return _PYTHON.exists() and ask(_PYTHON, "-c", check) == f"True {VENV}"


def _install_packages(progress: Progress) -> None:
    total = _REQUIREMENTS.read_text().count("==")
    with progress.step(f"Installing {total} pinned packages", "half a minute to two minutes") as step:
        seen = 0

        def count(line: str) -> None:
            nonlocal seen
            seen += line.startswith("Collecting ")
            step.update("installing" if line.startswith("Installing") else f"{seen} of {total} fetched")

        _pip(step, "--require-hashes", "-r", str(_REQUIREMENTS), on_line=count)


def _kerberos_is_here() -> bool:
    """Whether the system's library can be built against."""
    return shutil.which("krb5-config") is not None and shutil.which("cc") is not None


def _install_kerberos(progress: Progress) -> None:
    """Nothing else needs it: where it does not come about, that is said, and set-up goes on."""
    if not _kerberos_is_here():
        return
    try:
        with progress.step("Building Kerberos for the Hyper-V source", "one to four minutes, once") as step:
            _pip(step, "--no-deps", "--require-hashes", "-r", str(_KERBEROS))
    except SetupError as error:
        progress.warn(f"  Without Kerberos; all else works (docs/sources/hyperv.md). {error}")


def _install_project(progress: Progress) -> None:
    with progress.step("Installing this project into it", "a few seconds") as step:
        # setuptools is among the pinned packages; nothing is fetched.
        _pip(step, "--no-deps", "--no-build-isolation", "-e", str(ROOT))


def _pip(step: Step, *arguments: str, on_line: Callable[[str], None] = lambda _: None) -> None:
    watch(
        [_PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "", "PIP_REQUIRE_VIRTUALENV": "0"},
        on_line=on_line,
        on_idle=step.update,
        todo=["Set-up continues where it stopped: run the same command again."],
    )


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--no-engine"]):
        print(__doc__, file=sys.stderr)
        return 2
    progress = Progress()
    started = time.monotonic()
    busy = not up_to_date() or ("--no-engine" not in arguments and engine.current() is None)
    try:
        prepare(progress)
        if "--no-engine" not in arguments:
            chosen = engine.ensure(progress)
            if busy:
                progress.say(f"  Pulumi {chosen.version}, {chosen.origin}")
    except SetupError as error:
        progress.say(progress.paint("31", "Set-up did not finish. ") + str(error))
        return 1
    except KeyboardInterrupt:
        progress.say("\nSet-up was interrupted; the next one continues where this ended.")
        return 130
    if busy:
        progress.say(f"Set-up is complete after {time.monotonic() - started:.0f} s; the next one takes no time.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
