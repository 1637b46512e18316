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


def environment(base: Mapping[str, str] | None = None, *, demo: bool = True) -> dict[str, str]:
    """The variables of `base` (those of this process) and what Pulumi needs; with `demo`, the kept sandbox's too.

    The virtual environment and the engine come first on PATH. Raises `SetupError` where there is no engine.
    """
    variables = dict(os.environ if base is None else base)
    directories = [str(VENV / "bin"), str(engine.ensure(Progress()).directory)]
    rest = [each for each in variables.get("PATH", os.defpath).split(os.pathsep) if each not in directories]
    variables["PATH"] = os.pathsep.join([*directories, *rest])
    variables["VIRTUAL_ENV"] = str(VENV)
    variables.pop("PYTHONHOME", None)
    for name, value in _defaults(variables).items():
        variables.setdefault(name, value)
    if demo and DEMO_ENVIRONMENT.is_file():
        variables.update(read_settings(DEMO_ENVIRONMENT))
    return variables


def read_settings(file: Path) -> dict[str, str]:
    """KEY=VALUE lines; empty ones and those that begin with # are passed over. Values are taken as they are."""
    lines = (line.strip() for line in file.read_text().splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name.strip().removeprefix("export "): value.strip() for name, separator, value in pairs if separator}


def _defaults(variables: Mapping[str, str]) -> dict[str, str]:
    defaults = {
        "PULUMI_HOME": str(PULUMI_HOME),
        # The state stands in .pulumi/ at the root: it outlives .cache.
        "PULUMI_BACKEND_URL": f"file://{ROOT}",
        "PULUMI_SKIP_UPDATE_CHECK": "1",
    }
    if "PULUMI_CONFIG_PASSPHRASE_FILE" not in variables:
        # For the demo, whose stack holds no secret worth one.
        defaults["PULUMI_CONFIG_PASSPHRASE"] = ""
    return defaults


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
