"""The Pulumi engine: found on PATH, downloaded as Pulumi publishes it, or built from its Go modules.

    python -m tools.engine path       print the directory to put first on PATH, installing the engine if need be
    python -m tools.engine describe   say which engine is used, and where it came from

An engine is a directory with `pulumi`, `pulumi-language-python` and what dynamic providers in Python need beside them.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tools import _engine_build, _engine_download
from tools._errors import SetupError
from tools._files import appearing, locked, read_stamp, write_stamp
from tools._paths import CACHE, ENGINES, sdk_version
from tools._process import ask
from tools._progress import Progress

#: Older engines than this are passed over: the recent Python SDK speaks to newer ones.
OLDEST = (3, 100, 0)

#: What must stand beside `pulumi` or on PATH, besides `pulumi` itself.
COMPANIONS = ("pulumi-language-python", "pulumi-resource-pulumi-python")

_CHOICE = ENGINES / "choice.json"


@dataclass(frozen=True)
class Engine:
    directory: Path
    version: str
    origin: str  # "on PATH", "downloaded", "built from its Go modules"


def parse_version(text: str) -> tuple[int, int, int] | None:
    """`v3.250.0`, `3.250.0-dev.1` as numbers; None for what is no version."""
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", text.strip())
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def current() -> Engine | None:
    """The engine chosen before, if it is still there and nothing new on PATH speaks against it. Runs no program."""
    choice = read_stamp(_CHOICE)
    if not choice or choice.get("on_path") != _identity(_on_path()):
        return None
    engine = Engine(Path(choice["directory"]), choice["version"], choice["origin"])
    return engine if choice.get("pulumi") == _identity(engine.directory / "pulumi") else None


def ensure(progress: Progress) -> Engine:
    """The engine, installed where there is none: seconds to find one, a minute to download it, minutes to build it.

    Raises `SetupError` where none can be had. Safe to run concurrently, and to repeat after an interruption.
    """
    if engine := current():
        return engine
    with locked(
        CACHE / "engine.lock", lambda: progress.say("  another set-up is installing the engine; waiting for it")
    ):
        engine = current() or _usable_on_path(progress) or _cached() or _downloaded(progress) or _built(progress)
        write_stamp(
            _CHOICE,
            {
                "directory": str(engine.directory),
                "version": engine.version,
                "origin": engine.origin,
                "pulumi": _identity(engine.directory / "pulumi"),
                "on_path": _identity(_on_path()),
            },
        )
    return engine


def inspect(directory: Path) -> str | None:
    """The version of the engine in `directory`; None where it does not run or is not whole."""
    if any(not shutil.which(name, path=f"{directory}{os.pathsep}{os.environ.get('PATH', '')}") for name in COMPANIONS):
        return None
    version = ask(directory / "pulumi", "version", env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "1"})
    return version.removeprefix("v") if parse_version(version) else None


def _on_path() -> Path | None:
    # Our own cache may be on PATH already: within `make shell`, and in what the demo starts.
    folders = [each for each in os.environ.get("PATH", "").split(os.pathsep) if not Path(each).is_relative_to(ENGINES)]
    found = shutil.which("pulumi", path=os.pathsep.join(folders))
    return Path(found).absolute() if found else None


def _identity(program: Path | None) -> str:
    """Changes when the program does; so an engine that was upgraded or removed is looked at again."""
    if program is None:
        return "none"
    try:
        status = program.stat()
    except OSError:
        return "none"
    return f"{program} {status.st_size} {status.st_mtime_ns}"


def _usable_on_path(progress: Progress) -> Engine | None:
    program = _on_path()
    if program is None:
        return None
    # A package manager may link `pulumi` alone onto PATH, its companions stay where the link points.
    for directory in dict.fromkeys((program.parent, program.resolve().parent)):
        version = inspect(directory)
        if version and (parse_version(version) or (0, 0, 0)) >= OLDEST:
            return Engine(directory, version, "on PATH")
    oldest = ".".join(map(str, OLDEST))
    progress.warn(f"  {program} is older than {oldest}, or lacks its Python language host: it is not used")
    return None


def _cached() -> Engine | None:
    for version, origin in ((sdk_version(), "downloaded"), (_engine_build.VERSION, "built from its Go modules")):
        directory = ENGINES / version / "bin"
        if directory.is_dir() and inspect(directory):
            return Engine(directory, version, origin)
    return None


def _downloaded(progress: Progress) -> Engine | None:
    version = sdk_version()
    if not _engine_download.reachable(version):
        return None
    try:
        with appearing(ENGINES / version) as scratch:
            _engine_download.download(version, scratch / "bin", progress)
            _verify(scratch / "bin")
    except SetupError as error:
        progress.warn(f"  {error.what}; building the engine instead")
        return None
    return Engine(ENGINES / version / "bin", version, "downloaded")


def _built(progress: Progress) -> Engine:
    version = _engine_build.VERSION
    with appearing(ENGINES / version) as scratch:
        _engine_build.build(scratch / "bin", progress)
        _verify(scratch / "bin")
    return Engine(ENGINES / version / "bin", version, "built from its Go modules")


def _verify(directory: Path) -> None:
    if inspect(directory) is None:
        raise SetupError(what="the Pulumi engine was installed, but `pulumi version` does not run")


def main(arguments: list[str]) -> int:
    if arguments not in (["path"], ["describe"]):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        engine = ensure(Progress())
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    print(
        engine.directory if arguments == ["path"] else f"pulumi {engine.version}, {engine.origin}: {engine.directory}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
