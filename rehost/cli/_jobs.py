"""`rehost pause`, `resume` and `retry`: what a person decides about a job that runs by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated
from uuid import uuid4

import typer

from rehost.cli._output import Exit, err, out
from rehost.cli._project import find_project
from rehost.cli._run import find_job, serve
from rehost.control import ControlPlane, Job, NothingToRetry

_Servers = Annotated[list[str], typer.Argument(help="Which servers; each needs a replication job.")]
_Stack = Annotated[str | None, typer.Option(help="The Pulumi stack, where the control plane knows several.")]
_Database = Annotated[
    str | None, typer.Option(help="The control plane's URL; default REHOST_DATABASE, else the project's.")
]


def pause(servers: _Servers, stack: _Stack = None, database: _Database = None) -> None:
    """Start no run of these servers by itself until `rehost resume`.

    A run under way goes on, and `rehost run` still works. Example: [dim]rehost pause db-01[/]
    """
    _each(servers, stack, database, lambda control, job: _said(job, control.jobs.pause(job.id), "paused"))


def resume(servers: _Servers, stack: _Stack = None, database: _Database = None) -> None:
    """Let servers go on that were paused, by a person or after failures; each is due at once.

    Example: [dim]rehost resume db-01[/]
    """
    _each(servers, stack, database, lambda control, job: _said(job, control.jobs.resume(job.id), "goes on"))


def retry(servers: _Servers, stack: _Stack = None, database: _Database = None) -> None:
    """Run servers again whose last run failed; what it left whole is used again, and their tries begin anew.

    Exit code 1 where a server's last run has not failed. Example: [dim]rehost retry web-01[/], then [dim]rehost status web-01[/]
    """
    project = find_project(database)

    def again(control: ControlPlane, job: Job) -> None:
        run = control.runs.retry(job.id, token=f"retry {uuid4().hex}")
        serve(project, control, job)
        out.print(f"{job.spec.server}: {run.id}")

    _each(servers, stack, database, again)


def _each(
    servers: list[str], stack: str | None, database: str | None, act: Callable[[ControlPlane, Job], None]
) -> None:
    control = find_project(database).control()
    jobs = [find_job(control, server, stack) for server in dict.fromkeys(servers)]
    failed = False
    for job in jobs:
        try:
            act(control, job)
        except NothingToRetry as error:
            err.print(f"[red]{job.spec.server}:[/] {error}")
            failed = True
    if failed:
        raise typer.Exit(Exit.FAILED)


def _said(before: Job, after: Job, what: str) -> None:
    changed = (before.paused_at, before.state, before.next_run_at) != (after.paused_at, after.state, after.next_run_at)
    out.print(f"{after.spec.server}: {what}" if changed else f"{after.spec.server}: nothing to change")
