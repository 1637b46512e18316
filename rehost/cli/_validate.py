"""`rehost validate`: everything wrong with a spec, at once, without touching anything."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rehost import __version__
from rehost.cli._output import Exit, err, out, print_json

if TYPE_CHECKING:
    from rehost.spec import Estate, Finding

SPECS = Path("migration_specs")


#: Findings of one spec that are printed as text.
MOST = 1000


class Format(StrEnum):
    text = "text"
    json = "json"
    github = "github"
    sarif = "sarif"


def validate(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Folders with a spec's YAML files, or files that are a spec each.")
    ] = None,
    form: Annotated[
        Format,
        typer.Option("--format", help="text, json, github (annotations of a workflow), or sarif (for code scanning)."),
    ] = Format.text,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    stacks: Annotated[
        list[str] | None,
        typer.Option("--stack", help="Whose settings variables stand for; all that have a settings file without it."),
    ] = None,
) -> None:
    """Check the spec and print every finding as [bold]file:line:column: message[/], with the line and a caret.

    Exit code 0 where it is valid (warnings allowed), 2 where it is not. Example: [dim]rehost validate migration_specs[/]
    """
    from rehost.spec import check_stacks  # it is not quick to import

    if as_json:
        form = Format.json
    places = paths or [SPECS]
    estates: list[Estate | None] = []
    found: list[tuple[Path, Path, list[Finding]]] = []
    for place in places:
        root = root_of(place)
        estate, findings = check_stacks(place, root=root, stacks=stacks or ())
        estates.append(estate)
        found.append((place, root, findings))
    valid = None not in estates
    if form == Format.json:
        everything = [finding.as_dict() for _place, _root, findings in found for finding in findings]
        print_json({"valid": valid, "findings": everything})
    elif form == Format.text:
        _print_text(found)
    else:
        _print_for_machines(form, found)
    if form in (Format.text, Format.github):
        _print_sum(estates, sum(each.is_error for _place, _root, findings in found for each in findings))
    if not valid:
        raise typer.Exit(Exit.USAGE)


def root_of(place: Path) -> Path:
    """What a spec's paths are relative to: the project's folder around it, else the present folder, else the one above it."""
    place = Path(os.path.abspath(place))  # noqa: PTH100 - links stay links, as in rehost.spec
    project = next((each for each in place.parents if (each / "Pulumi.yaml").is_file()), None)
    return project or (Path.cwd() if Path.cwd() in place.parents else place.parent)


def _print_text(found: list[tuple[Path, Path, list[Finding]]]) -> None:
    from rehost.spec import Excerpts, as_text

    for place, root, findings in found:
        excerpts = Excerpts(root, place if place.is_dir() else place.parent)
        for finding in findings[:MOST]:
            style = "red" if finding.is_error else "yellow"
            said, _, excerpt = as_text(finding, excerpts).partition("\n")
            err.print(said, style=style, markup=False)
            if excerpt:
                err.print(excerpt, markup=False)
        if len(findings) > MOST:
            err.print(f"... and {len(findings) - MOST} more; --format json has them all")


def _print_for_machines(form: Format, found: list[tuple[Path, Path, list[Finding]]]) -> None:
    from rehost.spec import as_github, as_sarif

    together = [(each, _in_repository(root, each.path)) for _place, root, findings in found for each in findings]
    if form == Format.sarif:
        paths = {finding.path: path for finding, path in together}
        print_json(as_sarif([finding for finding, _path in together], paths, __version__))
        return
    for finding, path in together:
        typer.echo(as_github(finding, path))


def _in_repository(root: Path, path: str) -> str:
    """A finding's path as GitHub wants it. Where there is no repository, relative to the present folder."""
    place = Path(os.path.abspath(root / path))  # noqa: PTH100
    workspace = os.environ.get("GITHUB_WORKSPACE")
    repository = Path(workspace) if workspace else next((at for at in place.parents if (at / ".git").exists()), None)
    base = repository or Path.cwd()
    return (place.relative_to(base) if place.is_relative_to(base) else place).as_posix()


def _print_sum(estates: list[Estate | None], errors: int) -> None:
    whole = [estate for estate in estates if estate is not None]
    if len(whole) < len(estates):
        err.print(f"[red]{errors} error{'s' if errors != 1 else ''}[/]; nothing was changed anywhere")
    elif len(whole) == 1:
        estate = whole[0]
        out.print(
            f"[green]valid[/]: {len(estate.servers)} servers, {len(estate.applications)} applications, {len(estate.sources)} sources"
        )
    else:
        out.print(f"[green]valid[/]: {len(whole)} specs")
