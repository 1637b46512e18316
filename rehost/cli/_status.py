"""`rehost status`: what is replicated, how old its last image is, what goes wrong, and what to do about it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import typer

from rehost.cli import _status_json, _status_text
from rehost.cli._output import Exit, err, fail, out, print_json
from rehost.cli._project import Project, find_project
from rehost.cli._run import no_such_server
from rehost.control import Connector, ControlError, ControlPlane, Delivery, JobStatus, is_healthy

WATCH_SECONDS = 2.0


@dataclass(frozen=True)
class Seen:
    """The control plane at one moment."""

    now: datetime
    statuses: Sequence[JobStatus]
    connectors: Sequence[Connector]
    healthy: Sequence[Connector]
    undelivered: Sequence[Delivery]
    log: str


_Look = Callable[[], Seen]


def status(
    servers: Annotated[list[str] | None, typer.Argument(help="Only these servers, each with its history.")] = None,
    application: Annotated[str | None, typer.Option(help="Only the servers of this application.")] = None,
    stack: Annotated[str | None, typer.Option(help="Only this Pulumi stack.")] = None,
    database: Annotated[
        str | None, typer.Option(help="The control plane's URL; default REHOST_DATABASE, else the project's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything known as JSON.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it again every 2 s, until Ctrl-C.")] = False,
    history: Annotated[int, typer.Option(min=0, max=200, help="How many runs of each server the history has.")] = 10,
) -> None:
    """Show each server's job, present run, last good image and last error, and the connectors with their logs.

    With servers, each in detail. Example: [dim]rehost status web-01[/], [dim]rehost status --application shop --watch[/]
    """
    project = find_project(database)
    control = project.control()

    def look() -> Seen:
        return _look(project, control, servers, application, stack)

    seen = look()
    if as_json and watch:
        while True:  # a document a line
            print_json(_status_json.document(control, seen, history), indent=None)
            sys.stdout.flush()
            time.sleep(WATCH_SECONDS)
            seen = _looked_again(look, seen)
    if as_json:
        print_json(_status_json.document(control, seen, history))
    elif watch:
        _watch(control, look, seen, history if servers else None)
    else:
        out.print(_status_text.page(control, seen, history if servers else None))


def _look(
    project: Project, control: ControlPlane, servers: list[str] | None, application: str | None, stack: str | None
) -> Seen:
    statuses = control.status(stack=stack, servers=servers or None)
    unknown = set(servers or ()) - {each.job.spec.server for each in statuses}
    if unknown:
        known = {each.job.spec.server for each in control.status(stack=stack)}
        fail(no_such_server(min(unknown), known), Exit.USAGE)
    if application is not None:
        names = sorted({each.job.spec.application for each in statuses if each.job.spec.application})
        statuses = [each for each in statuses if each.job.spec.application == application]
        if not statuses:
            fail(f"no replication job of application {application!r}; known: {', '.join(names) or 'none'}", Exit.USAGE)
    now = control.now()
    connectors = control.connectors.list()
    healthy = [each for each in connectors if is_healthy(each, now)]
    log = str(project.state / "connector.log")
    return Seen(now, statuses, connectors, healthy, control.outbox.waiting(), log)


def _watch(control: ControlPlane, look: _Look, seen: Seen, history: int | None) -> None:
    if not out.is_terminal:
        fail("--watch needs a terminal; in a pipe use --watch --json", Exit.USAGE)
    from rich.live import Live

    with Live(_status_text.page(control, seen, history), console=out, screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(WATCH_SECONDS)
            seen = _looked_again(look, seen)
            live.update(_status_text.page(control, seen, history), refresh=True)


def _looked_again(look: _Look, seen: Seen) -> Seen:
    """A database that is away for a while ends no watch."""
    try:
        return look()
    except ControlError as error:
        if not error.retryable:
            raise
        err.print(f"[yellow]{error}[/]")
        return seen
