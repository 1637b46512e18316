"""`rehost status`: what is replicated, how old its last image is, and what went wrong."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from rehost.blocks import BLOCK_SIZE
from rehost.cli._output import Exit, ago, fail, out, print_json, size
from rehost.cli._project import Project, find_project
from rehost.cli._run import no_such_server
from rehost.control import ControlPlane, JobStatus, RunState


def status(
    servers: Annotated[list[str] | None, typer.Argument(help="Only these servers; default all.")] = None,
    stack: Annotated[str | None, typer.Option(help="Only this Pulumi stack.")] = None,
    database: Annotated[
        str | None, typer.Option(help="The control plane's URL; default REHOST_DATABASE, else the project's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything known as JSON.")] = False,
) -> None:
    """Show each server's job, present run, last good image and last error, and the connectors with their logs.

    Example: [dim]rehost status web-01 --json[/]
    """
    project = find_project(database)
    control = project.control()
    everything = control.status(stack=stack)
    known = {each.job.spec.server for each in everything}
    if unknown := sorted(set(servers or ()) - known):
        fail(no_such_server(unknown[0], known), Exit.USAGE)
    statuses = [each for each in everything if not servers or each.job.spec.server in servers]
    if as_json:
        print_json(_as_json(project, control, statuses))
        return
    now = control.now()
    out.print(_jobs_table(statuses, now) if statuses else "no replication jobs")
    connectors = control.connectors.live()
    for connector in connectors:
        out.print(f"connector {connector.id}: pid {connector.pid} on {connector.host}, log {connector.log_path}")
    if not connectors:
        out.print(
            "no connector is running; one starts with the next `pulumi up` or `rehost run`, or by `rehost connector run`"
        )


def _jobs_table(statuses: list[JobStatus], now: datetime) -> Table:
    table = Table(
        "server",
        "state",
        "run",
        "moved",
        "last good image",
        "taken",
        "next run",
        "last error",
        box=None,
        pad_edge=False,
    )
    for each in statuses:
        image, last = each.latest_image, each.last_run
        moved = "-"
        if each.open_run:
            moved = f"{size(sum(disk.blocks_done for disk in each.disks) * BLOCK_SIZE)} of {size(sum(disk.blocks_total for disk in each.disks) * BLOCK_SIZE)}"
        elif last:
            moved = f"{size(sum(disk.sent_bytes for disk in each.disks))} sent"
        failed = last is not None and last.state is RunState.FAILED
        table.add_row(
            each.job.spec.server,
            each.job.state.value,
            (each.open_run.stage or "PENDING") if each.open_run else (last.state.value if last else "-"),
            moved,
            image.image_id if image else "-",
            ago(image.created_at, now) if image else "-",
            ago(each.job.next_run_at, now),
            f"[red]{last.message}[/]" if failed and last else "",
        )
    return table


def _as_json(project: Project, control: ControlPlane, statuses: list[JobStatus]) -> dict[str, Any]:
    return {
        "jobs": [_job_json(control, each) for each in statuses],
        "connectors": [
            {"id": each.id, "pid": each.pid, "host": each.host, "log": each.log_path, "heartbeat_at": each.heartbeat_at}
            for each in control.connectors.live()
        ],
        "log": str(project.state / "connector.log"),
    }


def _job_json(control: ControlPlane, status_: JobStatus) -> dict[str, Any]:
    job = status_.job
    return {
        "id": job.id,
        "stack": job.spec.stack,
        "server": job.spec.server,
        "application": job.spec.application,
        "state": job.state.value,
        "next_run_at": job.next_run_at,
        "runs": [
            {
                "id": run.id,
                "kind": run.kind.value,
                "state": run.state.value,
                "stage": run.stage,
                "message": run.message,
                "scheduled_at": run.scheduled_at,
                "started_at": run.started_at,
                "completed_at": run.completed_at,
                "consistency": run.consistency,
                "image_id": run.image_id,
                "disks": [
                    {
                        "key": disk.key,
                        "bytes": disk.size,
                        "blocks_done": disk.blocks_done,
                        "blocks_total": disk.blocks_total,
                        "allocated_bytes": disk.allocated_bytes,
                        "sent_bytes": disk.sent_bytes,
                        "sent_blocks": disk.sent_blocks,
                        "snapshot_id": disk.snapshot_id,
                        "parent_snapshot_id": disk.parent_snapshot_id,
                        "verified_at": disk.verified_at,
                    }
                    for disk in control.runs.disks(run.id)
                ],
            }
            for run in control.runs.list(job.id, limit=10)
        ],
        "images": [
            {"image_id": image.image_id, "run_id": image.run_id, "created_at": image.created_at}
            for image in control.images.list(job.id)
        ],
    }
