"""`rehost validate`: everything wrong with a spec, at once, without touching anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rehost.cli._output import Exit, err, out, print_json


def validate(
    folder: Annotated[Path, typer.Argument(help="The folder with the spec's YAML files.")] = Path("migration_specs"),
    stacks: Annotated[
        list[str] | None,
        typer.Option("--stack", help="Whose settings variables stand for; all that have a settings file without it."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check the spec and print every finding as [bold]file:line:column: message[/].

    Exit code 0 where it is valid (warnings allowed), 2 where it is not. Example: [dim]rehost validate migration_specs[/]
    """
    from rehost.spec import check_stacks  # it is not quick to import

    estate, findings = check_stacks(folder, stacks=stacks or ())
    valid = estate is not None
    if as_json:
        print_json({"valid": valid, "findings": [finding.as_dict() for finding in findings]})
    else:
        for finding in findings:
            style = "red" if finding.is_error else "yellow"
            err.print(str(finding), style=style, markup=False)
        if estate is not None:
            out.print(
                f"[green]valid[/]: {len(estate.servers)} servers, {len(estate.applications)} applications, {len(estate.sources)} sources"
            )
        else:
            count = sum(finding.is_error for finding in findings)
            err.print(f"[red]{count} error{'s' if count != 1 else ''}[/]; nothing was changed anywhere")
    if not valid:
        raise typer.Exit(Exit.USAGE)
