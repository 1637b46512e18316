"""`rehost connector run`: the worker process."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from rehost.cli._output import Exit, fail
from rehost.cli._project import find_project
from rehost.connector import ConnectorSettings, is_embedded

app = typer.Typer(help="The worker beside the source machines.", no_args_is_help=True)


def _log_to_standard_error() -> None:
    """Lines for a person on a terminal, JSON lines in a file or a journal."""
    import structlog

    to_person = sys.stderr.isatty()
    render: Any = structlog.dev.ConsoleRenderer() if to_person else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if to_person else [structlog.processors.format_exc_info]),
            render,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


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
    in_flight: Annotated[
        int,
        typer.Option(
            "--in-flight",
            min=1,
            max=256,
            help="Blocks of 512 KiB in flight at most for each disk; as many as help are.",
        ),
    ] = 128,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Serve Prometheus metrics there; 0 takes a free port.")
    ] = None,
    metrics_address: Annotated[
        str, typer.Option(help="Where metrics are served; they name servers, and anyone who reaches it reads them.")
    ] = "127.0.0.1",
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
        in_flight=in_flight,
        metrics_port=metrics_port,
        metrics_address=metrics_address,
    )
    _log_to_standard_error()
    os.environ.pop(
        "PULUMI_CONFIG_PASSPHRASE", None
    )  # not ours to hold; an embedded connector inherits it from `pulumi up`
    Connector(settings).run()
