"""Charts as inline SVG: a plot that stretches with the page, and axes of ordinary text beside it, which does not.

The labels of an axis stand at equal distances, so that no style has to say where: a policy that forbids inline styles holds on the page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import log10

from rehost.report._html import Markup, el

WIDTH, HEIGHT = 1000, 200
#: Lengths of time that an axis of lags is divided by: each part of it is as high as the next.
_STOPS = (0.0, 60.0, 600.0, 3600.0, 6 * 3600.0, 86400.0, 7 * 86400.0, 30 * 86400.0, 365 * 86400.0)


@dataclass(frozen=True)
class Scale:
    """From a value to its height, 0 to 1. `ticks` are at equal heights, from 0 up."""

    ticks: Sequence[float]

    def height(self, value: float) -> float:
        parts = len(self.ticks) - 1
        for place, (low, high) in enumerate(zip(self.ticks, self.ticks[1:], strict=False)):
            if value <= high:
                return (place + max(0.0, value - low) / (high - low)) / parts
        return 1.0


def linear(most: float, *, whole: bool = False, base: int = 10) -> Scale:
    """Up to a round number at or above `most`. `base` 1024 is for bytes."""
    top = _round_up(max(most, 1.0), base)
    return Scale((0, top) if whole and top % 2 else (0, top / 2, top))


def of_time(most: float) -> Scale:
    """For seconds: minutes, hours and days side by side."""
    above = next((place for place, stop in enumerate(_STOPS) if stop >= most), len(_STOPS) - 1)
    stops = list(_STOPS[: max(above, 1) + 1])
    stops[-1] = max(stops[-1], most)
    return Scale(stops)


def _round_up(most: float, base: int) -> float:
    unit = 1.0
    while base > 10 and unit * base <= most:
        unit *= base
    scale = 10.0 ** int(log10(max(1.0, most / unit)))
    return next(step * scale * unit for step in (1, 2, 4, 5, 6, 8, 10, 20) if step * scale * unit >= most)


def lines(rows: Sequence[tuple[str, Sequence[float | None]]], scale: Scale) -> list[Markup]:
    """Each row is a class and a value a bucket; where there is none, the line has a gap."""
    found = []
    for name, values in rows:
        path, pen = [], "M"
        for place, value in enumerate(values):
            if value is None:
                pen = "M"
                continue
            x, y = _x(place + 1, len(values)), _y(scale.height(value))
            if pen == "M":
                path.append(f"M{_x(place, len(values))} {y}")
            path.append(f"L{x} {y}")
            pen = "L"
        found.append(el("path", d="".join(path), class_=f"line {name}"))
    return found


def bars(rows: Sequence[tuple[str, Sequence[float]]], scale: Scale) -> list[Markup]:
    """Stacked, the first row at the bottom. One path a row: a thousand bars cost no thousand nodes."""
    found = []
    base = [0.0] * max((len(values) for _, values in rows), default=0)
    for name, values in rows:
        path = []
        for place, value in enumerate(values):
            if value <= 0:
                continue
            low, high = scale.height(base[place]), scale.height(base[place] + value)
            if high - low < 0.01:  # what is there is seen
                high = low + 0.01
            gap = WIDTH / len(values) * 0.1
            left, right = _x(place, len(values)) + gap, _x(place + 1, len(values)) - gap
            path.append(f"M{left:.1f} {_y(low)}V{_y(high)}H{right:.1f}V{_y(low)}Z")
            base[place] += value
        found.append(el("path", d="".join(path), class_=f"fill {name}"))
    return found


def areas(
    moments: Sequence[datetime], rows: Sequence[tuple[str, Sequence[int]]], scale: Scale, until: datetime
) -> list[Markup]:
    """Stacked steps, the first row at the bottom: each count holds from its moment to the next."""
    begin = moments[0]
    length = max(1.0, (until - begin).total_seconds())
    xs = [min(WIDTH, (at - begin).total_seconds() / length * WIDTH) for at in moments] + [WIDTH]
    found = []
    base: Sequence[int] = [0] * len(moments)
    for name, counts in rows:
        top = [low + count for low, count in zip(base, counts, strict=True)]
        if any(counts):
            ahead = "".join(
                f"{'L' if place else 'M'}{xs[place]:.1f} {_y(scale.height(value))}H{xs[place + 1]:.1f}"
                for place, value in enumerate(top)
            )
            back = "".join(
                f"L{xs[place + 1]:.1f} {_y(scale.height(base[place]))}H{xs[place]:.1f}"
                for place in reversed(range(len(base)))
            )
            found.append(el("path", d=f"{ahead}{back}Z", class_=f"fill {name}"))
        base = top
    return found


def hits(told: Sequence[str]) -> list[Markup]:
    """What a pointer over a bucket is told."""
    width = WIDTH / max(1, len(told))
    return [
        el(
            "rect",
            el("title", what),
            x=f"{place * width:.1f}",
            y=0,
            width=f"{width:.1f}",
            height=HEIGHT,
            class_="hit",
        )
        for place, what in enumerate(told)
    ]


def figure(
    title: str,
    summary: str,
    drawn: Iterable[Markup],
    scale: Scale,
    label: Callable[[float], str],
    span: tuple[datetime, datetime],
    *,
    legend: Sequence[tuple[str, str]] = (),
    table: Markup | None = None,
    ident: str,
    small: bool = False,
) -> Markup:
    """A chart with its title, what it says in a sentence, its axes, and its numbers as a table to open."""
    parts = len(scale.ticks) - 1
    grid = [
        el("line", x1=0, x2=WIDTH, y1=_y(place / parts), y2=_y(place / parts), class_="grid")
        for place in range(parts + 1)
    ]
    svg = el(
        "svg",
        *grid,
        *drawn,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=f"{title}. {summary}",
    )
    labels = el("div", [el("span", label(tick)) for tick in reversed(scale.ticks)], class_="y", aria_hidden="true")
    xs = el("div", [el("span", each) for each in _times(*span)], class_="x", aria_hidden="true")
    key = (
        el("ul", [el("li", el("span", class_=f"swatch {name}"), told) for name, told in legend], class_="legend")
        if legend
        else None
    )
    numbers = el("details", el("summary", "The figures"), table, id=f"{ident}-figures") if table else None
    return el(
        "figure",
        el("figcaption", el("strong", title), " ", el("span", summary, class_="soft")),
        key,
        el("div", labels, svg, xs, class_="chart small" if small else "chart"),
        numbers,
        id=ident,
    )


def _times(begin: datetime, end: datetime) -> tuple[str, str, str]:
    seconds = (end - begin).total_seconds()
    shape = (
        "%H:%M:%S"
        if seconds < 600
        else "%H:%M"
        if seconds < 86400
        else "%d %b %H:%M"
        if seconds < 4 * 86400
        else "%d %b"
    )
    middle = begin + (end - begin) / 2
    if begin.astimezone(UTC).date() != end.astimezone(UTC).date() and seconds < 86400:
        shape = f"%d %b {shape}"
    first, between, last = (at.astimezone(UTC).strftime(shape) for at in (begin, middle, end))
    return first, between, last


def strip(parts: Sequence[tuple[str, float]], told: str) -> Markup:
    """A bar a run, oldest first: class, and how high from 0 to 1. One path a class."""
    paths: dict[str, list[str]] = {}
    for place, (name, share) in enumerate(parts):
        height = 2 + 14 * min(1.0, share)
        paths.setdefault(name, []).append(f"M{place * 5} 16v-{height:.0f}h4v{height:.0f}z")
    return el(
        "svg",
        [el("path", d="".join(path), class_=f"fill {name}") for name, path in paths.items()],
        class_="strip",
        width=max(1, len(parts)) * 5,
        height=16,
        role="img",
        aria_label=told,
    )


def table(head: Sequence[str], rows: Iterable[Sequence[object]], caption: str) -> Markup:
    return el(
        "div",
        el(
            "table",
            el("caption", caption, class_="unseen"),
            el("thead", el("tr", [el("th", each, scope="col") for each in head])),
            el("tbody", [el("tr", [el("td", cell) for cell in row]) for row in rows]),
        ),
        class_="wide",
        role="region",
        aria_label=caption,
        tabindex=0,
    )


def _x(place: int, count: int) -> float:
    return round(place / count * WIDTH, 1)


def _y(share: float) -> float:
    return round(HEIGHT * (1 - share), 1)


__all__ = [
    "Scale",
    "areas",
    "bars",
    "figure",
    "hits",
    "linear",
    "lines",
    "of_time",
    "strip",
    "table",
]
