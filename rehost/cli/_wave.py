"""`rehost wave`: how far the applications of a wave are, and the run book of its night."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from rehost.aws import Aws, AwsError, AwsSettings
from rehost.cli._estate import load_estate
from rehost.cli._output import Columns, Exit, Part, ago, escape, fail, print_json, show, size, span
from rehost.cli._preflight import counts_of, examined, existing_control
from rehost.cli._project import find_project
from rehost.cli._runbook import run_book
from rehost.cli._runbook_html import as_html
from rehost.cli._runbook_markdown import as_markdown
from rehost.control import ControlPlane
from rehost.report import Member, WaveView, looked_at, measured_runs
from rehost.spec import Estate, Wave
from rehost.waves import moment

app = typer.Typer(help="How far the applications of a wave are, and the run book of its night.", no_args_is_help=True)

_Specs = Annotated[Path, typer.Option(help="The folder with the spec's YAML files.")]
_Stack = Annotated[str | None, typer.Option(help="The Pulumi stack, where the control plane knows several.")]
_Database = Annotated[
    str | None, typer.Option(help="The control plane's URL; default REHOST_DATABASE, else the project's.")
]


@app.command()
def status(
    wave: Annotated[str | None, typer.Argument(help="Only this wave; all of them without.")] = None,
    specs: _Specs = Path("migration_specs"),
    stack: _Stack = None,
    database: _Database = None,
    concerns: Annotated[bool, typer.Option(help="Ask the sources and AWS, too, as `rehost preflight` does.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything known as JSON.")] = False,
) -> None:
    """Show each application of a wave: phase, images, lag, failures, runs under way, and what comes next.

    Exit code 0 where all is as it should be, 1 where something needs a person (a job fails, a phase failed, a window closed too
    early), 2 where the spec or the command line is wrong. Example: [dim]rehost wave status wave-1[/]
    """
    estate, root, control = _opened(specs, database)
    views = _chosen(estate, control, stack, wave)
    found: dict[str, dict[str, Any]] = {}
    if concerns:
        names = {member.name for view in views for member in view.members}
        try:
            told = examined(estate, Aws(AwsSettings()), root=root, only=names, stack=stack, control=control)
        except AwsError as error:
            fail(error)
        found = {name: counts_of([each for each in told if each.application == name]) for name in names}
    if as_json:
        print_json({"waves": [_as_dict(view, found) for view in views]})
    else:
        show([part for view in views for part in _page(view, found)] or ["the spec declares no waves"])
    if any(view.needs_attention for view in views):
        raise typer.Exit(Exit.FAILED)


@app.command()
def runbook(
    wave: Annotated[str, typer.Argument(help="The wave.")],
    specs: _Specs = Path("migration_specs"),
    stack: _Stack = None,
    database: _Database = None,
    format: Annotated[str, typer.Option(help="md for Markdown, html for one page to read or print.")] = "md",  # noqa: A002
    output: Annotated[Path | None, typer.Option(help="Write it into this file; standard output without.")] = None,
) -> None:
    """Write who does what in the night of a wave: in order, with commands, checks, the way back, and the times measured.

    Exit code 0, or 2 where the spec or the command line is wrong. Example: [dim]rehost wave runbook wave-1 --format html --output wave-1.html[/]
    """
    if format not in ("md", "html"):
        fail(f"--format can be md or html, not {format!r}", Exit.USAGE)
    estate, _root, control = _opened(specs, database)
    view = _chosen(estate, control, stack, wave)[0]
    book = run_book(estate, view, measured_runs(control, view.members))
    text = as_html(book) if format == "html" else as_markdown(book)
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror}")


def _opened(specs: Path, database: str | None) -> tuple[Estate, Path, ControlPlane | None]:
    estate, root = load_estate(specs)
    return estate, root, existing_control(find_project(database))


def _chosen(estate: Estate, control: ControlPlane | None, stack: str | None, wave: str | None) -> list[WaveView]:
    if wave is not None and wave not in estate.waves:
        fail(f"there is no wave {wave!r}; known: {', '.join(estate.waves) or 'none'}", Exit.USAGE)
    now = control.now() if control else datetime.now(UTC)
    views = looked_at(estate, control, stack, now)
    return [views[wave]] if wave is not None else list(views.values())


def _page(view: WaveView, concerns: dict[str, dict[str, Any]]) -> Sequence[Part]:
    head = ("application", "phase", "servers", "images", "lag", "failing", "concerns", "under way", "next")
    rows = [_row(each, concerns.get(each.name)) for each in view.members]
    return [f"[bold]{escape(view.wave.name)}[/]  {_window(view.wave, view.now)}", Columns(head, rows)]


def _window(wave: Wave, now: datetime) -> str:
    after = f"; after {', '.join(wave.after)}" if wave.after else ""
    limit = f"; {wave.concurrency} at once" if wave.concurrency else ""
    if wave.window is None:
        return f"no window{limit}{after}"
    opens, closes = wave.window.opens, wave.window.closes
    if now < opens:
        state = f"opens {ago(opens, now)}"
    elif now < closes:
        state = f"[green]open[/], closes {ago(closes, now)}"
    else:
        state = f"closed {ago(closes, now)}"
    return f"{state} ({moment(opens)} to {moment(closes)}){limit}{after}"


def _row(each: Member, concerns: dict[str, Any] | None) -> tuple[str, ...]:
    servers, failing = len(each.declared.servers), len(each.failing)
    told = (
        "-" if concerns is None else ", ".join(f"{count} {kind}" for kind, count in concerns.items() if count) or "none"
    )
    return (
        escape(each.name),
        each.phase if each.is_reached or each.standing is None else f"[yellow]{each.phase}, not reached[/]",
        str(servers),
        f"{each.ready} of {servers}",
        "-" if each.lag is None else span(each.lag),
        f"[red]{failing}[/]" if failing else "-",
        told,
        _under_way(each),
        f"[yellow]{escape(each.next)}[/]" if each.needs_attention else escape(each.next),
    )


def _under_way(each: Member) -> str:
    if not each.open_runs:
        return "-"
    done, total, rate, left = each.progress
    text = f"{each.open_runs} runs, {size(done)} of {size(total)}"
    text += f", {size(rate)}/s" if rate else ""
    return text + (f", {span(left)} left" if left is not None else "")


def _as_dict(view: WaveView, concerns: dict[str, dict[str, Any]]) -> dict[str, Any]:
    window = view.wave.window
    return {
        "name": view.wave.name,
        "opens": window.opens if window else None,
        "closes": window.closes if window else None,
        "concurrency": view.wave.concurrency,
        "after": list(view.wave.after),
        "done": view.is_done,
        "needs_attention": view.needs_attention,
        "applications": [_member(each, concerns.get(each.name)) for each in view.members],
    }


def _member(each: Member, concerns: dict[str, Any] | None) -> dict[str, Any]:
    done, total, rate, left = each.progress
    return {
        "name": each.name,
        "declared_phase": each.declared.phase,
        "phase": None if each.standing is None else each.phase,
        "entered_at": each.standing.entered_at if each.standing else None,
        "reached_at": each.standing.reached_at if each.standing else None,
        "servers": list(each.declared.servers),
        "ready_images": each.ready,
        "lag_seconds": each.lag,
        "failing": [status.job.spec.server for status in each.failing],
        "concerns": concerns,
        "runs_under_way": each.open_runs,
        "progress": {"done_bytes": done, "total_bytes": total, "rate": rate, "eta_seconds": left},
        "barred": [{"id": why.id, "message": why.message, "remedy": why.remedy} for why in each.barred],
        "needs_attention": each.needs_attention,
        "next": each.next,
    }
