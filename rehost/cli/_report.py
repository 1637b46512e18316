"""`rehost report` and `rehost serve`: the state of a migration as a page, in a file or live."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from rehost.cli._output import Exit, fail, tell
from rehost.cli._project import Project, find_project, refuse_password
from rehost.connector import database_path, is_embedded
from rehost.control import ControlPlane
from rehost.files import write_whole
from rehost.report import Live, Past, Report, ReportServer, StackUnclear, look, page, past_of
from rehost.spec import Estate, check
from rehost.text import size

_Specs = Annotated[Path, typer.Option(help="The folder with the spec's YAML files.")]
_Stack = Annotated[str | None, typer.Option(help="The Pulumi stack, where the control plane knows several.")]
_Database = Annotated[
    str | None,
    typer.Option(
        help="The control plane's URL; default REHOST_DATABASE, else the project's. A password belongs there."
    ),
]
_Days = Annotated[float, typer.Option(min=0.01, max=366, help="How far back the charts go.")]
_History = Annotated[int, typer.Option(min=0, max=200, help="How many runs of each server its history has.")]


def report(
    output: Annotated[Path | None, typer.Option(help="Write it into this file; standard output without.")] = None,
    specs: _Specs = Path("migration_specs"),
    stack: _Stack = None,
    database: _Database = None,
    days: _Days = 7,
    history: _History = 10,
) -> None:
    """Write one HTML page, without foreign assets: waves over time, lag, throughput, failures, what comes next, each server's history.

    It reads the control plane and, where it is there, the spec; it asks neither AWS nor a source. Exit code 0, 1 where the control plane cannot
    be read, 2 where the command line is wrong. Example: [dim]rehost report --output report.html[/]
    """
    looked = _Looked(find_project(database), specs, stack, days)
    try:
        seen = looked.now()
        text = page(seen, past_of(looked.control, seen.servers, limit=history))
    except StackUnclear as error:
        fail(error, Exit.USAGE)
    body = text.encode("utf-8", "replace")
    if output is None:
        sys.stdout.buffer.write(body)
        sys.stdout.flush()
        return
    try:
        write_whole(output, body)
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror}")
    tell(f"{output}: {len(seen.servers)} servers, {size(len(body))}")


def serve(
    host: Annotated[
        str, typer.Option(help="The address to listen on. Whoever reaches it can read everything.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8765,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A name that it may be asked by, beside its address: behind a proxy. Repeatable."),
    ] = None,
    specs: _Specs = Path("migration_specs"),
    stack: _Stack = None,
    database: _Database = None,
    days: _Days = 7,
    history: _History = 30,
) -> None:
    """Show the same page live, on loopback: it follows the control plane by itself, reads, and changes nothing.

    It has no sign-in: for others than you, put a proxy with one before it. Ends with Ctrl-C or SIGTERM, exit code 0; 1 where it cannot listen.
    Example: [dim]rehost serve --port 8765[/], then open http://127.0.0.1:8765/
    """
    refuse_password(database)
    looked = _Looked(find_project(database), specs, stack, days)
    try:
        looked.now()
    except StackUnclear as error:
        fail(error, Exit.USAGE)
    live = Live(looked.now, lambda seen, server: _past(looked, seen, server, history), every=2.0)
    server = ReportServer(live, host, port, names=allow_host or ())
    if not server.is_loopback:
        tell(f"[yellow]everybody who reaches {server.host}:{server.port} can read this report: it has no sign-in[/]")
    # Waited for and not handled: a handler that sets an Event may find its lock taken by the very wait that it interrupts.
    ends = {signal.SIGINT, signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    try:
        with server:
            serving = server.in_background()
            typer.echo(server.url)
            signal.sigwait(ends)
            server.shutdown()
            serving.join()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _past(looked: _Looked, seen: Report, server: str, limit: int) -> Past:
    views = [each for each in seen.servers if each.name == server]
    return past_of(looked.control, views, limit=limit).get(server, Past())


@dataclass
class _Looked:
    """What both commands look at, each time anew: the spec may be edited, and the control plane may come to be."""

    project: Project
    specs: Path
    stack: str | None
    days: float
    control: ControlPlane | None = None
    _read: tuple[Estate | None, str | None] | None = None
    _files: object = None

    def now(self) -> Report:
        database, root = self.project.database, self.project.root
        if self.control is None and not (is_embedded(database) and not database_path(database, root).exists()):
            self.control = ControlPlane.open(database)
        files = self._stamps()
        if self._read is None or files != self._files:
            self._read, self._files = self._spec(), files
        estate, problem = self._read
        return look(self.control, estate, stack=self.stack, days=self.days, spec_problem=problem)

    def _stamps(self) -> list[tuple[str, int, int]]:
        """By which an edited spec is noticed: reading a thousand servers again takes a third of a second."""
        found = []
        for path in sorted(self._folder().rglob("*")):
            with suppress(OSError):
                about = path.stat()
                found.append((str(path), about.st_mtime_ns, about.st_size))
        return found

    def _folder(self) -> Path:
        return self.specs if self.specs.exists() else self.project.root / self.specs

    def _spec(self) -> tuple[Estate | None, str | None]:
        """The estate, or why there is none: then the page shows what the control plane knows."""
        root = self.project.root
        folder = self._folder()
        if not folder.exists():
            return None, f"{self.specs} is not here, so only what the control plane knows is shown"
        inside = folder.resolve().is_relative_to(root.resolve())
        estate, findings = check(folder, root=root if inside else folder.parent)
        errors = [each for each in findings if each.is_error]
        if estate is None:
            told = f"{errors[0]}" + (f", and {len(errors) - 1} more" if len(errors) > 1 else "")
            return None, f"{told}; `rehost validate` shows all, and only what the control plane knows is shown"
        return estate, None
