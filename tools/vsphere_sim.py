"""Builds the vCenter simulator of `sandbox/vsphere`, on which the source `vsphere` is tested and demonstrated.

python -m tools.vsphere_sim      build it unless it is there; prints its path
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tools._built import built, print_built
from tools._engine_build import find_go
from tools._files import appearing, digest
from tools._paths import CACHE, ROOT
from tools._process import watch
from tools._progress import Progress

SOURCES = ROOT / "sandbox" / "vsphere"
PROGRAM = "vsphere-sim"

#: The `go` directive of its go.mod.
OLDEST_GO = (1, 25, 0)


def program() -> Path:
    """Where the simulator of these very sources is, or will be once it is built."""
    return CACHE / PROGRAM / digest(*_sources())[:16] / PROGRAM


def _sources() -> Sequence[Path]:
    files = [path for path in SOURCES.iterdir() if path.suffix in (".go", ".mod", ".sum")]
    return sorted(path for path in files if not path.name.endswith("_test.go"))


def ensure(progress: Progress) -> Path:
    """The program, built where it is missing. Raises `SetupError`; a retry reuses what Go has compiled."""
    target = program()
    return built(
        target, PROGRAM, "the vCenter simulator is being built; waiting", lambda: _build(target, progress), progress
    )


def _build(target: Path, progress: Progress) -> None:
    go, environment = find_go(OLDEST_GO, "The vCenter simulator is not built")
    estimate = "once: a minute or two on two cores"
    with (
        progress.step("Building the vCenter simulator", estimate) as step,
        appearing(target.parent) as scratch,
    ):
        compiled = 0

        def count(line: str) -> None:
            nonlocal compiled
            compiled += not line.startswith("go: ")
            step.update(f"{compiled} packages compiled" if compiled else "fetching modules")

        command: list[str | Path] = [go, "build", "-v", "-trimpath", "-ldflags", "-s -w", "-o", scratch / PROGRAM, "."]
        todo = ("Can this machine reach a Go module proxy? `go env GOPROXY` names the one it asks.",)
        # Exactly what go.mod and go.sum say, and nothing written to them.
        watch(
            command,
            cwd=SOURCES,
            env={**environment, "GOFLAGS": "-mod=readonly"},
            on_line=count,
            on_idle=step.update,
            todo=todo,
        )


def main() -> int:
    return print_built(ensure)


if __name__ == "__main__":
    sys.exit(main())
