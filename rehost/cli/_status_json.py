"""What `rehost status --json` prints: a document with `applications`, `jobs`, `validations`, `post_launch_actions`, `connectors` and `notifications`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rehost.control import (
    Application,
    ControlPlane,
    Image,
    JobStatus,
    Run,
    RunDisk,
    advice,
    is_healthy,
    lag_of,
    progress_of,
)

if TYPE_CHECKING:
    from rehost.cli._status import Seen


def document(control: ControlPlane, seen: Seen, history: int) -> dict[str, Any]:
    """Moments are RFC 3339 in UTC, lengths of time seconds, sizes bytes. `runs` are the newest `history`, newest first."""
    ids = [each.job.id for each in seen.statuses]
    runs = control.history(ids, limit=history)
    images = control.standing_images(ids)
    return {
        "now": seen.now,
        "applications": [_application(control, each) for each in seen.applications],
        "jobs": [_job(seen, each, runs[each.job.id], images[each.job.id]) for each in seen.statuses],
        "validations": [
            {
                "stack": each.stack,
                "application": each.application,
                "group": each.group,
                "phase": each.phase,
                "check": each.check,
                "kind": each.kind,
                "server": each.server,
                "instance_id": each.instance_id,
                "state": each.state.value,
                "message": each.message,
                "output": each.output,
                "attempts": each.attempts,
                "started_at": each.started_at,
                "ended_at": each.ended_at,
            }
            for each in seen.validations
        ],
        "post_launch_actions": [
            {
                "stack": each.stack,
                "server": each.server,
                "instance_id": each.instance_id,
                "action": each.action,
                "state": each.state.value,
                "must_succeed": each.must_succeed,
                "message": each.message,
                "output": each.output,
                "attempts": each.attempts,
                "started_at": each.started_at,
                "ended_at": each.ended_at,
            }
            for each in seen.actions
        ],
        "connectors": [
            {
                "id": each.id,
                "status": "HEALTHY" if is_healthy(each, seen.now) else "UNHEALTHY",
                "pid": each.pid,
                "host": each.host,
                "log": each.log_path,
                "heartbeat_at": each.heartbeat_at,
                "draining": each.draining_at is not None,
            }
            for each in seen.connectors
        ],
        "notifications": [
            {"id": each.id, "attempts": each.attempts, "last_error": each.last_error} for each in seen.undelivered
        ],
        "log": seen.log,
    }


def _application(control: ControlPlane, application: Application) -> dict[str, Any]:
    return {
        "stack": application.stack,
        "name": application.name,
        "servers": application.servers,
        "wave": application.wave,
        "phase": application.phase.value,
        "entered_at": application.entered_at,
        "reached": application.reached,
        "reached_at": application.reached_at,
        "force": application.force,
        "message": application.message,
        "held_by": application.holder,
        "stopped_sources": sorted(server for server, what in application.sources.items() if what.get("action")),
        "final_runs": application.final_runs,
        "tested": application.tested,
        "tested_at": application.tested_at,
        "outage_started_at": application.outage_started_at,
        "outage_ended_at": application.outage_ended_at,
        "outage_seconds": application.outage_seconds,
        "launch_seconds": application.launch_seconds,
        "launched_phase": application.launched_phase,
        "history": [
            {
                "from": change.from_phase,
                "phase": change.phase,
                "entered_at": change.entered_at,
                "reached_at": change.reached_at,
                "force": change.force,
                "message": change.message,
            }
            for change in control.applications.history(application.stack, application.name)
        ],
    }


def _job(seen: Seen, status: JobStatus, runs: list[tuple[Run, list[RunDisk]]], images: list[Image]) -> dict[str, Any]:
    job, last = status.job, status.last_run
    return {
        "id": job.id,
        "stack": job.spec.stack,
        "server": job.spec.server,
        "application": job.spec.application,
        "source": job.spec.source_name,
        "state": job.state.value,
        "paused_at": job.paused_at,
        "next_run_at": job.next_run_at,
        "failures": job.failures,
        "missed": job.missed,
        "latest_image_id": job.latest_image_id,
        "taken_at": status.age_from,
        "lag_seconds": lag_of(status, seen.now),
        "achieved_lag_seconds": job.lag_seconds,
        "target_lag_seconds": job.spec.schedule.get("target_lag_seconds"),
        "last_error": last.message if last and last.state.value == "FAILED" else None,
        "advice": advice(status, seen.healthy, seen.now),
        "progress": _progress(seen, status),
        "runs": [_run(run, disks) for run, disks in runs],
        "images": [
            {
                "image_id": image.image_id,
                "run_id": image.run_id,
                "created_at": image.created_at,
                "taken_at": image.taken_at,
                "copies": image.copies,
            }
            for image in images
        ],
    }


def _progress(seen: Seen, status: JobStatus) -> dict[str, Any] | None:
    if status.open_run is None:
        return None
    progress = progress_of(status.disks, seen.now)
    return {
        "run_id": status.open_run.id,
        "stage": status.open_run.stage,
        "stage_at": status.open_run.stage_at,
        "done_bytes": progress.done_bytes,
        "total_bytes": progress.total_bytes,
        "bytes_per_second": progress.rate,
        "eta_seconds": progress.eta_seconds,
    }


def _run(run: Run, disks: list[RunDisk]) -> dict[str, Any]:
    return {
        "id": run.id,
        "number": run.number,
        "kind": run.kind.value,
        "state": run.state.value,
        "stage": run.stage,
        "message": run.message,
        "scheduled_at": run.scheduled_at,
        "started_at": run.started_at,
        "frozen_at": run.frozen_at,
        "completed_at": run.completed_at,
        "consistency": run.consistency,
        "image_id": run.image_id,
        "sent_bytes": run.sent_bytes,
        "missed": run.missed,
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
            for disk in disks
        ],
    }
