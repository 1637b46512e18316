"""The top of the page: how it stands, what needs a person, and what comes next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rehost.control import JobState, RunState, progress_of
from rehost.report._html import Markup, code_in, el, inner, moment
from rehost.report._look import Report, ServerView
from rehost.report._text import ANY, ago, count, nameless, short
from rehost.text import named, size, span

_MOST = 40  # rows of a list before the rest is counted
FAILING = (JobState.FAILING, JobState.PAUSED_ON_FAILURE, JobState.FAILED)


def summary(report: Report) -> Markup:
    """Figures of the whole estate."""
    servers = report.servers
    with_image = sum(each.status is not None and each.status.latest_image is not None for each in servers)
    phases = Counter(member.phase for wave in report.waves for member in wave.members if member.is_reached)
    applications = sum(len(wave.members) for wave in report.waves)
    cut_over = phases["cutover"] + phases["complete"]
    lags = [each.lag for each in servers if each.lag is not None]
    under_way = [each.status for each in servers if each.status and each.status.open_run]
    rate = sum(progress_of(each.disks, report.now).rate or 0 for each in under_way)
    sent = sum(run.sent_bytes for run in report.ended)
    failing = sum(is_failing(each) for each in servers)
    tiles = [
        ("servers with an image", f"{with_image:,} of {len(servers):,}", ""),
        ("applications cut over", f"{cut_over:,} of {applications:,}", _phases(phases)),
        ("oldest image", span(max(lags)) if lags else "–", f"median {span(_median(lags))}" if lags else ""),
        ("runs under way", f"{len(under_way):,}", f"{size(rate)}/s" if rate else ""),
        ("sent", size(sent), f"in {span((report.now - report.since).total_seconds())}" if report.ended else ""),
        ("servers that fail", f"{failing:,}", ""),
        ("connectors", f"{len(report.healthy)} of {len(report.connectors)}", "healthy"),
    ]
    rows = [
        el(
            "div",
            el("dt", name),
            el("dd", el("strong", value), el("span", note, class_="soft") if note else None),
            class_="tile bad" if name == "servers that fail" and failing else "tile",
        )
        for name, value, note in tiles
    ]
    problem = el("p", "The spec was not read: ", report.spec_problem, class_="note") if report.spec_problem else None
    return inner([el("h2", "How it stands"), problem, el("dl", rows, class_="tiles")])


def _phases(phases: Counter[str]) -> str:
    told = [f"{phases[phase]} in {phase}" for phase in ("replicate", "test", "complete") if phases[phase]]
    return ", ".join(told)


def _median(values: Sequence[float]) -> float:
    return sorted(values)[(len(values) - 1) // 2]


def is_failing(server: ServerView) -> bool:
    return server.status is not None and server.status.job.state in FAILING


def needs_attention(server: ServerView) -> bool:
    """Whether somebody should look. What tries again by itself counts: it fails."""
    return server.advice is not None or is_failing(server)


@dataclass(frozen=True)
class Concern:
    """Something that needs a person. `weight` orders: the worst is 0."""

    weight: int
    what: str
    where: tuple[str, ...]
    remedy: str


def attention(report: Report) -> Markup:
    """Everything that is not as it should be, the worst first; what has one cause is one row."""
    found = sorted(concerns(report), key=lambda each: each.weight)
    if not found:
        return inner([el("h2", "What needs a person"), el("p", "Nothing: all is as it should be.", class_="good")])
    rows = [
        el(
            "li",
            el("span", ("failure", "warning")[each.weight > 1], class_=f"mark {('bad', 'warn')[each.weight > 1]}"),
            el("strong", named(each.where, 6)),
            " ",
            code_in(short(each.what)),
            el("span", code_in(each.remedy), class_="remedy") if each.remedy else None,
        )
        for each in found[:_MOST]
    ]
    more = el("p", f"and {len(found) - _MOST:,} more", class_="soft") if len(found) > _MOST else None
    return inner(
        [
            el("h2", "What needs a person ", el("span", count(len(found), "matter"), class_="soft")),
            el("ul", rows, class_="matters"),
            more,
        ]
    )


def concerns(report: Report) -> Iterator[Concern]:
    for wave in report.waves:
        for member in wave.members:
            if member.standing is not None and member.standing.message:
                remedy = "`rehost status`, then `pulumi up` again, or the phase before"
                yield Concern(0, f"phase {member.phase} failed: {member.standing.message}", (member.name,), remedy)
            for why in member.barred:
                if why.id == "window-closed":
                    yield Concern(2, why.message, (member.name,), why.remedy)
    alike: dict[tuple[int, str, str], list[str]] = {}
    for server in report.servers:
        if not needs_attention(server) or server.status is None:
            continue
        last = server.status.last_run
        failed = last is not None and last.state is RunState.FAILED and is_failing(server)
        what = (last.message or "its last run failed") if failed and last else (server.advice or "")
        remedy = (server.advice or "") if failed else ""
        waits = server.status.job.state in (JobState.PAUSED_ON_FAILURE, JobState.FAILED)
        key = (0 if waits else 1 if failed else 2, nameless(what, server.name), nameless(remedy, server.name))
        alike.setdefault(key, []).append(server.name)
    for (weight, what, remedy), names in alike.items():
        if len(names) == 1:
            what, remedy = what.replace(ANY, names[0]), remedy.replace(ANY, names[0])
        yield Concern(weight, what, tuple(names), remedy)
    for server in report.servers:
        for check in server.validations:
            if check.state == "FAILED":
                yield Concern(
                    1, f"check {check.check} failed: {check.message or 'without a message'}", (server.name,), ""
                )
        for action in server.actions:
            if action.state == "FAILED" and action.must_succeed:
                yield Concern(
                    1, f"post-launch action {action.action} failed: {action.message or ''}", (server.name,), ""
                )
    silent = [each for each in report.connectors if each not in report.healthy and each.disassociated_at is None]
    if silent and report.servers:
        unheard = tuple(f"{each.id} on {each.host}" for each in silent)
        yield Concern(2, "gives no sign of life", unheard, "start it again where it is still needed")
    if report.undelivered:
        yield Concern(
            2,
            f"{count(len(report.undelivered), 'notification')} could not be delivered yet",
            ("channels",),
            "`rehost status` names the reason",
        )


def upcoming(report: Report) -> Markup:
    """Windows in the order of their moments, then the next step of each application; the same step once."""
    windows = sorted(
        (
            wave
            for wave in report.waves
            if wave.wave.window and wave.wave.window.closes > report.now and not wave.is_done
        ),
        key=lambda wave: wave.wave.window.opens if wave.wave.window else report.now,
    )
    rows = []
    for view in windows:
        window = view.wave.window
        if window is None:
            continue
        state = "is open" if window.opens <= report.now else f"opens {ago(window.opens, report.now)}"
        left = [member.name for member in view.members if not member.is_cut_over]
        told = f", to cut over: {named(left)}" if left else ""
        rows.append(
            el(
                "li",
                el("strong", f"Window of {view.wave.name}"),
                f" {state}: ",
                moment(window.opens),
                " to ",
                moment(window.closes),
                told,
            )
        )
    steps: dict[str, list[str]] = {}
    for view in report.waves:
        for member in view.members:
            steps.setdefault(member.next, []).append(member.name)
    rows += [
        el("li", el("strong", named(names, 6)), ": ", code_in(short(step)))
        for step, names in list(steps.items())[:_MOST]
        if step != "nothing: it is complete"
    ]
    due = [each.status.job.next_run_at for each in report.servers if each.status and each.status.job.next_run_at]
    if due:
        rows.append(
            el("li", el("strong", "Next replication run"), " ", moment(min(due)), f" ({ago(min(due), report.now)})")
        )
    told_rows = (
        el("ul", rows, class_="next") if rows else el("p", "Nothing is declared that is not done.", class_="soft")
    )
    return inner([el("h2", "What comes next"), told_rows])
