"""`rehost catalog`: the servers that discovery found, and which of them are declared or replicating."""

from __future__ import annotations

import posixpath
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from rehost.cli._output import Columns, Exit, ago, err, escape, fail, out, print_json, show, size
from rehost.cli._project import Project, find_project
from rehost.connector import ensure_connector, is_embedded
from rehost.control import Catalog, CatalogServer, CatalogState, ControlPlane, JobStatus

app = typer.Typer(help="The servers that discovery found at each source.", no_args_is_help=True)

WAIT_SECONDS = 120.0
_FILTERS = ("source", "name", "use")
_Database = Annotated[
    str | None, typer.Option(help="The control plane's URL; default REHOST_DATABASE, else the project's.")
]
_Specs = Annotated[Path, typer.Option("--specs", help="The folder with the spec's YAML files.")]


@app.command("refresh")
def refresh(
    sources: Annotated[list[str] | None, typer.Argument(help="Which sources of the spec; default all.")] = None,
    specs: _Specs = Path("migration_specs"),
    database: _Database = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the connectors have looked.")] = True,
) -> None:
    """Let the connectors of each source look which servers it has.

    Exit code 1 where one could not be asked. Example: [dim]rehost catalog refresh dc1[/]
    """
    from rehost import spec  # the checker of specs is not quick to import

    project = find_project(database)
    estate = spec.load(project.root / specs, root=project.root, accept_stale=True)
    unknown = set(sources or ()) - estate.sources.keys()
    if unknown:
        known = ", ".join(sorted(estate.sources)) or "none"
        fail(f"the spec has no source {', '.join(sorted(unknown))}; known: {known}", Exit.USAGE)
    control = project.control(make=True)
    names = list(sources or estate.sources)
    asked = control.now()
    for name in names:
        control.catalogs.request(name, estate.sources[name].config)
        _serve(project, control, name)
    if not wait:
        out.print(f"asked for {', '.join(names)}")
        return
    failed = False
    for catalog in _await(control, names):
        fresh = catalog.refreshed_at is not None and catalog.refreshed_at >= asked
        if fresh:
            out.print(f"{catalog.source_name}: {catalog.servers} servers")
        else:
            failed = True
            reason = catalog.message or "no connector of it has answered; `rehost connector list` shows who is there"
            err.print(f"[red]{catalog.source_name}:[/] {escape(reason)}")
    if failed:
        raise typer.Exit(Exit.FAILED)


@app.command("list")
def list_(
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", help="source=, name= (a part of it) or use= (declared, replicating, neither)."),
    ] = None,
    gone: Annotated[bool, typer.Option("--gone", help="Also those that were not there any more.")] = False,
    specs: _Specs = Path("migration_specs"),
    database: _Database = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """List the servers found, with their disks, and whether the spec declares them and a job replicates them.

    Example: [dim]rehost catalog list --filter use=neither --filter name=web[/]
    """
    wanted = _parsed(filters or [])
    project = find_project(database)
    control = project.control()
    uses = _uses(control, project, specs)
    rows = []
    for server in control.catalogs.servers():
        found = {uses[key] for key in names_of(server) if key in uses}
        use = "replicating" if "replicating" in found else "declared" if found else "neither"
        if (gone or server.gone_at is None) and _matches(wanted, server, use):
            rows.append((server, use))
    catalogs = control.catalogs.list()
    if as_json:
        print_json(
            {
                "catalogs": [asdict(each) for each in catalogs],
                "servers": [{**asdict(server), "use": use} for server, use in rows],
            }
        )
        return
    now = control.now()
    if rows:
        head = ("source", "name", "disks", "size", "use", "seen", "locator")
        show([Columns(head, [_row(server, use, now) for server, use in rows])])
    for catalog in catalogs:
        out.print(_said(catalog, now))
    if not catalogs:
        out.print("nothing is known yet: `rehost catalog refresh` asks the sources of the spec")


