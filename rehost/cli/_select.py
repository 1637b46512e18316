"""`rehost select`: which servers the spec's selections mean, written down for a review."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from rehost.cli._catalog import keys_of, names_of
from rehost.cli._entries import flow, key, name_for
from rehost.cli._output import Exit, ago, err, escape, fail, out, print_json, tell
from rehost.cli._project import Project, find_project
from rehost.control import Catalog, CatalogServer, CatalogState
from rehost.files import write_whole
from rehost.spec import Selection, selections

_FIRST = (
    "# Written by `rehost select`, to be reviewed and committed, and not to be edited: the next time would undo that."
)
_ENDING = ".selected.yaml"
_SHOWN = 20  # servers named on each side of a change


@dataclass
class Chosen:
    """What one selection comes to now."""

    selection: Selection
    servers: dict[str, Mapping[str, Any]]  # locators by name, in order
    left_out: dict[str, str] = field(default_factory=dict)  # why, by the machine's name

    @property
    def added(self) -> list[str]:
        return [each for each in self.servers if each not in self.selection.selected]

    @property
    def gone(self) -> list[str]:
        return [each for each in self.selection.selected if each not in self.servers]


def select(
    specs: Annotated[Path, typer.Option(help="The folder with the spec's YAML files.")] = Path("migration_specs"),
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 where the files would change.")
    ] = False,
    database: Annotated[
        str | None, typer.Option(help="The control plane's URL; default REHOST_DATABASE, else the project's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was selected as JSON.")] = False,
) -> None:
    """Write down which servers the spec's selections mean, as the catalog knows them, for a review.

    Nothing else ever adds a server to a spec: `pulumi up` takes what is written. `rehost catalog refresh` asks the sources
    before. Example: [dim]rehost select && git diff migration_specs[/]
    """
    project = find_project(database)
    folder = specs if specs.exists() else project.root / specs
    root = project.root if folder.resolve().is_relative_to(project.root.resolve()) else folder.parent
    found, own, problems = selections(folder, root=root)
    if problems:
        for finding in problems:
            tell(f"[red]{escape(str(finding))}[/]")
        fail("put the spec right first; nothing was selected", Exit.USAGE)
    chosen = _chosen(project, found, own)
    files = _files(root, folder, chosen)
    changed = [file for file, text in files.items() if text != _present(file)]
    if not check:
        for file in changed:
            _write(file, files[file])
    if as_json:
        print_json({"changed": bool(changed), "selections": [_as_dict(each) for each in chosen]})
    else:
        _show(chosen, changed, root, check=check)
    if check and changed:
        raise typer.Exit(Exit.FAILED)


def _chosen(project: Project, found: Sequence[Selection], own: Mapping[str, Any]) -> list[Chosen]:
    if not found:
        return []
    control = project.control(make=True)
    catalogs = {each.source_name: each for each in control.catalogs.list()}
    now = control.now()
    machines: dict[str, list[CatalogServer]] = {}
    for source in sorted({each.source for each in found}):
        _must_be_known(source, catalogs.get(source))
        refreshed = catalogs[source].refreshed_at
        if catalogs[source].state == CatalogState.EXPIRED and refreshed is not None:
            err.print(
                f"[yellow]the catalog of {escape(source)} is from {ago(refreshed, now)}[/]; "
                f"`rehost catalog refresh {escape(source)}` looks again"
            )
        machines[source] = [each for each in control.catalogs.servers(source) if each.gone_at is None]
    taken = set(own)
    result = []
    homes: dict[tuple[str, str], str] = {}  # selections by machine
    for selection in found:
        chosen = Chosen(selection, {})
        names = {_where(locator): name for name, locator in selection.selected.items() if name not in own}
        for machine in machines[selection.source]:
            if not selection.matches(machine.name, machine.facts):
                continue
            where = _where(machine.locator)
            other = homes.setdefault((selection.source, where), selection.name)
            if other != selection.name:
                fail(
                    f"{selection.position}: machine {machine.name!r} is in selection {other!r}, too; narrow one of "
                    "them, or use except. Nothing was written",
                    Exit.USAGE,
                )
            declared = _declared(machine, selection.source, own)
            problem = machine.facts.get("problem")
            if declared is not None:
                chosen.left_out[machine.name] = f"servers has it, as {declared}"
            elif problem is not None:
                chosen.left_out[machine.name] = f"no run could replicate it: {problem}"
            else:
                name = names.get(where) or name_for(machine.name, taken | set(names.values()))
                taken.add(name)
                chosen.servers[name] = machine.locator
        chosen.servers = dict(sorted(chosen.servers.items()))
        result.append(chosen)
    return result


def _must_be_known(source: str, catalog: Catalog | None) -> None:
    if catalog is None or catalog.refreshed_at is None:
        fail(f"nothing is known of the servers of {source!r}; `rehost catalog refresh {source}` asks for them")


def _declared(machine: CatalogServer, source: str, own: Mapping[str, Any]) -> str | None:
    """The entry that somebody wrote for a machine."""
    names = set(names_of(machine))
    for name, entry in own.items():
        locator = entry.get("locator") if isinstance(entry, Mapping) else None
        if isinstance(locator, Mapping) and entry.get("source") == source and names & set(keys_of(source, locator)):
            return name
    return None


def _files(root: Path, folder: Path, chosen: Sequence[Chosen]) -> dict[Path, str | None]:
    """The text of each file of selected servers; None for one that is to go."""
    by_file: dict[Path, list[Chosen]] = {}
    for each in chosen:
        home = root / each.selection.position.path
        by_file.setdefault(home.with_name(home.stem + _ENDING), []).append(each)
    files: dict[Path, str | None] = {file: _text(each) for file, each in by_file.items()}
    for file in folder.rglob(f"*{_ENDING}"):
        shown = root / os.path.relpath(file, root)
        if shown not in files and (_present(shown) or "").startswith(_FIRST):
            files[shown] = None
    for file in files:
        present = _present(file)
        if present is not None and not present.startswith(_FIRST):
            fail(f"{file} was not written by `rehost select`; move it out of the way. Nothing was written", Exit.USAGE)
    return files


def _text(chosen: Sequence[Chosen]) -> str:
    lines = [_FIRST, "selected:"]
    for each in chosen:
        lines += [f"  {key(each.selection.name)}:", f'    selection: "{each.selection.digest}"']
        lines.append("    servers:" if each.servers else "    servers: {}")
        lines += [f"      {key(name)}: {flow(locator)}" for name, locator in each.servers.items()]
    return "\n".join(lines) + "\n"


def _present(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{file} cannot be read: {error}", Exit.USAGE)


def _write(file: Path, text: str | None) -> None:
    if text is None:
        file.unlink()
        return
    write_whole(file, text.encode("utf-8"))


def _show(chosen: Sequence[Chosen], changed: Collection[Path], root: Path, *, check: bool) -> None:
    for each in chosen:
        name = escape(each.selection.name)
        out.print(f"{name}: {len(each.servers)} servers of {escape(each.selection.source)}")
        for sign, style, names in (("+", "green", each.added), ("-", "red", each.gone)):
            for server in names[:_SHOWN]:
                out.print(f"  [{style}]{sign} {escape(server)}[/]")
            if len(names) > _SHOWN:
                out.print(f"  [{style}]{sign} and {len(names) - _SHOWN} more[/]")
        for machine, why in each.left_out.items():
            out.print(f"  [yellow]left out: {escape(machine)}[/]; {escape(why)}")
        if not each.servers:
            err.print(f"[yellow]{name} matches no machine[/]")
    if not chosen:
        out.print("the spec has no selections")
    word = "would change" if check else "written"
    for file in changed:
        err.print(f"{word}: {escape(os.path.relpath(file, root))}")
    if not changed and chosen:
        err.print("nothing has changed")


def _as_dict(each: Chosen) -> dict[str, Any]:
    return {
        "name": each.selection.name,
        "source": each.selection.source,
        "servers": {name: dict(locator) for name, locator in each.servers.items()},
        "added": each.added,
        "gone": each.gone,
        "leftOut": each.left_out,
    }


def _where(locator: Mapping[str, Any]) -> str:
    return repr(sorted(locator.items()))
