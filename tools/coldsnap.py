"""Builds coldsnap, awslabs' uploader of EBS snapshots, whose unmodified client the tests hold the sandbox to.

python -m tools.coldsnap      build it unless it is there; prints its path
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from tools._built import built, print_built
from tools._errors import SetupError
from tools._files import appearing
from tools._paths import CACHE, COLDSNAP, COLDSNAP_VERSION
from tools._process import watch
from tools._progress import Progress


def cargo() -> str | None:
    """Rust's package manager, where there is one; rustup puts it outside the PATH of non-login shells."""
    return shutil.which("cargo") or shutil.which("cargo", path=str(Path.home() / ".cargo" / "bin"))


def ensure(progress: Progress) -> Path:
    """The program, built where it is missing. Raises `SetupError`; a retry compiles only what is missing."""
    return built(COLDSNAP, "coldsnap", "coldsnap is being built; waiting for it", lambda: _build(progress), progress)


def _build(progress: Progress) -> None:
    program = cargo()
    if program is None:
        what = "coldsnap is built with cargo, which is not here."
        raise SetupError(what=what, todo=["Install Rust: https://rustup.rs/"])
    estimate = "once: 3 to 6 minutes on two cores"
    built = CACHE / "coldsnap" / "target"
    with (
        progress.step(f"Building coldsnap {COLDSNAP_VERSION} with cargo", estimate) as step,
        appearing(COLDSNAP.parent.parent) as scratch,
    ):
        compiled = 0

        def count(line: str) -> None:
            nonlocal compiled
            compiled += line.strip().startswith("Compiling ")
            step.update(f"{compiled} crates compiled" if compiled else "fetching crates")

        command: list[str | Path] = [
            program,
            "install",
            "--locked",
            "coldsnap",
            "--version",
            COLDSNAP_VERSION,
            "--root",
            scratch,
        ]
        environment = {**os.environ, "CARGO_TARGET_DIR": str(built), "CARGO_TERM_COLOR": "never"}
        watch(command, env=environment, on_line=count, on_idle=step.update)
    shutil.rmtree(built, ignore_errors=True)


def main() -> int:
    return print_built(ensure)


if __name__ == "__main__":
    sys.exit(main())
