"""Waves: each with its window, how far its servers came over time, and a row an application."""

from __future__ import annotations

from collections.abc import Sequence

from rehost.control import PhaseChange
from rehost.report import _charts
from rehost.report._html import Markup, code_in, el, inner, moment
from rehost.report._look import Report
from rehost.report._series import LEVELS, progress
from rehost.report._text import ago, count
from rehost.report._waves import Member, WaveView
from rehost.text import named, size, span

_CLASSES = ("l0", "l1", "l2", "l3", "l4")
_MOST_FIGURES = 60  # rows of a chart's table
_PHASES_SHOWN = 12


def waves(report: Report) -> Markup:
    if not report.waves:
        return inner([el("h2", "Waves"), el("p", "No application is declared.", class_="soft")])
    legend = [el("li", el("span", class_=f"swatch {name}"), told) for name, told in zip(_CLASSES, LEVELS, strict=True)]
    return inner(
        [
            el("h2", "Waves"),
            el("ul", legend, class_="legend"),
            [_wave(report, view, place) for place, view in enumerate(report.waves)],
        ]
    )


def _wave(report: Report, view: WaveView, place: int) -> Markup:
    name = f"wave {view.wave.name}" if view.wave.name else "no wave"
    head = ("application", "phase", "servers", "images", "lag", "fail", "under way", "next")
    return el(
        "article",
        el("h3", name[0].upper() + name[1:], " ", el("span", _state(view), class_="soft")),
        _chart(report, view, place, name),
        el(
            "div",
            el(
                "table",
                el("caption", f"Applications of {name}", class_="unseen"),
                el("thead", el("tr", [el("th", each, scope="col", class_=_column(each)) for each in head])),
                el("tbody", [_row(report, member) for member in view.members]),
            ),
            class_="wide",
            role="region",
            aria_label=f"Applications of {name}",
            tabindex=0,
        ),
        class_="wave",
    )


def _column(name: str) -> str | None:
    return "less" if name in ("under way", "images", "next") else None


def _state(view: WaveView) -> Markup:
    told: list[object] = []
    if view.wave.window is not None:
        opens, closes = view.wave.window.opens, view.wave.window.closes
        when = "opens" if view.now < opens else "open, closes" if view.now < closes else "closed"
        told += [
            "window ",
            moment(opens),
            " to ",
            moment(closes),
            f" ({when} {ago(opens if view.now < opens else closes, view.now)})",
        ]
    elif view.wave.name:
        told.append("no window")
    if view.wave.concurrency:
        told.append(f"; {view.wave.concurrency} at once")
    if view.wave.after:
        told.append(f"; after {named(view.wave.after)}")
    if view.is_done:
        told.append("; done")
    return inner(told)


def _chart(report: Report, view: WaveView, place: int, name: str) -> Markup:
    servers = {member.name: member.declared.servers for member in view.members}
    total = sum(map(len, servers.values()))
    steps = progress(servers, report.phases, report.first_images, report.began, report.now)
    rows = list(zip(_CLASSES, zip(*steps.counts, strict=True), strict=True))
    rows.reverse()  # what is furthest stands at the bottom
    scale = _charts.Scale((0, max(1, total)))
    last = steps.counts[-1]
    told = ", ".join(f"{number:,} {level}" for number, level in zip(last, LEVELS, strict=True) if number)
    shown = list(zip(steps.moments, steps.counts, strict=True))
    figures = _charts.table(
        ("from", *LEVELS),
        [(moment(at, seconds=True), *counts) for at, counts in shown[-_MOST_FIGURES:]],
        f"Servers of {name} by how far they are; the newest {_MOST_FIGURES} changes",
    )
    return _charts.figure(
        f"Servers of {name}",
        f"Now: {told or 'none'}.",
        _charts.areas(steps.moments, rows, scale, report.now),
        scale,
        lambda tick: f"{tick:,.0f}",
        (report.began, report.now),
        table=figures,
        ident=f"wave-{place}",
        small=True,
    )


def _row(report: Report, member: Member) -> Markup:
    servers, failing = len(member.declared.servers), len(member.failing)
    phase = member.phase if member.is_reached or member.standing is None else f"{member.phase}, not reached"
    return el(
        "tr",
        el("th", el("bdi", member.name), _history(report.phases.get(member.name, ()), member), scope="row"),
        el("td", el("span", phase, class_="mark" if member.is_reached else "mark warn") if member.standing else phase),
        el("td", f"{servers:,}", class_="num"),
        el("td", f"{member.ready:,}", class_="num less"),
        el("td", "–" if member.lag is None or member.is_cut_over else span(member.lag), class_="num"),
        el("td", el("span", f"{failing:,}", class_="mark bad") if failing else "–", class_="num"),
        el("td", _under_way(member), class_="less"),
        el("td", code_in(member.next), class_="text less"),
    )


def _under_way(member: Member) -> str:
    if not member.open_runs:
        return "–"
    done, total, rate, left = member.progress
    told = f"{count(member.open_runs, 'run')}, {size(done)} of {size(total)}"
    told += f", {size(rate)}/s" if rate else ""
    return told + (f", {span(left)} left" if left is not None else "")


def _history(known: Sequence[PhaseChange], member: Member) -> Markup | None:
    """The phases that it entered, and what its last outage and launch took."""
    if not known:
        return None
    rows = [el("li", _change(change)) for change in known[-_PHASES_SHOWN:]]
    standing = member.standing
    if standing is not None and standing.outage_seconds is not None:
        rows.append(el("li", f"outage of its last cutover: {span(standing.outage_seconds)}"))
    if standing is not None and standing.launch_seconds is not None:
        rows.append(el("li", f"launch with validation: {span(standing.launch_seconds)}"))
    return el(
        "details", el("summary", count(len(known), "phase")), el("ul", rows, class_="plain"), id=f"phases-{member.name}"
    )


def _change(change: PhaseChange) -> Markup:
    told: list[object] = [moment(change.entered_at), f" {change.phase}"]
    if change.reached_at is not None:
        told.append(f", reached after {span((change.reached_at - change.entered_at).total_seconds())}")
    elif change.message:
        told.append(f", failed: {change.message[:300]}")
    else:
        told.append(", not reached")
    if change.force:
        told.append(f" (forced: {change.force[:200]})")
    return inner(told)