@app.command("delete")
def delete(
    source: Annotated[str, typer.Argument(help="The source whose catalog goes.")], database: _Database = None
) -> None:
    """Forget what is known of a source's servers. Jobs and images stay. Example: [dim]rehost catalog delete dc1[/]"""
    control = find_project(database).control()
    if source not in {each.source_name for each in control.catalogs.list()}:
        fail(f"there is no catalog of {source!r}", Exit.USAGE)
    control.catalogs.delete(source)


def _serve(project: Project, control: ControlPlane, source: str) -> None:
    if is_embedded(project.database):
        ensure_connector(project.database, state=project.state, base=project.root, control=control, source=source)


def _await(control: ControlPlane, names: list[str]) -> list[Catalog]:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        found = [each for each in control.catalogs.list() if each.source_name in names]
        if all(each.requested_at is None for each in found) or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def _uses(control: ControlPlane, project: Project, specs: Path) -> dict[str, str]:
    """By machine: whether a spec declares it, and whether a job replicates it."""
    from rehost import spec

    uses: dict[str, str] = {}
    estate, _ = spec.check(project.root / specs, root=project.root, accept_stale=True)
    for server in estate.servers.values() if estate else ():
        for key in keys_of(server.source.name, server.locator):
            uses[key] = "declared"
    for status in control.status():
        for key in keys_of(status.job.spec.source_name, status.job.spec.locator):
            uses[key] = "replicating" if _replicates(status) else "declared"
    return uses


def _replicates(status: JobStatus) -> bool:
    return status.job.is_live and (status.open_run is not None or status.latest_image is not None)


def keys_of(source: str, locator: Any) -> list[str]:
    return [_machine(source, locator, None), *([f"{source}/{locator['name']}"] if "name" in locator else [])]


def _machine(source: str, locator: Any, name: str | None) -> str:
    """A machine as specs, jobs and discovery name it: by a path, a list of disks or a name."""
    if "path" in locator:
        return f"{source}:{posixpath.normpath(str(locator['path']))}"
    if "disks" in locator:
        return f"{source}:{'|'.join(locator['disks'])}"
    return f"{source}/{locator.get('name', name)}"


def names_of(server: CatalogServer) -> list[str]:
    """All the ways in which a spec may name a server that was found."""
    disks = [str(disk["key"]) for disk in server.disks]
    by_file = [f"{server.source_name}:{disks[0]}"] if len(disks) == 1 else []
    return [
        _machine(server.source_name, server.locator, server.name),
        f"{server.source_name}/{server.name}",
        f"{server.source_name}:{'|'.join(disks)}",
        *by_file,
    ]


def _parsed(filters: list[str]) -> dict[str, str]:
    wanted = {}
    for each in filters:
        key, equals, value = each.partition("=")
        if key not in _FILTERS or not equals:
            fail(f"--filter {each!r}: it is KEY=VALUE with a key of {', '.join(_FILTERS)}", Exit.USAGE)
        wanted[key] = value
    return wanted


def _matches(wanted: dict[str, str], server: CatalogServer, use: str) -> bool:
    return (
        wanted.get("source", server.source_name) == server.source_name
        and wanted.get("name", "").lower() in server.name.lower()
        and wanted.get("use", use) == use
    )


def _row(server: CatalogServer, use: str, now: Any) -> tuple[str, ...]:
    seen = ago(server.seen_at, now) if server.gone_at is None else f"gone {ago(server.gone_at, now)}"
    total = sum(int(disk["size"]) for disk in server.disks)
    locator = ", ".join(f"{key}: {value}" for key, value in server.locator.items())
    return (server.source_name, escape(server.name), str(len(server.disks)), size(total), use, seen, escape(locator))


def _said(catalog: Catalog, now: Any) -> str:
    when = f", refreshed {ago(catalog.refreshed_at, now)}" if catalog.refreshed_at else ""
    hint = "; `rehost catalog refresh` looks again" if catalog.state == CatalogState.EXPIRED else ""
    reason = f"; the last look failed: {catalog.message}" if catalog.message else ""
    return escape(f"{catalog.source_name}: {catalog.state}, {catalog.servers} servers{when}{hint}{reason}")
