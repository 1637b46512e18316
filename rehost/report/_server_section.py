"""The table of servers: a row each, and below it what the server went through, to open."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from rehost.control import Image, Run, RunState, progress_of
from rehost.report import _charts
from rehost.report._html import Markup, code_in, el, inner, moment
from rehost.report._look import History, Past, Report, ServerView
from rehost.report._overview import is_failing, needs_attention
from rehost.report._text import ago, count, short
from rehost.text import size, span

#: What a server is filtered by: name -> label.
CONDITIONS = {
    "attention": "needs a person",
    "running": "run under way",
    "waiting": "no image yet",
    "ready": "image ready",
    "done": "cut over",
}
_HEAD = (
    ("server", None),
    ("application", None),
    ("wave", "less"),
    ("source", "less"),
    ("state", None),
    ("phase", None),
    ("lag", None),
    ("last good image", "less"),
    ("run", None),
)


def servers(report: Report, pasts: Mapping[str, Past] | None) -> Markup:
    """`pasts`: what each went through, put into the page; None where the page asks for it when it is opened."""
    if not report.servers:
        return inner([el("h2", "Servers"), el("p", "No server is declared.", class_="soft")])
    head = [el("th", name, scope="col", class_=less) for name, less in _HEAD]
    bodies = [_server(report, each, pasts) for each in report.servers]
    return inner(
        [
            el("h2", "Servers ", el("span", f"{len(report.servers):,}", class_="soft")),
            _tools(),
            el(
                "div",
                el(
                    "table",
                    el("caption", "Servers", class_="unseen"),
                    el("thead", el("tr", head)),
                    bodies,
                    id="server-table",
                ),
                class_="wide",
                role="region",
                aria_label="Servers",
                tabindex=0,
            ),
        ]
    )


def _tools() -> Markup:
    """Shown once a script is there that makes them work."""
    options = [el("option", "all servers", value="")]
    options += [el("option", label, value=name) for name, label in CONDITIONS.items()]
    return el(
        "form",
        el(
            "label",
            "Find ",
            el("input", type="search", id="find", autocomplete="off", placeholder="name, application, wave …"),
        ),
        el("label", "Show ", el("select", options, id="condition")),
        el("output", id="shown", role="status"),
        id="tools",
        hidden=True,
    )


def condition(server: ServerView) -> str:
    """One of CONDITIONS."""
    if needs_attention(server):
        return "attention"
    if server.status is not None and server.status.open_run is not None:
        return "running"
    if server.phase in ("cutover", "complete"):
        return "done"
    has_image = server.status is not None and server.status.latest_image is not None
    return "ready" if has_image else "waiting"


def _server(report: Report, server: ServerView, pasts: Mapping[str, Past] | None) -> Markup:
    status = server.status
    taken = status.age_from if status else None
    row = el(
        "tr",
        el("th", el("bdi", server.name), scope="row"),
        el("td", el("bdi", server.application or "–")),
        el("td", el("bdi", server.wave or "–"), class_="less"),
        el("td", el("bdi", server.source), class_="less"),
        el("td", _state(server)),
        el("td", server.phase or "–"),
        el("td", "–" if server.lag is None else span(server.lag), class_="num", data_v=int(server.lag or -1)),
        el("td", moment(taken), class_="less"),
        el("td", _run(report, server), class_="text"),
    )
    opened = (
        past(report, server, (pasts or {}).get(server.name, Past())) if pasts is not None else el("div", class_="past")
    )
    told = el(
        "td",
        el(
            "details",
            el("summary", _summary(server, pasts)),
            opened,
            id=f"past-{server.name}",
            data_past=server.name if pasts is None else None,
        ),
        colspan=len(_HEAD),
    )
    body = inner([row, el("tr", told, class_="more")])
    digest = hashlib.blake2b(body.encode("utf-8", "replace"), digest_size=8).hexdigest()
    return el("tbody", body, data_key=server.name, data_hash=digest, data_condition=condition(server))


def _state(server: ServerView) -> Markup:
    if server.status is None:
        return el("span", "not declared yet", class_="mark")
    job = server.status.job
    kind = "bad" if is_failing(server) else "warn" if job.paused_at is not None else ""
    word = "PAUSED" if job.paused_at is not None and not is_failing(server) else job.state.value
    return el("span", word.lower().replace("_", " "), class_=f"mark {kind}".strip())


def _run(report: Report, server: ServerView) -> object:
    if server.status is None:
        return "–"
    run = server.status.open_run
    if run is not None:
        done = progress_of(server.status.disks, report.now)
        told = f"{(run.stage or run.state.value).lower().replace('_', ' ')}"
        if done.total_bytes:
            told += f", {100 * done.done_bytes / done.total_bytes:.0f} % of {size(done.total_bytes)}"
        if done.rate:
            told += f", {size(done.rate)}/s"
        return told + (f", {span(done.eta_seconds)} left" if done.eta_seconds else "")
    if server.status.job.next_run_at is not None:
        return inner(["next ", moment(server.status.job.next_run_at)])
    return "–"


def _summary(server: ServerView, pasts: Mapping[str, Past] | None) -> Markup:
    runs = (pasts or {}).get(server.name, Past()).runs
    if not runs:
        return inner(["History", el("span", f" of {server.name}", class_="unseen")])
    failed = sum(run.state is RunState.FAILED for run, _ in runs)
    told = f"its last {count(len(runs), 'run')}" + (f", {failed} failed" if failed else "")
    return inner(
        [
            "History",
            el("span", f" of {server.name}", class_="unseen"),
            " ",
            _strip(runs, told),
            " ",
            el("span", told, class_="soft"),
        ]
    )


def _strip(runs: History, told: str) -> Markup:
    """Oldest first; the height is what a run sent, beside the most that one of them did."""
    most = max((run.sent_bytes or 0 for run, _ in runs), default=0) or 1
    classes = {RunState.COMPLETED: "ok", RunState.FAILED: "failed", RunState.MISSED: "missed"}
    parts = [
        (classes.get(run.state, "sent"), 1.0 if run.state is RunState.FAILED else (run.sent_bytes or 0) / most)
        for run, _ in reversed(runs)
    ]
    return _charts.strip(parts, told)


def past(report: Report, server: ServerView, known: Past) -> Markup:
    parts: list[Markup] = []
    if server.status and server.status.last_run and server.status.last_run.state is RunState.FAILED:
        parts.append(
            el(
                "p",
                el("span", "failure", class_="mark bad"),
                code_in(short(server.status.last_run.message or "its last run failed", 800)),
            )
        )
    if server.advice:
        parts.append(el("p", el("strong", "To do: "), code_in(server.advice)))
    if known.runs:
        head = ("run", "kind", "state", "point in time", "took", "sent", "disks", "image", "message")
        parts.append(
            _charts.table(head, [_run_row(run, len(disks)) for run, disks in known.runs], f"Runs of {server.name}")
        )
    else:
        parts.append(el("p", "No run yet.", class_="soft"))
    if known.images:
        rows = [_image_row(image, report) for image in known.images[:20]]
        parts.append(
            _charts.table(
                ("image", "point in time", "age", "snapshots", "copies in"), rows, f"Images of {server.name} that exist"
            )
        )
    if server.validations or server.actions:
        parts.append(
            _charts.table(
                ("check or action", "state", "tries", "ended", "message"), _checks(server), f"Checks of {server.name}"
            )
        )
    return el("div", parts, class_="past")


def _run_row(run: Run, disks: int) -> tuple[object, ...]:
    began = run.started_at
    took = span((run.completed_at - began).total_seconds()) if began and run.completed_at else "–"
    kind = {"COMPLETED": "good", "FAILED": "bad", "MISSED": "warn"}.get(run.state.value, "")
    state = el("span", run.state.value.lower(), class_=f"mark {kind}".strip())
    missed = f"{count(run.missed, 'moment')} missed" if run.missed else ""
    return (
        run.number,
        run.kind.value.lower().replace("_", " "),
        state,
        moment(run.frozen_at or run.started_at or run.scheduled_at, seconds=True),
        took,
        "–" if run.sent_bytes is None else size(run.sent_bytes),
        disks,
        el("code", run.image_id) if run.image_id else "–",
        code_in(short(run.message or missed)),
    )


def _image_row(image: Image, report: Report) -> tuple[object, ...]:
    taken = image.taken_at or image.created_at
    return (
        el("code", image.image_id),
        moment(taken, seconds=True),
        ago(taken, report.now),
        len(image.snapshot_ids),
        ", ".join(sorted(image.copies or ())) or "–",
    )


def _checks(server: ServerView) -> list[tuple[object, ...]]:
    """Without their output: what a guest prints may be anything, and this page is passed on."""
    rows = [(each.check, each.state, each.attempts, each.ended_at, each.message) for each in server.validations]
    rows += [(each.action, each.state, each.attempts, each.ended_at, each.message) for each in server.actions]
    kinds = {"SUCCEEDED": "good", "FAILED": "bad"}
    return [
        (
            name,
            el("span", state.value.lower().replace("_", " "), class_=f"mark {kinds.get(state.value, '')}".strip()),
            tries,
            moment(at, seconds=True),
            code_in(short(message or "")),
        )
        for name, state, tries, at, message in rows
    ]
