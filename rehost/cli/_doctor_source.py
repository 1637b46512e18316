"""`rehost doctor SOURCE [SERVER]`: the self-test of a source against the real place."""

from __future__ import annotations

import difflib
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import typer

from rehost.cli._estate import load_estate
from rehost.cli._log import log_to_standard_error
from rehost.cli._output import Exit, escape, fail, print_json, show, tell
from rehost.cli._preflight import existing_control
from rehost.cli._project import find_project
from rehost.connector import resolve_from_aws
from rehost.doctor import Book, Check, Result, ServerTest, SourceTest
from rehost.sources import DiscoveredServer, Quiesce, Source, SourceError, open_source
from rehost.spec import Estate

MIB = 1 << 20
_STYLE = {Result.OK: "green", Result.FAILED: "red", Result.SKIPPED: "yellow"}


def examine(
    source: str, server: str | None, *, specs: Path, quiesce: str | None, sample_mib: int, yes: bool, as_json: bool
) -> None:
    """Ends the process with an exit code of `Exit`, or 130 after Ctrl-C."""
    estate, root = load_estate(specs, accept_stale=True)
    if source not in estate.sources:
        known = ", ".join(estate.sources) or "none"
        fail(f"there is no source {source!r} in {specs}; known: {known}", Exit.USAGE)
    if quiesce is not None and quiesce not in set(Quiesce):
        fail(f"{quiesce!r} is no quiesce; it can be {', '.join(Quiesce)}", Exit.USAGE)
    config = estate.sources[source].config
    log_to_standard_error()
    resolve_from_aws()

    def opening() -> Source:
        return open_source(config, base=root)

    book = Book(_tell_nobody if as_json else _tell)
    code, interrupted = Exit.OK, False
    try:
        with _ended_as_by_ctrl_c():
            if server is None:
                SourceTest(book, opening).run()
            else:
                locator, asked = _locate(estate, source, server, opening)
                _must_be_idle(source, locator)
                _confirm(source, server, sample_mib, yes=yes)
                budget, how = sample_mib * MIB, Quiesce(quiesce or asked)
                ServerTest(book, opening, locator, quiesce=how, run=_run_name(), budget=budget).run()
    except KeyboardInterrupt:
        interrupted = True
    if not book.is_well:
        code = Exit.FAILED
    if as_json:
        about = {"source": source, "type": config.get("type"), "server": server}
        print_json({**about, "ok": book.is_well and not interrupted, "checks": [asdict(each) for each in book.checks]})
    else:
        _sum_up(book, interrupted=interrupted)
    raise typer.Exit(130 if interrupted else code)


def _locate(estate: Estate, source: str, name: str, opening: Callable[[], Source]) -> tuple[Mapping[str, Any], str]:
    """The locator, and how the spec has it quiesced. A name of the spec goes before one of the source's own."""
    declared = estate.servers.get(name)
    if declared is not None and declared.source.name == source:
        return declared.locator, declared.quiesce
    found: list[DiscoveredServer] = []
    try:
        opened = opening()
        try:
            found.extend(opened.discover())
        finally:
            opened.close()
    except SourceError as error:
        fail(error)
    exact = [each for each in found if each.name == name]
    if not exact:
        near = difflib.get_close_matches(name, [each.name for each in found], n=1)
        hint = f"did you mean {near[0]}?" if near else f"`rehost discover {source}` lists them"
        fail(f"neither the spec nor {source} has a server {name!r}; {hint}", Exit.USAGE)
    if len(exact) > 1:
        many = f"{len(exact)} servers of {source} are called {name!r}"
        fail(f"{many}; declare the one that is meant in the spec, and give its name there", Exit.USAGE)
    return exact[0].locator, Quiesce.TRY.value


def _must_be_idle(source: str, locator: Mapping[str, Any]) -> None:
    """Two points in time of one server at once are asking for trouble, at the source as well as here."""
    control = existing_control(find_project(None))
    for each in control.status() if control is not None else ():
        spec = each.job.spec
        if each.open_run is not None and spec.source_name == source and dict(spec.locator) == dict(locator):
            fail(
                f"run {each.open_run.id} of {spec.server} is under way; `rehost pause {spec.server}` and wait for its end, "
                "or choose another server",
                Exit.USAGE,
            )


def _confirm(source: str, server: str, sample_mib: int, *, yes: bool) -> None:
    what = (
        f"Two points in time of {server} will be taken at {source} one after the other (snapshots, checkpoints: whatever its "
        f"type takes), up to {sample_mib} MiB read of each, and both given up again. The server goes on running."
    )
    tell(escape(what))
    if yes:
        return
    if not sys.stdin.isatty():
        fail("nobody is here to be asked whether that is wanted; add --yes", Exit.USAGE)
    typer.confirm("Go on?", abort=True, err=True)


def _run_name() -> str:
    """Ascends in time, as runs' names do, and sorts before theirs: what a killed test leaves goes first."""
    return f"doctor-{int(time.time()):x}{secrets.token_hex(3)}"


@contextmanager
def _ended_as_by_ctrl_c() -> Iterator[None]:
    """A polite kill is an interrupt: what was taken at the source is given up."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _tell(check: Check) -> None:
    style = _STYLE[check.result]
    line = f"[{style}]{check.result.value:<7}[/] {check.seconds:>6.1f} s  {escape(check.what)}: {escape(check.found)}"
    show([line, *([f"{'':>18}to do: {escape(check.remedy)}"] if check.remedy else [])])
    sys.stdout.flush()


def _tell_nobody(check: Check) -> None:
    """The document at the end has it."""


def _sum_up(book: Book, *, interrupted: bool) -> None:
    if interrupted:
        tell("interrupted; what was taken at the source was given up, as far as the lines above say so")
        return
    failed = sum(each.result is Result.FAILED for each in book.checks)
    total = sum(each.seconds for each in book.checks)
    text = f"[red]{failed} of {len(book.checks)} checks failed[/]" if failed else "[green]all is well[/]"
    show([f"{text}, {total:.1f} s"])
