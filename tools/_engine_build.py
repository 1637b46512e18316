"""The engine, built from its Go modules: what remains where only a module proxy can be reached.

The versions are pinned exactly, since not every proxy lists versions or has the newest. The Python language host left
Pulumi's sdk module after v3.79.0, so it comes from there, with the scripts beside it from the sdk of the engine. That
old host ignores `options.virtualenv` of Pulumi.yaml: the virtual environment has to be first on PATH, see
`tools.environment`.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tools._errors import SetupError
from tools._process import ask, watch
from tools._progress import Progress, Step

VERSION = "3.250.0"
LANGUAGE_HOST_VERSION = "3.79.0"

#: The `go` directive of github.com/pulumi/pulumi/pkg/v3 at VERSION.
OLDEST_GO = (1, 25, 11)

# Where go.dev's archive is unpacked to; not always on PATH.
_USUAL_GO = ("/usr/local/go/bin/go",)

_PULUMI = "github.com/pulumi/pulumi"

# pkg's own replace directive, which does not carry over to a module that requires it.
_ENGINE_MODULE = f"""\
module engine

go {".".join(map(str, OLDEST_GO))}

require (
\t{_PULUMI}/pkg/v3 v{VERSION}
\t{_PULUMI}/sdk/v3 v{VERSION}
)

replace github.com/atotto/clipboard => github.com/tgummerer/clipboard v0.0.0-20241001131231-d02d263e614e
"""

_HOST_MODULE = f"""\
module host

go 1.22

require {_PULUMI}/sdk/v3 v{LANGUAGE_HOST_VERSION}
"""


def build(target: Path, progress: Progress) -> None:
    """Build the engine into the new directory `target`. Raises `SetupError`; a retry reuses what Go has compiled."""
    go, environment = find_go(OLDEST_GO, "The Pulumi engine is not installed")
    target.mkdir()
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="modules-") as scratch:
        engine, host = Path(scratch) / "engine", Path(scratch) / "host"
        _module(engine, _ENGINE_MODULE)
        _module(host, _HOST_MODULE)
        with progress.step(f"Fetching the Go modules of the Pulumi engine {VERSION}", "half a minute") as step:
            _fetch(go, environment, engine, step)
        with progress.step("Compiling the Pulumi engine", "once: 4 to 8 minutes on two cores, fewer with more") as step:
            flag = f"-X {_PULUMI}/sdk/v3/go/common/version.Version=v{VERSION}"
            _compile(go, environment, engine, f"{_PULUMI}/pkg/v3/cmd/pulumi", target / "pulumi", flag, step)
        with progress.step("Compiling Pulumi's Python language host", "half a minute") as step:
            package = f"{_PULUMI}/sdk/v3/python/cmd/pulumi-language-python"
            _compile(go, environment, host, package, target / "pulumi-language-python", "", step)
        sdk = _directory(go, environment, engine, "sdk/v3")
        for script in ("cmd/pulumi-language-python-exec", "dist/pulumi-resource-pulumi-python"):
            copy = target / Path(script).name
            shutil.copyfile(sdk / "python" / script, copy)
            copy.chmod(0o755)


def without_direct(proxy: str) -> str:
    """GOPROXY without `direct`: a module that the proxy refuses must fail at once, not try to reach its origin."""
    # Each entry with the separator after it: a comma falls through on "not found" alone, a bar on any error.
    kept = [
        entry + separator for entry, separator in re.findall(r"([^,|]+)([,|]?)", proxy) if entry.strip() != "direct"
    ]
    return "".join(kept).rstrip(",|") or proxy


def go_version(text: str) -> tuple[int, int, int] | None:
    """The version in `go version go1.26.8 linux/amd64`; a release candidate counts as its release."""
    found = re.search(r"\bgo(\d+)\.(\d+)(?:\.(\d+))?", text)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def find_go(oldest: tuple[int, int, int], purpose: str) -> tuple[str, Mapping[str, str]]:
    """A Go of at least the version `oldest`, and the environment to run it in.

    Raises `SetupError`, which begins with `purpose`, where there is none.
    """
    needed = ".".join(map(str, oldest))
    advice = (
        f"Install Go {needed} or newer from https://go.dev/dl/ (Debian's golang-go is too old), or Pulumi itself:",
        "https://www.pulumi.com/docs/install/",
    )
    candidates = [shutil.which("go"), *_USUAL_GO, *map(str, sorted(Path.home().glob("sdk/go*/bin/go")))]
    seen: list[str] = []
    for go in dict.fromkeys(each for each in candidates if each):
        text = ask(go, "version", env={**os.environ, "GOTOOLCHAIN": "local"})
        version = go_version(text)
        if version is None:
            continue
        seen.append(f"{go} is {'.'.join(map(str, version))}")
        # Since 1.21 Go fetches a newer toolchain through the proxy where it may.
        toolchain = "local" if version >= oldest else f"go{needed}"
        environment = _environment(go, toolchain)
        if (go_version(ask(go, "version", env=environment, seconds=120)) or (0, 0, 0)) >= oldest:
            return go, environment
    found = f" ({', '.join(seen)})" if seen else ""
    raise SetupError(what=f"{purpose}, and Go {needed} to build it is not here{found}.", todo=advice)


def _environment(go: str, toolchain: str) -> Mapping[str, str]:
    return {
        **os.environ,
        "GOPROXY": without_direct(ask(go, "env", "GOPROXY")),
        "GOFLAGS": "-mod=mod",
        "GOWORK": "off",
        "GOTOOLCHAIN": toolchain,
    }


def _module(folder: Path, content: str) -> None:
    folder.mkdir()
    (folder / "go.mod").write_text(content)


def _directory(go: str, environment: Mapping[str, str], module: Path, name: str) -> Path:
    found = ask(go, "list", "-m", "-f", "{{.Dir}}", f"{_PULUMI}/{name}", cwd=module, env=environment, seconds=120)
    if not found:
        raise SetupError(what=f"Go does not find the module {_PULUMI}/{name} that it has just fetched")
    return Path(found)


def _fetch(go: str, environment: Mapping[str, str], module: Path, step: Step) -> None:
    todo = ("Can this machine reach a Go module proxy? `go env GOPROXY` names the one it asks.",)

    def run(*arguments: str) -> None:
        watch([go, *arguments], cwd=module, env=environment, on_idle=step.update, todo=todo)

    run("mod", "download", f"{_PULUMI}/pkg/v3@v{VERSION}")
    # pkg's own checksums, so that the scratch module gets exactly what Pulumi was released with.
    sums = module / "go.sum"
    shutil.copyfile(_directory(go, environment, module, "pkg/v3") / "go.sum", sums)
    sums.chmod(0o644)


def _compile(
    go: str, environment: Mapping[str, str], module: Path, package: str, program: Path, flag: str, step: Step
) -> None:
    compiled = 0

    def count(line: str) -> None:
        nonlocal compiled
        # With -v, Go prints each package that it compiles; what its cache has is not printed.
        if line.startswith("go: downloading"):
            step.update(f"fetching {line.split()[2]}")
        else:
            compiled += 1
            step.update(f"{compiled} packages compiled")

    step.update("fetching modules")
    command: list[str | Path] = [
        go,
        "build",
        "-v",
        "-trimpath",
        "-ldflags",
        f"-s -w {flag}".strip(),
        "-o",
        program,
        package,
    ]
    watch(command, cwd=module, env=environment, on_line=count, on_idle=step.update)
