"""`rehost schema`: the JSON Schema of a spec file, for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from rehost.cli._output import fail, tell


def schema(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file for it, in place of the terminal.")
    ] = None,
) -> None:
    """Print the JSON Schema of a spec file, for completion and help in an editor.

    A first line [bold]# yaml-language-server: $schema=PATH[/] in a spec file names it. Example: [dim]rehost schema --output .rehost-schema.json[/]
    """
    from rehost.spec import schema as language

    text = json.dumps(language(), indent=2, ensure_ascii=False) + "\n"
    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror}")
    tell(f"{output}: begin a spec file with  # yaml-language-server: $schema=PATH-TO-IT")
