"""`rehost verify`: read snapshots back and compare them."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from rehost.aws import Aws, AwsSettings
from rehost.cli._log import log_to_standard_error
from rehost.cli._output import Exit, err, fail, out, print_json, size
from rehost.cli._project import find_project
from rehost.cli._run import find_job
from rehost.connector import VerifiedServer, resolve_from_aws, verify_run
from rehost.snapshots import ManifestFolder, default_folder, verify_snapshot_of
from rehost.transfer import VerifyResult

_SNAPSHOT = re.compile(r"snap-[0-9a-f]{8,17}")


def verify(
    servers: Annotated[
        list[str] | None,
        typer.Argument(help="Which servers, or ids of uploaded snapshots; default all servers that have an image."),
    ] = None,
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

    It needs the manifests, so it runs where the connector ran. In place of servers it takes ids of snapshots that `rehost upload`
    made on this machine. Exit code 3 where bytes differ. Example:
    [dim]rehost verify web-01 --source[/]
    """
    if servers and all(_SNAPSHOT.fullmatch(each) for each in servers):
        _verify_uploads(servers, as_json)
        return
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
    log_to_standard_error()
    resolve_from_aws()  # for --source
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


def _verify_uploads(snapshots: list[str], as_json: bool) -> None:
    """Compare snapshots with the manifests that their uploads left."""
    ebs = Aws(AwsSettings()).ebs
    manifests = ManifestFolder(default_folder())
    results: dict[str, VerifyResult] = {}
    for snapshot in snapshots:
        with err.status(f"reading {snapshot} back ..."):
            results[snapshot] = verify_snapshot_of(snapshot, ebs, manifests)
    ok = all(result.ok for result in results.values())
    if as_json:
        found = [{"snapshot": name, "ok": result.ok, **asdict(result)} for name, result in results.items()]
        print_json({"ok": ok, "snapshots": found})
    else:
        for name, result in results.items():
            verdict = "[green]same as the manifest[/]"
            if not result.ok:
                first = result.mismatches[0].offset
                verdict = f"[red]{result.mismatch_count} blocks differ[/], the first at byte {first}"
            out.print(f"{name}  {result.blocks_read} blocks read back  {verdict}")
    if not ok:
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
