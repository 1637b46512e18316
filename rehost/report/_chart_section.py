"""Lag, throughput and runs over time, and what made runs fail."""

from __future__ import annotations

from collections.abc import Iterator

from rehost.control import RunState
from rehost.report import _charts
from rehost.report._html import Markup, el, inner, moment
from rehost.report._look import Report
from rehost.report._series import Buckets, Copying, Lags, Outcomes, lags, outcomes, throughput
from rehost.report._text import count, nameless, short
from rehost.text import named, size, span

_CAUSES = 12


def charts(report: Report) -> Markup:
    head = el(
        "h2", "Over time ", el("span", f"the last {span((report.now - report.since).total_seconds())}", class_="soft")
    )
    if not report.ended and not any(each.status and each.status.open_run for each in report.servers):
        return inner([head, el("p", "No run has ended yet.", class_="soft")])
    buckets = Buckets.over(report.since, report.now)
    left = {
        server: member.standing.cut_at
        for view in report.waves
        for member in view.members
        if member.standing and member.standing.cut_at and member.standing.phase.is_cut_over
        for server in member.declared.servers
    }
    return inner(
        [
            head,
            _throughput(throughput(_copies(report), buckets, report.now), buckets),
            _lags(lags(report.ended, left, buckets, report.now), buckets),
            _outcomes(outcomes(report.ended, buckets), buckets),
            causes(report),
        ]
    )


def _copies(report: Report) -> Iterator[Copying]:
    """Runs that are over, whatever came of them, and what those under way have sent until now."""
    for run in report.ended:
        if run.sent_bytes and run.started_at is not None:
            yield Copying(run.frozen_at or run.started_at, run.ended_at, run.sent_bytes)
    for server in report.servers:
        if server.status and server.status.open_run and server.status.open_run.started_at:
            sent = sum(disk.sent_bytes for disk in server.status.disks)
            yield Copying(server.status.open_run.started_at, report.now, sent)


def _throughput(rates: list[float], buckets: Buckets) -> Markup:
    most = max(rates)
    scale = _charts.linear(most, base=1024)
    told = [f"{_at(buckets, place)}: {size(int(rate))}/s" for place, rate in enumerate(rates)]
    return _charts.figure(
        "Throughput",
        f"Bytes sent to EBS a second, all sources together. Most: {size(int(most))}/s in {span(buckets.step)}.",
        [*_charts.bars([("sent", rates)], scale), *_charts.hits(told)],
        scale,
        lambda tick: f"{size(int(tick))}/s",
        (buckets.start, buckets.end),
        table=_charts.table(
            ("from", "sent a second"),
            [(moment(buckets.edge(place), seconds=True), f"{size(int(rate))}/s") for place, rate in enumerate(rates)],
            "Throughput",
        ),
        ident="throughput",
    )


def _lags(found: Lags, buckets: Buckets) -> Markup:
    known = [value for value in found.worst if value is not None]
    scale = _charts.of_time(max(known, default=60.0))
    told = [
        f"{_at(buckets, place)}: median {_span(found.median[place])}, 9 in 10 below {_span(found.most[place])}, worst {_span(found.worst[place])}"
        for place in range(buckets.count)
    ]
    now = (
        f"Now: median {_span(found.median[-1])}, worst {_span(found.worst[-1])}." if known else "Nothing is known yet."
    )
    rows = [("median", found.median), ("most", found.most), ("worst", found.worst)]
    return _charts.figure(
        "Lag",
        f"How old the newest good image of each server was that is not cut over. {now}",
        [*_charts.lines(rows, scale), *_charts.hits(told)],
        scale,
        _tick,
        (buckets.start, buckets.end),
        legend=[("median", "median"), ("most", "nine in ten are below"), ("worst", "worst")],
        table=_charts.table(
            ("until", "median", "nine in ten below", "worst"),
            [
                (
                    moment(buckets.edge(place + 1), seconds=True),
                    _span(found.median[place]),
                    _span(found.most[place]),
                    _span(found.worst[place]),
                )
                for place in range(buckets.count)
            ],
            "Lag",
        ),
        ident="lag",
    )


def _outcomes(found: Outcomes, buckets: Buckets) -> Markup:
    rows = [("ok", found.completed), ("failed", found.failed), ("missed", found.missed)]
    most = max(map(sum, zip(*(values for _, values in rows), strict=True)))
    scale = _charts.linear(most, whole=True)
    told = [
        f"{_at(buckets, place)}: {found.completed[place]:,} completed, {found.failed[place]:,} failed, {found.missed[place]:,} missed"
        for place in range(buckets.count)
    ]
    sums = f"{sum(found.completed):,} completed, {sum(found.failed):,} failed, {sum(found.missed):,} missed"
    return _charts.figure(
        "Replication runs",
        f"That ended, in each {span(buckets.step)}: {sums}.",
        [*_charts.bars(rows, scale), *_charts.hits(told)],
        scale,
        lambda tick: f"{tick:,.0f}",
        (buckets.start, buckets.end),
        legend=[("ok", "completed"), ("failed", "failed"), ("missed", "missed")],
        table=_charts.table(
            ("from", "completed", "failed", "missed"),
            [
                (moment(buckets.edge(place), seconds=True), *(values[place] for _, values in rows))
                for place in range(buckets.count)
            ],
            "Replication runs",
        ),
        ident="runs",
    )


def causes(report: Report) -> Markup:
    """What runs failed of, the most frequent first. Messages that differ in the server's name alone are one."""
    found: dict[str, list[str]] = {}
    last: dict[str, object] = {}
    for run in report.ended:
        if run.state is RunState.FAILED:
            message = short(nameless(run.message or "without a message", run.server))
            found.setdefault(message, []).append(run.server)
            last[message] = moment(run.ended_at)
    if not found:
        return el("p", "No run failed.", class_="good", id="causes")
    ordered = sorted(found.items(), key=lambda each: -len(each[1]))
    rows = [
        (len(servers), named(dict.fromkeys(servers), 4), message, last[message])
        for message, servers in ordered[:_CAUSES]
    ]
    more = (
        el("p", f"and {count(len(ordered) - _CAUSES, 'other cause')}", class_="soft")
        if len(ordered) > _CAUSES
        else None
    )
    return el(
        "div",
        el("h3", "Why runs failed"),
        _charts.table(("runs", "servers", "message", "last"), rows, "Why runs failed"),
        more,
        id="causes",
    )


def _at(buckets: Buckets, place: int) -> str:
    return f"{buckets.edge(place):%Y-%m-%d %H:%M:%S} UTC"


def _span(seconds: float | None) -> str:
    return "–" if seconds is None else span(seconds)


def _tick(seconds: float) -> str:
    """On the axis, in the largest unit that leaves whole numbers."""
    unit, length = next(
        ((unit, length) for unit, length in (("d", 86400), ("h", 3600), ("min", 60)) if seconds >= length), ("s", 1)
    )
    return f"{seconds / length:.0f} {unit}"
