"""Opens your shell, prepared for this project: `make shell`, or `echo 'pulumi preview' | make -s shell`."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from tools._errors import SetupError
from tools._paths import CACHE, DEMO_ENVIRONMENT, ROOT
from tools.environment import environment

_BASHRC = CACHE / "shell" / "bashrc"


def command(variables: Mapping[str, str], *, interactive: bool) -> list[str]:
    """The shell to run: the user's own. bash gets a start file: its usual one may put directories before ours."""
    shell = variables.get("SHELL") or shutil.which("bash") or "/bin/sh"
    if interactive and Path(shell).name == "bash":
        return [shell, "--rcfile", str(_BASHRC)]
    return [shell]


def bashrc(variables: Mapping[str, str]) -> str:
    return (
        f'[ -r ~/.bashrc ] && . ~/.bashrc\nexport PATH={shlex.quote(variables["PATH"])}\nPS1="(rehost) ${{PS1-$ }}"\n'
    )


def main() -> NoReturn:
    try:
        variables = environment()
    except SetupError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    interactive = sys.stdin.isatty()
    if interactive:
        _BASHRC.parent.mkdir(parents=True, exist_ok=True)
        _BASHRC.write_text(bashrc(variables))
        sandbox = ", and the demo's sandbox" if DEMO_ENVIRONMENT.is_file() else ""
        print(
            f"This shell has pulumi, rehost and python{sandbox}. Try: pulumi preview. Leave it with: exit",
            file=sys.stderr,
        )
    os.chdir(ROOT)
    arguments = command(variables, interactive=interactive)
    os.execvpe(arguments[0], arguments, variables)


if __name__ == "__main__":
    main()
