"""`rehost sandbox up`: the local AWS of this repository, for trying a spec."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from rehost.cli._output import Exit, fail

app = typer.Typer(help="A local AWS on loopback, to try a spec without an account.", no_args_is_help=True)


@app.command("up")
def up(
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port on 127.0.0.1; 0 takes a free one.")] = 0,
    state: Annotated[Path, typer.Option(help="Where snapshots, images and instances are kept.")] = Path(
        ".rehost/sandbox"
    ),
) -> None:
    """Serve EC2, EBS direct, KMS, IAM, S3, SNS, SSM and STS on 127.0.0.1 until Ctrl-C.

    Example: [dim]rehost sandbox up --port 4566[/], then [dim]pulumi config set rehost:endpoint http://127.0.0.1:4566[/]
    """
    # A process of its own: the product never imports the sandbox.
    if importlib.util.find_spec("sandbox") is None or importlib.util.find_spec("moto") is None:
        fail("the sandbox is not installed here; in a clone of the repository `make setup` installs it", Exit.USAGE)
    os.execv(sys.executable, [sys.executable, "-m", "sandbox", "--port", str(port), "--state", str(state)])
