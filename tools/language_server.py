"""Fetches yaml-language-server, what VS Code's YAML extension asks: the tests hold the schema to it.

python -m tools.language_server      install it unless it is there; prints its path
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

VERSION = "1.25.0"
HOME = CACHE / "yaml-language-server" / VERSION
PROGRAM = HOME / "node_modules" / "yaml-language-server" / "bin" / "yaml-language-server"


def ensure(progress: Progress) -> Path:
    """The program, for node. Raises `SetupError` where there is no npm, or where it cannot fetch it; a retry begins anew."""
    return built(
        PROGRAM, "yaml-language-server", "yaml-language-server is being fetched", lambda: _install(progress), progress
    )


def _install(progress: Progress) -> None:
    npm = shutil.which("npm")
    if npm is None:
        what = "yaml-language-server is installed with npm, which is not here."
        raise SetupError(what=what, todo=["apt-get install npm"])
    with (
        progress.step(f"Installing yaml-language-server {VERSION} with npm", "once: half a minute") as step,
        appearing(HOME) as scratch,
    ):
        quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--no-save"]
        command: list[str | Path] = [npm, "install", *quiet, "--prefix", scratch, f"yaml-language-server@{VERSION}"]
        watch(command, on_line=step.update, on_idle=step.update)


def main() -> int:
    return print_built(ensure)


if __name__ == "__main__":
    raise SystemExit(main())
