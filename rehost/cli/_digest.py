"""`rehost digest`: what a spec comes to, in short, for an update that takes this one and no other."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from rehost.cli._estate import load_estate
from rehost.cli._output import out


def digest(
    specs: Annotated[Path, typer.Option(help="The folder with the spec's YAML files.")] = Path("migration_specs"),
    stack: Annotated[
        str | None,
        typer.Option(help="Whose settings variables stand for; PULUMI_STACK without it, or the only one with a file."),
    ] = None,
) -> None:
    """Print the digest of what the spec says on a stack. With it in REHOST_SPEC_DIGEST, `pulumi up` takes no other spec.

    One job reviews and keeps it, another updates. Example: [dim]rehost digest --stack prod > reviewed[/]
    """
    from rehost import spec

    if stack is not None:
        os.environ["PULUMI_STACK"] = stack
    estate, _ = load_estate(specs)
    out.print(spec.digest(estate), markup=False, highlight=False)
