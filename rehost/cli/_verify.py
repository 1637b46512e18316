"""`rehost verify`: read snapshots back and compare them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from rehost.cli._output import Exit, err, fail, out, print_json, size
from rehost.cli._project import find_project
from rehost.cli._run import find_job

if TYPE_CHECKING:
    from rehost.connector import VerifiedServer


def verify(
    servers: Annotated[list[str] | None, typer.Argument(help="Which servers; default all that have an image.")] = None,
    run: Annotated[
        str | None, typer.Option(help="This run in place of the newest completed one; for one server.")
    ] = None,
    source: Annotated[
        bool, typer.Option("--source", help="Compare with the source, too, where it has not changed since.")
    ] = False,
    stack: Annotated[str | None, typer.Option(help="The Pulumi stack, where the control plane knows several.")] = None,
    database: Annotated[
        str | None, typer.Option(help="The control plane's URL; default REHOST_DATABASE, else the project's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Read each snapshot back from EBS, block by block, and compare its SHA-256 with the run's manifest.

    It needs the manifests, so it runs where the connector ran. Exit code 3 where bytes differ. Example:
    [dim]rehost verify web-01 --source[/]
    """
    from rehost.connector import verify_run  # with the AWS SDK, which is not quick to import

    project = find_project(database)
    control = project.control()
    if servers:
        jobs = [find_job(control, server, stack) for server in dict.fromkeys(servers)]
    else:
        jobs = [job for job in control.jobs.list(stack=stack) if job.is_live and job.latest_image_id]
    if not jobs:
        fail("no server has an image yet", Exit.USAGE)
    if run and len(jobs) != 1:
        fail("--run goes with one server", Exit.USAGE)
    wanted = control.runs.get(run) if run else None
    if wanted and wanted.job_id != jobs[0].id:
        fail(f"{run} is not a run of {jobs[0].spec.server}", Exit.USAGE)
    results = []
    for job in jobs:
        with err.status(f"reading {job.spec.server} back ..."):
            results.append(verify_run(control, job, wanted, state=project.state, base=project.root, with_source=source))
    if as_json:
        print_json(
            {"ok": all(each.ok for each in results), "servers": [{"ok": each.ok, **asdict(each)} for each in results]}
        )
    else:
        out.print(_table(results, source))
    if not all(each.ok for each in results):
        raise typer.Exit(Exit.DIFFERS)


def _table(results: list[VerifiedServer], source: bool) -> Table:
    table = Table(
        "server",
        "disk",
        "snapshot",
        "size",
        "read back",
        "manifest",
        *(["source"] if source else []),
        "",
        box=None,
        pad_edge=False,
    )
    words = {True: "[green]same[/]", False: "[red]DIFFERS[/]", None: "[yellow]-[/]"}
    for each in results:
        for disk in each.disks:
            row = [
                each.server,
                disk.key,
                disk.snapshot_id,
                size(disk.bytes),
                f"{disk.blocks_read} blocks",
                words[disk.verified],
            ]
            table.add_row(*row, *([words[disk.matches_source]] if source else []), disk.problem)
    return table
