"""`rehost import`: a spec for review, made of what another tool knows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rehost.cli._output import Columns, Exit, escape, fail, print_json, show, tell
from rehost.files import write_whole
from rehost.text import count, named

if TYPE_CHECKING:
    from rehost.importers import Imported, Options, Summary

app = typer.Typer(
    help="Make a spec of another tool's inventory: it passes `rehost validate`, and what could not be carried over is said.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

_NAMED = 4  # subjects and values behind a remark
_STYLE = {"left out": "red", "not carried over": "yellow", "changed": "yellow", "assumed": "cyan", "note": "dim"}

_Files = Annotated[list[Path], typer.Argument(help="The files, in any order.", show_default=False)]
_Output = Annotated[Path, typer.Option("--output", help="The folder of the spec that it is for.")]
_Name = Annotated[
    str | None, typer.Option("--name", help="The name of the new file, without .yaml; default the tool's.")
]
_Source = Annotated[
    str | None,
    typer.Option("--source", help="A source of that spec in which all of them live; without it one is written."),
]
_Force = Annotated[bool, typer.Option("--force", help="Replace files that are there.")]
_Json = Annotated[bool, typer.Option("--json", help="Print what was done, and every remark, as JSON.")]
_Encoding = Annotated[str, typer.Option("--encoding", help="Of files without a mark of their own, such as cp1252.")]
_Delimiter = Annotated[
    str | None, typer.Option("--delimiter", help="What separates cells; found by the header without it.")
]
_Region = Annotated[str | None, typer.Option("--region", help="Only servers that are for this region.")]
_Account = Annotated[str | None, typer.Option("--account", help="Only servers that are for this account.")]
_Map = Annotated[
    list[str] | None, typer.Option("--map", help="KEY=COLUMN: a key of the spec, and the column that has it.")
]


@app.command("sms")
def sms(
    files: _Files,
    output: _Output = Path("migration_specs"),
    name: _Name = None,
    source: _Source = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also servers of the catalog that nobody replicated.")
    ] = False,
    encoding: _Encoding = "utf-8",
    force: _Force = False,
    as_json: _Json = False,
) -> None:
    """AWS Server Migration Service: JSON of [bold]aws sms get-servers[/], get-replication-jobs, get-app and the others.

    Example: [dim]rehost import sms servers.json jobs.json app-shop.json[/]
    """
    options = _options(source, encoding=encoding)
    _run("sms", files, replace(options, everything=everything), output, name, force, as_json)


@app.command("mgn")
def mgn(
    files: _Files,
    output: _Output = Path("migration_specs"),
    name: _Name = None,
    source: _Source = None,
    region: _Region = None,
    account: _Account = None,
    encoding: _Encoding = "utf-8",
    delimiter: _Delimiter = None,
    force: _Force = False,
    as_json: _Json = False,
) -> None:
    """AWS Application Migration Service: its CSV export, and JSON of [bold]aws mgn describe-source-servers[/] and the others.

    Example: [dim]rehost import mgn export.csv source-servers.json[/]
    """
    options = replace(_options(source, encoding=encoding), region=region, account=account, delimiter=delimiter)
    _run("mgn", files, options, output, name, force, as_json)


@app.command("cmf")
def cmf(
    files: _Files,
    output: _Output = Path("migration_specs"),
    name: _Name = None,
    source: _Source = None,
    region: _Region = None,
    account: _Account = None,
    encoding: _Encoding = "utf-8",
    delimiter: _Delimiter = None,
    force: _Force = False,
    as_json: _Json = False,
) -> None:
    """Cloud Migration Factory: its intake form, a CSV with a row a server.

    Example: [dim]rehost import cmf intake.csv --source dc1 --region eu-central-1[/]
    """
    options = replace(_options(source, encoding=encoding), region=region, account=account, delimiter=delimiter)
    _run("cmf", files, options, output, name, force, as_json)


@app.command("rvtools")
def rvtools(
    files: _Files,
    output: _Output = Path("migration_specs"),
    name: _Name = None,
    source: _Source = None,
    mapped: _Map = None,
    force: _Force = False,
    as_json: _Json = False,
) -> None:
    """RVTools: the workbook of "Export all to Excel".

    --map gives columns of vInfo a place. Example: [dim]rehost import rvtools export.xlsx --map application=Folder[/]
    """
    options = replace(_options(source), columns=_pairs(mapped))
    _run("rvtools", files, options, output, name, force, as_json)


@app.command("csv")
def csv(
    files: _Files,
    mapping: Annotated[
        Path | None, typer.Option("--mapping", help="A YAML file with `columns:` and `ignore:`.")
    ] = None,
    mapped: _Map = None,
    output: _Output = Path("migration_specs"),
    name: _Name = None,
    source: _Source = None,
    region: _Region = None,
    account: _Account = None,
    encoding: _Encoding = "utf-8",
    delimiter: _Delimiter = None,
    force: _Force = False,
    as_json: _Json = False,
) -> None:
    """Any table with a header, and a mapping from keys of the spec to its columns.

    Example: [dim]rehost import csv cmdb.csv --source dc1 --map server=Hostname --map application=Service[/]
    """
    from rehost.importers import InventoryError, Mapping, read_mapping

    try:
        read = read_mapping(mapping) if mapping is not None else Mapping()
    except InventoryError as error:
        fail(error, Exit.USAGE)
    options = replace(
        _options(source, encoding=read.encoding or encoding),
        columns={**read.columns, **_pairs(mapped)},
        ignored=read.ignored,
        delimiter=delimiter or read.delimiter,
        region=region,
        account=account,
    )
    _run("csv", files, options, output, name, force, as_json)


def _options(source: str | None, *, encoding: str = "utf-8") -> Options:
    from rehost.importers import Options

    return Options(now=datetime.now(UTC), source=source, encoding=encoding)


def _pairs(mapped: Sequence[str] | None) -> dict[str, str]:
    pairs = {}
    for each in mapped or ():
        key, equals, column = each.partition("=")
        if not (key and equals and column):
            fail(f"--map {each!r}: it is KEY=COLUMN, such as application=Folder", Exit.USAGE)
        pairs[key] = column
    return pairs


def _run(
    tool: str, files: list[Path], options: Options, folder: Path, name: str | None, force: bool, as_json: bool
) -> None:
    from rehost.importers import InventoryError, import_inventory

    stem = (name or tool).removesuffix(".yaml")
    if not stem or stem.startswith(".") or set(stem) & set("/\\\0"):
        fail(f"--name {stem!r}: it is the name of a file, without its folder", Exit.USAGE)
    try:
        made = import_inventory(tool, files, options, folder=folder, stem=stem)
    except InventoryError as error:
        fail(error, Exit.USAGE)
    paths = [folder / each for each in made.files]
    if made.servers:
        _refuse_leftovers(folder, stem, paths)
        _write(dict(zip(paths, made.files.values(), strict=True)), force)
    _report(tool, made, paths if made.servers else [], as_json)
    if not made.servers:
        fail("none of the servers could be taken over, and nothing was written", Exit.USAGE)


def _refuse_leftovers(folder: Path, stem: str, paths: Sequence[Path]) -> None:
    """A former import under this name was longer: its last files would stand beside the new ones."""
    from rehost.importers import is_of

    left = [str(each) for each in sorted(folder.glob("*.yaml")) if is_of(stem, each.name) and each not in paths]
    if left:
        fail(
            f"{', '.join(left)}: of a former import, which took more files; remove what it wrote, or give another --name",
            Exit.USAGE,
        )


def _write(files: dict[Path, str], force: bool) -> None:
    there = [str(path) for path in files if os.path.lexists(path)]
    if there and not force:
        fail(
            f"{', '.join(there)}: there already, and not replaced; give another --name or --output, or say --force",
            Exit.USAGE,
        )
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            if not force:
                path.open("x").close()  # nobody else's file of this name is replaced
            write_whole(path, text.encode("utf-8"))
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}")


def _report(tool: str, made: Imported, paths: Sequence[Path], as_json: bool) -> None:
    from rehost.importers import summaries

    if as_json:
        print_json(
            {
                "tool": tool,
                "files": list(map(str, paths)),
                "servers": made.servers,
                "applications": made.applications,
                "waves": made.waves,
                "leftOut": made.left_out,
                "remarks": [each.as_dict() for each in made.remarks],
                "warnings": list(made.warnings),
            }
        )
        return
    rows = [_row(each) for each in summaries(made.remarks)]
    counts = ", ".join(
        count(number, what)
        for number, what in ((made.servers, "server"), (made.applications, "application"), (made.waves, "wave"))
    )
    counts += f"; {count(made.left_out, 'server')} left out"
    show(
        [
            *([Columns(("what", "field", "of", "why"), rows)] if rows else []),
            escape(f"{', '.join(map(str, paths)) or 'nothing'}: {counts}"),
        ]
    )
    if paths:
        tell("next: review it, then `rehost validate`; the servers of each source: `rehost discover SOURCE`")


def _row(summary: Summary) -> tuple[str, ...]:
    style = _STYLE[summary.kind.value]
    values = f" ({named(summary.values, _NAMED)})" if summary.values else ""
    return (
        f"[{style}]{summary.kind.value}[/]",
        escape(summary.field),
        escape((named(summary.subjects, _NAMED) + values).strip()),
        escape(summary.reason),
    )
