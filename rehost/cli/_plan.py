"""`rehost plan`: what a pull request means for each server, from a preview that Pulumi made."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rehost.cli._estate import load_estate
from rehost.cli._output import Exit, fail, print_json, tell
from rehost.cli._output import escape as escaped
from rehost.cli._plan_asked import known_of, sources_are_near, used_images, with_sizes
from rehost.cli._project import Project, find_project
from rehost.plan import (
    Base,
    BaseUnreadable,
    Plan,
    PlanError,
    Policy,
    PolicyWrong,
    as_html,
    as_markdown,
    base_of,
    default_base,
    make_plan,
    read_policies,
    read_preview,
    read_prices,
)


class Format(StrEnum):
    MARKDOWN = "markdown"
    HTML = "html"
    JSON = "json"


def plan(
    preview: Annotated[
        str, typer.Option(help="What `pulumi preview --json` printed: a file, or - for standard input.")
    ],
    base: Annotated[
        str | None,
        typer.Option(
            help="The version to compare with: a folder or a commit of Git; default: where the branch left origin/HEAD."
        ),
    ] = None,
    specs: Annotated[Path, typer.Option(help="The folder with the spec's YAML files.")] = Path("migration_specs"),
    policies: Annotated[
        Path | None,
        typer.Option(help="The folder with policies; default: `policies` in the project, where it is there."),
    ] = None,
    prices: Annotated[
        Path | None, typer.Option(help="A price table in place of the one that comes with rehost.")
    ] = None,
    format_: Annotated[
        Format, typer.Option("--format", help="markdown (for a comment), html or json.")
    ] = Format.MARKDOWN,
    output: Annotated[Path | None, typer.Option(help="The file to write into; default: standard output.")] = None,
    aws: Annotated[bool, typer.Option(help="Ask AWS whether an instance uses an image that goes.")] = True,
    sources: Annotated[
        bool | None,
        typer.Option(
            help="Ask the sources for sizes that nobody knows yet; default: where the control plane is a file here."
        ),
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="The control plane's URL; default REHOST_DATABASE, else the project's.")
    ] = None,
) -> None:
    """Say what a change of the spec means, for whoever reviews it: what starts, changes, is replaced and goes, and what it costs.

    Exit code 0, 1 where the preview itself failed, 2 where the command line, the spec, a policy or the price table is wrong, 3 where a
    policy refuses. The plan is written with 0, 1 and 3. Example: [dim]rehost plan --preview preview.json --base origin/main[/]
    """
    project = find_project(database)
    try:
        made = _made(project, preview, base, specs, policies, prices, ask_aws=aws, sources=sources)
    except PlanError as error:
        fail(error, Exit.USAGE)
    _write(made, format_, output)
    if made.is_refused:
        names = ", ".join(each.policy.name for each in made.verdicts if each.refuses)
        tell(f"[red]refused[/] by a policy: {escaped(names)}")
        raise typer.Exit(Exit.DIFFERS)
    if made.has_failed:
        tell(f"[red]the preview failed[/]: {escaped(made.preview.errors[0].message)}")
        raise typer.Exit(Exit.FAILED)


def _made(
    project: Project,
    preview: str,
    base: str | None,
    specs: Path,
    policies: Path | None,
    prices: Path | None,
    *,
    ask_aws: bool,
    sources: bool | None,
) -> Plan:
    """Raises PlanError, of what is wrong with what was given."""
    seen = read_preview(_content(preview), preview)
    estate, root = load_estate(specs)
    folder = _policies_folder(project, policies)
    rules = read_policies(folder) if folder else []
    table = read_prices(prices.read_bytes() if _is_file(prices) else None, str(prices)) if prices else read_prices()
    missing: list[str] = []
    known = known_of(project, seen, estate)
    if sources_are_near(project, sources):
        known = with_sizes(known, seen, estate, root, missing)
    with _opened_base(base, root, specs if specs.exists() else root / specs, missing) as before:
        judging, notes = _with_the_bases(rules, before, folder, root)
        used = used_images(seen, known, missing) if ask_aws else None
        return make_plan(
            estate,
            seen,
            known=known,
            prices=table,
            base=before,
            policies=judging,
            used=used,
            notes=notes,
            missing=missing,
        )


def _content(preview: str) -> bytes:
    if preview == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(preview).read_bytes()
    except OSError as error:
        fail(f"{preview} cannot be read: {error.strerror}", Exit.USAGE)


def _is_file(path: Path | None) -> bool:
    if path is not None and not path.is_file():
        fail(f"there is no file {path}", Exit.USAGE)
    return path is not None


def _policies_folder(project: Project, given: Path | None) -> Path | None:
    if given is not None:
        if not given.is_dir():
            fail(f"there is no folder {given} with policies", Exit.USAGE)
        return given
    usual = project.root / "policies"
    return usual if usual.is_dir() else None


@contextmanager
def _opened_base(given: str | None, root: Path, specs: Path, missing: list[str]) -> Iterator[Base | None]:
    """The base that was asked for, else the usual one; without that, the plan says so."""
    name = given or default_base(root)
    if name is None:
        missing.append("what changes in the spec: there is no base to compare with (`--base REF_OR_FOLDER`)")
        with nullcontext(None) as nothing:
            yield nothing
        return
    opened = base_of(name, root, specs)
    try:
        found = opened.__enter__()
    except BaseUnreadable as error:
        if given:
            raise
        missing.append(f"what changes in the spec: {error}")
        yield None
        return
    try:
        yield found
    finally:
        opened.__exit__(None, None, None)


def _with_the_bases(
    rules: Sequence[Policy], base: Base | None, folder: Path | None, root: Path
) -> tuple[list[Policy], list[str]]:
    """The policies, and those of the base that this change edits or removes: no change weakens what judges it. And notes of that."""
    if base is None or folder is None or not folder.resolve().is_relative_to(root.resolve()):
        return list(rules), []
    before = base.folder / folder.resolve().relative_to(root.resolve())
    if not before.is_dir():
        return list(rules), []
    try:
        former = [each for each in read_policies(before) if each not in rules]
    except PolicyWrong as error:
        return list(rules), [f"the policies of {base.told} cannot be read, so only those here judge: {error}"]
    names = ", ".join(each.name for each in former)
    notes = [f"this change edits or removes policies, which judge it as they were, too: {names}"] if former else []
    return [*rules, *(replace(each, name=f"{each.name} (before)") for each in former)], notes


def _write(made: Plan, format_: Format, output: Path | None) -> None:
    if format_ is Format.JSON and output is None:
        print_json(made.as_dict())
        return
    if format_ is Format.JSON:
        import json

        text = json.dumps(made.as_dict(), indent=2) + "\n"
    else:
        text = as_html(made) if format_ is Format.HTML else as_markdown(made)
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, "utf-8")
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror}", Exit.USAGE)
