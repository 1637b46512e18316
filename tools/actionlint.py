"""Builds actionlint from its Go module, at the version that `tools/modules/actionlint/go.mod` pins: the tests hold the workflows to it.

python -m tools.actionlint      build it unless it is there; prints its path
"""

from __future__ import annotations

import sys
from pathlib import Path

from tools._built import built, print_built
from tools._engine_build import find_go
from tools._files import appearing, digest
from tools._paths import CACHE, ROOT
from tools._process import watch
from tools._progress import Progress

MODULE = ROOT / "tools" / "modules" / "actionlint"
PROGRAM = "actionlint"

#: The `go` directive of its go.mod.
OLDEST_GO = (1, 25, 0)


def program() -> Path:
    """Where the pinned actionlint is, or will be once it is built."""
    return CACHE / PROGRAM / digest(MODULE / "go.mod", MODULE / "go.sum")[:16] / PROGRAM


def ensure(progress: Progress) -> Path:
    """The program, built where it is missing. Raises `SetupError`; a retry reuses what Go has compiled."""
    target = program()
    return built(target, PROGRAM, "actionlint is being built; waiting", lambda: _build(target, progress), progress)


def _build(target: Path, progress: Progress) -> None:
    go, environment = find_go(OLDEST_GO, "actionlint is not built")
    with (
        progress.step("Building actionlint", "once: half a minute on two cores") as step,
        appearing(target.parent) as scratch,
    ):
        command: list[str | Path] = [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", scratch / PROGRAM]
        # Exactly what go.mod and go.sum say, and nothing written to them.
        watch(
            [*command, "github.com/rhysd/actionlint/cmd/actionlint"],
            cwd=MODULE,
            env={**environment, "GOFLAGS": "-mod=readonly"},
            on_idle=step.update,
            todo=("Can this machine reach a Go module proxy? `go env GOPROXY` names the one it asks.",),
        )


def main() -> int:
    return print_built(ensure)


if __name__ == "__main__":
    sys.exit(main())
