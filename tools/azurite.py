"""Fetches Azurite, Microsoft's emulator of Azure's storage: the stand-in for Azure keeps page blobs in it.

python -m tools.azurite      install it unless it is there; prints its path
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tools._built import built, print_built
from tools._errors import SetupError
from tools._files import appearing
from tools._paths import CACHE
from tools._process import watch
from tools._progress import Progress

VERSION = "3.37.0"
HOME = CACHE / "azurite" / VERSION
#: Its blob service alone, for node.
PROGRAM = HOME / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"


def ensure(progress: Progress) -> Path:
    """The program, for node. Raises `SetupError` where there is no npm, or where it cannot fetch it; a retry begins anew."""
    return built(PROGRAM, "azurite", "Azurite is being fetched", lambda: _install(progress), progress)


def _install(progress: Progress) -> None:
    npm = shutil.which("npm")
    if npm is None:
        what = "Azurite is installed with npm, which is not here."
        raise SetupError(what=what, todo=["apt-get install npm"])
    with (
        progress.step(f"Installing Azurite {VERSION} with npm", "once: a minute") as step,
        appearing(HOME) as scratch,
    ):
        quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--no-save"]
        command: list[str | Path] = [npm, "install", *quiet, "--prefix", scratch, f"azurite@{VERSION}"]
        watch(command, on_line=step.update, on_idle=step.update)


def main() -> int:
    return print_built(ensure)


if __name__ == "__main__":
    raise SystemExit(main())
