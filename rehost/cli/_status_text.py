"""What `rehost status` shows a person: a table of all servers, or each of some in detail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rehost.cli._output import Columns, Part, ago, escape, size, span
from rehost.cli._status_after import after_launch
from rehost.control import ControlPlane, JobState, JobStatus, Phase, Run, RunState, advice, lag_of, progress_of
from rehost.text import named

if TYPE_CHECKING:
    from rehost.cli._status import Seen

_COLOURS = {
    JobState.FAILING: "yellow",
    JobState.PAUSED_ON_FAILURE: "red",
    JobState.FAILED: "red",
    JobState.COMPLETED: "green",
    JobState.ACTIVE: "green",
}


def page(control: ControlPlane, seen: Seen, history: int | None) -> list[Part]:
    """All servers in a table, or with `history` each in detail; then the connectors and what waits to be delivered."""
    parts: list[Part]
    if not seen.statuses:
        parts = ["no replication jobs"]
    elif history is None:
        parts = [_table(seen), *_trouble(seen)]
    else:
        runs = control.history([each.job.id for each in seen.statuses], limit=history)
        parts = [part for each in seen.statuses for part in _detail(seen, each, [run for run, _ in runs[each.job.id]])]
    after = after_launch(seen, detailed=history is not None)
    return [*parts, *_applications(seen), *after, *_connectors(seen), *_undelivered(seen)]


def _table(seen: Seen) -> Part:
    head = ("server", "state", "run", "moved", "last good image", "age", "lag", "next run", "last error")
    return Columns(head, [_row(seen, each) for each in seen.statuses])


def _row(seen: Seen, each: JobStatus) -> tuple[str, ...]:
    job, last, run = each.job, each.last_run, each.open_run
    failed = last is not None and last.state is RunState.FAILED
    return (
        escape(job.spec.server),
        _state(each),
        (run.stage or "PENDING") if run else (last.state.value if last else "-"),
        _moved(seen, each),
        each.latest_image.image_id if each.latest_image else "-",
        _age(seen, each),
        "-" if job.lag_seconds is None else span(job.lag_seconds),
        _next(seen, each),
        f"[red]{escape(last.message or '')}[/]" if failed and last else "",
    )


def _state(each: JobStatus) -> str:
    job = each.job
    text = f"{job.state.value}, paused" if job.paused_at else job.state.value
    if job.held_by:
        text += ", held"
    colour = "yellow" if job.paused_at else _COLOURS.get(job.state)
    return f"[{colour}]{text}[/]" if colour else text


def _moved(seen: Seen, each: JobStatus) -> str:
    if each.open_run is None:
        sent = each.last_run.sent_bytes if each.last_run else None
        return "-" if sent is None else f"{size(sent)} sent"
    progress = progress_of(each.disks, seen.now)
    text = f"{size(progress.done_bytes)} of {size(progress.total_bytes)}"
    if progress.rate:
        text += f", {size(progress.rate)}/s"
    if progress.eta_seconds is not None:
        text += f", {span(progress.eta_seconds)} left"
    return text


def _age(seen: Seen, each: JobStatus) -> str:
    lag = lag_of(each, seen.now)
    return "-" if lag is None else span(lag)


def _next(seen: Seen, each: JobStatus) -> str:
    if each.job.next_run_at is None:
        return "-"
    late = each.job.next_run_at <= seen.now and each.open_run is None
    return "now" if late else ago(each.job.next_run_at, seen.now)


def _trouble(seen: Seen) -> Iterator[Part]:
    """What to do, for each server that needs something; the same advice once."""
    said: dict[str, list[str]] = {}
    for each in seen.statuses:
        todo = advice(each, seen.healthy, seen.now)
        if todo is not None:
            said.setdefault(todo.replace(f" {each.job.spec.server}`", " SERVER`"), []).append(each.job.spec.server)
    for todo, servers in said.items():
        names = named(servers)
        single = todo.replace(" SERVER`", f" {servers[0]}`") if len(servers) == 1 else todo
        yield f"[yellow]{escape(names)}:[/] {escape(single)}"


def _detail(seen: Seen, each: JobStatus, runs: list[Run]) -> Iterator[Part]:
    job, image, run = each.job, each.latest_image, each.open_run
    yield f"[bold]{escape(job.spec.server)}[/]  {_state(each)}  (source {job.spec.source_name}, {job.id})"
    if image is not None:
        yield f"  last good image {image.image_id}: its point in time is {_age(seen, each)} old"
    else:
        yield "  no image yet"
    if job.lag_seconds is not None:
        target = job.spec.schedule.get("target_lag_seconds")
        aim = f", the target is {span(target)}" if target else ""
        yield f"  lag: the image before had become {span(job.lag_seconds)} old{aim}"
    if run is not None:
        since = f", for {span((seen.now - run.stage_at).total_seconds())}" if run.stage_at else ""
        detail = f", {run.message}" if run.message else ""
        yield f"  run {run.id}: {run.stage or 'waiting for a connector'}{since}{escape(detail)}; {_moved(seen, each)}"
    yield f"  next run: {_next(seen, each)}" + (f"; {job.missed} moments missed" if job.missed else "")
    if each.last_run is not None and each.last_run.state is RunState.FAILED:
        where = f" at {each.last_run.stage}" if each.last_run.stage else ""
        yield f"  last error{where}: [red]{escape(each.last_run.message or '')}[/]"
    if (todo := advice(each, seen.healthy, seen.now)) is not None:
        yield f"  to do: [yellow]{escape(todo)}[/]"
    if runs:
        head = ("  run", "kind", "state", "ended", "took", "sent", "image", "message")
        yield Columns(head, [_past(seen, run) for run in runs])


def _past(seen: Seen, run: Run) -> tuple[str, ...]:
    took = "-"
    if run.completed_at and run.started_at:
        took = span((run.completed_at - run.started_at).total_seconds())
    return (
        f"  {run.id}",
        run.kind.value,
        f"{run.state.value} x {run.missed}" if run.missed > 1 else run.state.value,
        ago(run.completed_at, seen.now),
        took,
        "-" if run.sent_bytes is None else size(run.sent_bytes),
        run.image_id or "-",
        escape(run.message or ""),
    )


def _applications(seen: Seen) -> Iterator[Part]:
    for each in seen.applications:
        since = ago(each.reached_at or each.entered_at, seen.now)
        outage = f", outage {span(each.outage_seconds)}" if each.outage_seconds is not None else ""
        held = f"; {escape(each.holder)} cuts it over" if each.holder else ""
        if each.is_reached:
            yield f"application [bold]{escape(each.name)}[/]: [green]{each.phase}[/], reached {since}{outage}{held}"
            continue
        yield f"application [bold]{escape(each.name)}[/]: [yellow]{each.phase}[/], entered {since}, not reached yet{held}"
        if each.message:
            yield f"  [red]{escape(each.message)}[/]"
        if each.phase is Phase.CUTOVER and not each.holder:
            yield "  to go on: `pulumi up`; to go back: revert the change of phase, then `pulumi up`"


def _connectors(seen: Seen) -> Iterator[Part]:
    for each in seen.connectors:
        healthy = any(each.id == other.id for other in seen.healthy)
        state = ("draining, " if each.draining_at else "") + (
            "" if healthy else f"[red]UNHEALTHY[/], last heard of {ago(each.heartbeat_at, seen.now)}, "
        )
        yield f"connector {each.id}: {state}pid {each.pid} on {each.host}, log {each.log_path}"
    if not seen.healthy:
        yield (
            "no connector is running; one starts with the next `pulumi up` or `rehost run`, or by `rehost connector run`"
        )


def _undelivered(seen: Seen) -> Iterator[Part]:
    if seen.undelivered:
        newest = seen.undelivered[-1]
        reason = f": {newest.last_error}" if newest.last_error else ""
        yield f"[yellow]{len(seen.undelivered)} notifications are not delivered[/]{escape(reason)}"
