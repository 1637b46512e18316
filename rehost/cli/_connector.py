"""`rehost connector run`: the worker process."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Annotated, Any

import typer

from rehost.cli._log import log_to_standard_error
from rehost.cli._output import Columns, Exit, ago, fail, out, print_json, show
from rehost.cli._project import find_project, refuse_password
from rehost.connector import ConnectorSettings
from rehost.control import Connector, ControlPlane, Unknown, is_healthy

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
    refuse_password(database)
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
    log_to_standard_error()
    os.environ.pop(
        "PULUMI_CONFIG_PASSPHRASE", None
    )  # not ours to hold; an embedded connector inherits it from `pulumi up`
    Connector(settings).run()


_Database = Annotated[
    str | None, typer.Option(help="The control plane's URL; default REHOST_DATABASE, else the project's.")
]
_Id = Annotated[str, typer.Argument(help="Its id, or the beginning of it, as `rehost connector list` shows it.")]


@app.command("list")
def list_(
    database: _Database = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything known as JSON.")] = False,
) -> None:
    """Show the connectors: where each runs, what it serves, and whether it gives signs of life.

    Example: [dim]rehost connector list[/]
    """
    control = find_project(database).control()
    now = control.now()
    found = control.connectors.list()
    if as_json:
        print_json({"connectors": [{**asdict(each), "status": _status(each, now)} for each in found]})
        return
    if not found:
        out.print("no connector has signed on; `rehost connector run` starts one")
        return
    head = ("connector", "status", "host", "pid", "sources", "types", "runs", "version", "heard of", "addresses")
    busy = control.runs.held()
    rows = [
        (
            each.id,
            _status(each, now) + (", draining" if each.draining_at else ""),
            each.host,
            str(each.pid),
            ", ".join(each.sources) if each.sources is not None else "all",
            ", ".join(each.capabilities),
            f"{busy.get(each.id, 0)} of {each.max_runs or '-'}",
            each.version,
            ago(each.heartbeat_at, now),
            ", ".join(each.addresses),
        )
        for each in found
    ]
    show([Columns(head, rows)])


@app.command("drain")
def drain(connector: _Id, database: _Database = None) -> None:
    """Let a connector finish what it has, take nothing more, and end; for an update of its machine.

    Example: [dim]rehost connector drain connector-01jdf4[/]
    """
    control = find_project(database).control()
    found = _find(control, connector)
    control.connectors.drain(found.id)
    out.print(f"{found.id} takes no more runs; it has {control.runs.held().get(found.id, 0)} under way")


@app.command("disassociate")
def disassociate(connector: _Id, database: _Database = None) -> None:
    """Take a connector out: it gives up what it has, others go on with that, and it ends (SMS: DisassociateConnector).

    One that is gone for good is removed from the list. Example: [dim]rehost connector disassociate connector-01jdf4[/]
    """
    control = find_project(database).control()
    found = _find(control, connector)
    held = control.connectors.disassociate(found.id)
    if not is_healthy(found, control.now()):
        control.connectors.deregister(found.id)
    out.print(f"{found.id} is out; {held} runs go over to others")


def _status(connector: Connector, now: Any) -> str:
    return "HEALTHY" if is_healthy(connector, now) else "UNHEALTHY"


def _find(control: ControlPlane, beginning: str) -> Connector:
    found = [each for each in control.connectors.list() if each.id.startswith(beginning)]
    if len(found) == 1:
        return found[0]
    if found:
        fail(f"{beginning!r} begins the ids of {len(found)} connectors; give more of it", Exit.USAGE)
    raise Unknown(kind="connector", id=beginning)
