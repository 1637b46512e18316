"""`rehost migrate-spec`: spec files of an older version, in the present one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rehost.cli._rewrite import rewrite

if TYPE_CHECKING:
    from rehost.spec import Finding


def migrate_spec(
    paths: Annotated[list[Path] | None, typer.Argument(help="Folders and files.")] = None,
    version: Annotated[
        str | None,
        typer.Option("--from", help="The version of files that have no apiVersion; the present one without it."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 where a file is an old one.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Write nothing; print what would change.")] = False,
) -> None:
    """Rewrite spec files of an older [bold]apiVersion[/] in the present one. Comments stay; what cannot be rewritten is said.

    Example: [dim]rehost migrate-spec migration_specs --diff[/]
    """
    from rehost.spec.editing import migrate

    def change(content: bytes, name: str) -> tuple[str | None, list[Finding]]:
        return migrate(content, name, of=version)

    rewrite(paths, change, done="rewritten", check=check, diff=diff)
