"""`rehost fmt`: spec files in one form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rehost.cli._rewrite import rewrite, through


def fmt(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Folders and files; - for standard input to standard output.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 where a file would change.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Write nothing; print what would change.")] = False,
) -> None:
    """Write spec files in one form: indentation, spaces, line ends. Values, order and comments stay.

    Example: [dim]rehost fmt migration_specs[/]
    """
    from rehost.spec.editing import tidy

    if paths == [Path("-")]:
        through(tidy)
    else:
        rewrite(paths, tidy, done="formatted", check=check, diff=diff)
