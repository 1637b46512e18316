"""`rehost run`: replicate now, and watch it."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated
from uuid import uuid4

import typer
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from rehost.blocks import BLOCK_SIZE
from rehost.cli._output import Exit, err, fail, out, print_json, size
from rehost.cli._project import Project, find_project, no_such_server
from rehost.connector import ensure_connector, is_embedded
from rehost.control import ControlPlane, Job, Run, RunState

POLL_SECONDS = 0.2


def run(
    servers: Annotated[list[str], typer.Argument(help="Which servers; each needs a replication job.")],
    stack: Annotated[str | None, typer.Option(help="The Pulumi stack, where the control plane knows several.")] = None,
    database: Annotated[
        str | None, typer.Option(help="The control plane's URL; default REHOST_DATABASE, else the project's.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the end and show progress.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the runs as JSON when they have ended.")] = False,
) -> None:
    """Start an on-demand replication run of each server and wait for it.

    A server whose run is under way already is not started twice: that run is watched. Exit code 1 where a run failed.
    Example: [dim]rehost run web-01 db-01[/]
    """
    project = find_project(database)
    control = project.control()
    jobs = [find_job(control, server, stack) for server in dict.fromkeys(servers)]
    request = uuid4().hex
    runs = [control.runs.request(job.id, token=f"{request}/{job.id}") for job in jobs]
    for job in jobs:
        serve(project, control, job)
    if not wait:
        for job, each in zip(jobs, runs, strict=True):
            out.print(f"{job.spec.server}: {each.id}")
        return
    try:
        ended = _watch(control, jobs, runs)
    except KeyboardInterrupt:
        err.print("no longer watched: the connector goes on with it, and `rehost status` shows how far it is")
        raise typer.Exit(130) from None
    if as_json:
        print_json(
            {"runs": [{"server": job.spec.server, **asdict(each)} for job, each in zip(jobs, ended, strict=True)]}
        )
    else:
        for job, each in zip(jobs, ended, strict=True):
            _say(control, job, each)
    if any(each.state is not RunState.COMPLETED for each in ended):
        raise typer.Exit(Exit.FAILED)


def find_job(control: ControlPlane, server: str, stack: str | None) -> Job:
    """The live job of `server`; a clear end where there is none, or one in each of several stacks."""
    jobs = [job for job in control.jobs.list(stack=stack) if job.is_live]
    found = [job for job in jobs if job.spec.server == server]
    if len(found) == 1:
        return found[0]
    if found:
        stacks = ", ".join(sorted(job.spec.stack for job in found))
        problem = f"{server} is in several stacks: {stacks}; name one with --stack"
    else:
        problem = no_such_server(server, {job.spec.server for job in jobs})
    return fail(problem, Exit.USAGE)


def serve(project: Project, control: ControlPlane, job: Job) -> None:
    """With an embedded control plane, make sure that somebody carries the job's run out."""
    if is_embedded(project.database):
        ensure_connector(
            project.database, state=project.state, base=project.root, control=control, source=job.spec.source_name
        )


def _watch(control: ControlPlane, jobs: list[Job], runs: list[Run]) -> list[Run]:
    """Follow the runs until each has ended; a bar each on a terminal, a line a change of stage in a pipe."""
    said: dict[str, str] = {}
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as progress:
        bars: dict[str, TaskID] = {
            each.id: progress.add_task(job.spec.server, total=None) for job, each in zip(jobs, runs, strict=True)
        }
        while True:
            runs = [control.runs.get(each.id) for each in runs]
            for job, each in zip(jobs, runs, strict=True):
                disks = control.runs.disks(each.id)
                done, total = (
                    sum(disk.blocks_done for disk in disks) * BLOCK_SIZE,
                    sum(disk.blocks_total for disk in disks) * BLOCK_SIZE,
                )
                stage = each.stage or each.state.value.lower()
                progress.update(
                    bars[each.id], completed=done, total=total or None, description=f"{job.spec.server}  {stage}"
                )
                if not err.is_terminal and said.get(each.id) != stage:
                    said[each.id] = stage
                    err.print(f"{job.spec.server}: {stage}")
            if all(each.state.is_terminal for each in runs):
                return runs
            time.sleep(POLL_SECONDS)


def _say(control: ControlPlane, job: Job, run_: Run) -> None:
    if run_.state is not RunState.COMPLETED:
        err.print(f"[red]{job.spec.server}: {run_.state.value}[/] {run_.message or ''}", markup=True)
        return
    disks = control.runs.disks(run_.id)
    sent, blocks = sum(disk.sent_bytes for disk in disks), sum(disk.sent_blocks for disk in disks)
    allocated = sum(disk.allocated_bytes for disk in disks)
    took = (run_.completed_at - run_.started_at).total_seconds() if run_.completed_at and run_.started_at else 0.0
    share = f" ({sent / allocated:.1%})" if allocated else ""
    out.print(
        f"[green]{job.spec.server}: image {run_.image_id}[/]  sent {blocks} blocks, {size(sent)} of {size(allocated)} allocated{share}, in {took:.1f} s"
    )
