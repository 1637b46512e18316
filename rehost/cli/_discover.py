"""`rehost discover`: the servers of a source, and entries of a spec for those that are to move."""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from rehost.cli._entries import concerns_of, refused, written
from rehost.cli._estate import load_estate
from rehost.cli._log import log_to_standard_error
from rehost.cli._output import Exit, err, fail, out, print_json, size
from rehost.connector import resolve_from_aws
from rehost.sources import Concern, DiscoveredServer, Severity, SourceError, open_source
from rehost.spec import Estate
from rehost.text import named

_NAMED = 5  # servers named behind a concern
_STYLE = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "dim"}


def discover(
    source: Annotated[str, typer.Argument(help="The name of a source in the spec.")],
    servers: Annotated[
        list[str] | None, typer.Argument(help="Only these: names or patterns such as 'web-*'; all without.")
    ] = None,
    specs: Annotated[Path, typer.Option(help="The folder with the spec's YAML files.")] = Path("migration_specs"),
    write: Annotated[
        Path | None, typer.Option(help="Write entries for them into this new YAML file; - is standard output.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print them as JSON, with all that is known of each.")
    ] = False,
) -> None:
    """List the servers of a source with what speaks against replicating each, before a byte moves.

    With --write, entries for a spec, ready for review. Example: [dim]rehost discover dc1 'web-*' --write migration_specs/web.yaml[/]
    """
    estate, root = load_estate(specs, accept_stale=True)
    if source not in estate.sources:
        known = ", ".join(estate.sources) or "none"
        fail(f"there is no source {source!r} in {specs}; known: {known}", Exit.USAGE)
    if write is not None and write != Path("-") and write.exists():
        fail(f"{write} exists already; name a new file, or remove it first", Exit.USAGE)
    log_to_standard_error()
    resolve_from_aws()
    try:
        opened = open_source(estate.sources[source].config, base=root)
        try:
            found = list(opened.discover())
        finally:
            opened.close()
    except SourceError as error:
        fail(error)
    chosen = _chosen(found, servers or [])
    if write is not None:
        _write(write, source, chosen, estate)
    elif as_json:
        print_json({"source": source, "servers": [_as_dict(each) for each in chosen]})
    else:
        _show(source, chosen)


def _chosen(found: Sequence[DiscoveredServer], patterns: Sequence[str]) -> list[DiscoveredServer]:
    if not patterns:
        return list(found)
    chosen: dict[int, DiscoveredServer] = {}
    for pattern in patterns:
        matching = [
            each
            for each in found
            if fnmatch.fnmatchcase(each.name, pattern) or fnmatch.fnmatchcase(str(each.facts.get("path")), pattern)
        ]
        if not matching:
            fail(
                f"no server of the source is called {pattern!r}; `rehost discover` without names lists them", Exit.USAGE
            )
        chosen.update((id(each), each) for each in matching)
    return list(chosen.values())


def _write(file: Path, source: str, servers: Sequence[DiscoveredServer], estate: Estate) -> None:
    declared = [(each.source.name, dict(each.locator)) for each in estate.servers.values()]
    new = [each for each in servers if (source, dict(each.locator)) not in declared]
    text = written(source, new, estate.servers)
    if file == Path("-"):
        sys.stdout.write(text)
    else:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as target:
            target.write(text)
    comments = sum(refused(each) for each in new)
    err.print(
        f"{len(new) - comments} entries written, {comments} as comments since no run could replicate them, "
        f"{len(servers) - len(new)} left out since the spec has them"
    )


def _show(source: str, servers: Sequence[DiscoveredServer]) -> None:
    table = Table("server", "disks", "size", "guest", "power", "concerns", box=None, pad_edge=False)
    for each in servers:
        told = [f"[{_STYLE[concern.severity]}]{concern.id}[/]" for concern in concerns_of(each)]
        table.add_row(
            escape(each.name),
            str(len(each.disks)),
            size(sum(disk.size for disk in each.disks)),
            escape(str(each.facts.get("guest") or "-")),
            escape(str(each.facts.get("power") or "-")),
            ", ".join(told) or "-",
        )
    out.print(table)
    for concern, having in _by_concern(servers):
        style = _STYLE[concern.severity]
        text = escape(f"{concern.message}; {concern.remedy}")
        err.print(f"[{style}]{concern.id}[/] {escape(named(having, _NAMED))}: {text}")
    bad = sum(refused(each) for each in servers)
    out.print(
        f"{len(servers)} servers of {source}" + (f", [red]{bad} of which no run could replicate[/]" if bad else "")
    )


def _by_concern(servers: Sequence[DiscoveredServer]) -> list[tuple[Concern, list[str]]]:
    """Each concern once, the gravest first, as the first server has it; with the names of all that have it."""
    found: dict[str, tuple[Concern, list[str]]] = {}
    for each in servers:
        for concern in concerns_of(each):
            if concern.severity is not Severity.INFO:
                names = found.setdefault(concern.id, (concern, []))[1]
                names.extend([each.name] if each.name not in names[-1:] else [])
    return sorted(found.values(), key=lambda entry: list(Severity).index(entry[0].severity))


def _as_dict(server: DiscoveredServer) -> dict[str, Any]:
    return {**asdict(server), "concerns": [asdict(each) for each in concerns_of(server)]}
