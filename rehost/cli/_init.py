"""`rehost init`: a new estate repository, with a spec that can be previewed at once."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from rehost.cli._output import Exit, err, fail, out
from rehost.scaffold import FilesMissing, ScaffoldError, Settings, TargetNotWritten, estate_files, write

_REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make; it may exist.")],
    pipeline: Annotated[str, typer.Option(help="github, gitlab or none.")] = "github",
    stack: Annotated[str, typer.Option(help="The Pulumi stack; its name is in the tags of all that is made.")] = "prod",
    region: Annotated[
        str | None, typer.Option(help="The AWS region to migrate into; AWS_REGION where it is not given.")
    ] = None,
    repository: Annotated[
        str | None, typer.Option("--rehost", metavar="OWNER/NAME", help="Where the pipeline gets rehost from.")
    ] = None,
    ref: Annotated[str | None, typer.Option(help="The tag or commit of rehost that the pipeline uses.")] = None,
    git: Annotated[bool, typer.Option(help="Make it a Git repository, unless it is in one.")] = True,
) -> None:
    """Make an estate repository: spec, Pulumi program, pipeline, ignore file and README. Overwrites nothing.

    As it is, it passes `rehost validate` and, against `rehost sandbox up`, `pulumi preview`. Example: [dim]rehost init estate --region eu-central-1[/]
    """
    chosen = region or next((os.environ[name] for name in _REGION_VARIABLES if os.environ.get(name)), None)
    if chosen is None:
        fail("which AWS region? Say it with --region, or set AWS_REGION", Exit.USAGE)
    try:
        new = estate_files(Settings(stack, chosen, pipeline, repository, ref))
        write(folder, new)
    except (TargetNotWritten, FilesMissing) as error:
        fail(error)
    except ScaffoldError as error:
        fail(error, Exit.USAGE)
    for each in new:
        out.print(f"  {folder / each.path}", markup=False, soft_wrap=True)
    if git:
        _make_repository(folder)
    out.print(
        f"\n[green]made[/]: {len(new)} files for the stack {stack} in {chosen}. What comes next stands in {folder / 'README.md'}"
    )


def _make_repository(folder: Path) -> None:
    program = shutil.which("git")
    if program is None:
        err.print("[yellow]git is not here: the folder is no repository yet[/]")
        return
    inside = subprocess.run(
        [program, "rev-parse", "--is-inside-work-tree"], cwd=folder, capture_output=True, text=True, check=False
    )
    if inside.returncode == 0:
        return
    done = subprocess.run(
        [program, "init", "--quiet", "--initial-branch", "main"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        err.print(f"git init: {done.stderr.strip()}", style="yellow", markup=False)
