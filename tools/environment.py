"""The environment in which `pulumi` runs for this project.

    eval "$(python -m tools.environment)"      prepare the shell you are in
    make shell                                 open one that is prepared

State, passphrase and the rest are defaults: what you have set yourself stays (another backend, a passphrase).
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from tools import engine
from tools._errors import SetupError
from tools._paths import DEMO_ENVIRONMENT, PULUMI_HOME, ROOT, VENV
from tools._progress import Progress

#: What this project decides; the other variables are defaults.
_OURS = ("PATH", "VIRTUAL_ENV")


def environment(base: Mapping[str, str] | None = None, *, demo: bool = True) -> dict[str, str]:
    """The variables of `base` (those of this process) and what Pulumi needs; with `demo`, the kept sandbox's too.

    The virtual environment and the engine come first on PATH. Raises `SetupError` where there is no engine.
    """
    variables = dict(os.environ if base is None else base)
    variables.pop("PYTHONHOME", None)
    # Container images often set it; then each of the Python processes that an update starts compiles all that it imports.
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    for name, value in project_environment(path=variables.get("PATH", os.defpath)).items():
        if name in _OURS:
            variables[name] = value
        elif name != "PULUMI_CONFIG_PASSPHRASE" or "PULUMI_CONFIG_PASSPHRASE_FILE" not in variables:
            variables.setdefault(name, value)
    if demo and DEMO_ENVIRONMENT.is_file():
        variables.update(read_settings(DEMO_ENVIRONMENT))
    return variables


def project_environment(root: Path = ROOT, *, path: str | None = None) -> dict[str, str]:
    """Only what Pulumi needs for this project, to be laid over another environment whose PATH is `path`.

    The state stands in `.pulumi` below `root`, outside `.cache`, which may be removed at any time.
    """
    state = root / ".pulumi"
    state.mkdir(exist_ok=True)
    directories = [str(VENV / "bin"), str(engine.ensure(Progress()).directory)]
    given = (os.environ.get("PATH", os.defpath) if path is None else path).split(os.pathsep)
    return {
        "PATH": os.pathsep.join([*directories, *(each for each in given if each not in directories)]),
        "VIRTUAL_ENV": str(VENV),
        "PULUMI_HOME": str(PULUMI_HOME),
        "PULUMI_BACKEND_URL": backend_url(state),
        "PULUMI_SKIP_UPDATE_CHECK": "1",
        # The tests' pulumi_aws has a plugin, which the engine would fetch at once and nothing here uses.
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        # For the demo, whose stack holds no secret worth one.
        "PULUMI_CONFIG_PASSPHRASE": "",
    }


def backend_url(folder: Path) -> str:
    """Pulumi's state in `folder`, written so that `kill -9` of the engine leaves it readable.

    By default Go Cloud's file store keeps a sidecar (`NAME.attrs`) of each file and writes it in place: an engine that is killed
    between creating and filling it leaves an empty one, and every later command ends with "failed to load checkpoint: EOF".
    The state itself is replaced by a rename. Pulumi has no use for the sidecars, and `metadata=skip` does without them.
    """
    return f"file://{folder}?metadata=skip"


def read_settings(file: Path) -> dict[str, str]:
    """KEY=VALUE lines; empty ones and those that begin with # are passed over. Values are taken as they are."""
    lines = (line.strip() for line in file.read_text().splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name.strip().removeprefix("export "): value.strip() for name, separator, value in pairs if separator}


def main(arguments: list[str]) -> int:
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        prepared = environment()
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    for name, value in sorted(prepared.items()):
        if os.environ.get(name) != value:
            print(f"export {name}={shlex.quote(value)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
