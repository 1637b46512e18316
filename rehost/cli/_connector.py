"""`rehost connector run`: the worker process."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from rehost.cli._output import Exit, fail
from rehost.cli._project import find_project
from rehost.connector import ConnectorSettings, is_embedded

app = typer.Typer(help="The worker beside the source machines.", no_args_is_help=True)


@app.command("run")
def run(
    source: Annotated[
        list[str] | None, typer.Option("--source", help="Serve only this source; may be repeated.")
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            help="The control plane's URL. A password belongs into REHOST_DATABASE: arguments are visible to all."
        ),
    ] = None,
    idle_exit: Annotated[
        float | None, typer.Option(help="End after so many seconds without work. Default: stay.")
    ] = None,
    max_runs: Annotated[int, typer.Option(min=1, max=64, help="Replication runs at once.")] = 2,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Blocks in flight for each disk.")] = 8,
) -> None:
    """Claim due replication runs and carry them out, until SIGTERM.

    A connector may be killed at any moment: what it was doing goes on where it stopped, here or in another connector.
    Example: [dim]REHOST_DATABASE=postgresql://rehost@db/rehost rehost connector run --source dc1[/]
    """
    from rehost.connector.worker import Connector  # DBOS is not quick to import: only who runs it pays

    project = find_project(database)
    if (
        database
        and not is_embedded(database)
        and "@" in database
        and ":" in database.rsplit("@", 1)[0].split("//", 1)[-1]
    ):
        fail(
            "--database holds a password, which every user of this machine can read; set REHOST_DATABASE instead",
            Exit.USAGE,
        )
    settings = ConnectorSettings(
        database=project.database,
        state=project.state,
        base=project.root,
        sources=frozenset(source) if source else None,
        idle_exit=idle_exit,
        max_runs=max_runs,
        workers=workers,
    )
    os.environ.pop(
        "PULUMI_CONFIG_PASSPHRASE", None
    )  # not ours to hold; an embedded connector inherits it from `pulumi up`
    Connector(settings).run()
