"""`rehost preflight`: everything that speaks against replicating, launching or cutting over, before it is tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from rehost.aws import Aws, AwsError, AwsSettings
from rehost.cli._estate import load_estate
from rehost.cli._log import log_to_standard_error
from rehost.cli._output import Columns, Exit, Part, escape, fail, print_json, show
from rehost.cli._project import Project, find_project
from rehost.concerns import ERROR, INFO, SEVERITIES, WARNING
from rehost.connector import database_path, is_embedded, resolve_from_aws
from rehost.control import ControlPlane
from rehost.preflight import ApplicationPlan, Facts, Finding, Surroundings, Told, ask, examine, plans_of, standings
from rehost.spec import Estate
from rehost.text import named

COLOURS = {ERROR: "red", WARNING: "yellow", INFO: "dim"}
_PHASES = ("replicate", "test", "cutover", "complete")


def preflight(
    application: Annotated[str | None, typer.Argument(help="Only this application; all of the spec without.")] = None,
    specs: Annotated[Path, typer.Option(help="The folder with the spec's YAML files.")] = Path("migration_specs"),
    phase: Annotated[
        str | None,
        typer.Option(help="As though the applications were declared in this phase: replicate, test, cutover."),
    ] = None,
    sources: Annotated[bool, typer.Option(help="Ask the sources, too; they must be reachable from here.")] = True,
    stack: Annotated[str | None, typer.Option(help="The Pulumi stack whose instances are ours; any without.")] = None,
    database: Annotated[
        str | None, typer.Option(help="The control plane's URL; default REHOST_DATABASE, else the project's.")
    ] = None,
    region: Annotated[str | None, typer.Option(help="The AWS region; default: the SDK's own settings.")] = None,
    profile: Annotated[str | None, typer.Option(help="The AWS profile; default: the SDK's own settings.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="The endpoint of every AWS service.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Say what speaks against replicating, launching or cutting over, before anything is tried.

    It asks the sources, AWS and the control plane, and changes nothing. Exit code 0 without errors (warnings allowed), 1 with
    errors, 2 where the spec or the command line is wrong. Example: [dim]rehost preflight shop[/]
    """
    estate, root = load_estate(specs)
    if application is not None and application not in estate.applications:
        fail(f"there is no application {application!r}; known: {', '.join(estate.applications) or 'none'}", Exit.USAGE)
    if phase is not None and phase not in _PHASES:
        fail(f"{phase!r} is no phase; it can be {', '.join(_PHASES)}", Exit.USAGE)
    aws = Aws(AwsSettings(region=region, profile=profile, endpoint=endpoint))
    try:
        aws.check_access()
        found = examined(
            estate,
            aws,
            root=root,
            only=None if application is None else {application},
            phase=phase,
            ask_sources=sources,
            stack=stack,
            control=existing_control(find_project(database)),
        )
    except AwsError as error:
        fail(error)
    errors = sum(each.is_error for each in found)
    if as_json:
        print_json({"ok": not errors, "findings": [each.as_dict() for each in found]})
    else:
        show(page(found, len(estate.applications) if application is None else 1))
    if errors:
        raise typer.Exit(Exit.FAILED)


def existing_control(project: Project) -> ControlPlane | None:
    """None where nothing was ever declared: preflight comes before that."""
    if is_embedded(project.database) and not database_path(project.database, project.root).exists():
        return None
    return project.control()


def examined(
    estate: Estate,
    aws: Aws,
    *,
    root: Path,
    only: set[str] | None,
    phase: str | None = None,
    ask_sources: bool = True,
    stack: str | None = None,
    control: ControlPlane | None = None,
) -> list[Finding]:
    """The findings of some applications, or of all and of servers that are in none. Raises AwsError."""
    log_to_standard_error()
    plans = [plan for plan in plans_of(estate) if only is None or plan.name in only]
    if phase is not None:
        plans = [replace(plan, phase=phase) for plan in plans]
    told = Told()
    if ask_sources:
        resolve_from_aws(aws.session.settings)
        told = ask(estate, [server.name for plan in plans for server in plan.servers], root)
    facts = Facts(aws)
    _ask_together(plans, facts)
    around = Surroundings(
        facts,
        stack,
        control.now() if control else datetime.now(UTC),
        standings(control, stack) if control else {},
        told.raws,
        {**sizes_of_runs(control, stack), **told.sizes} if control else told.sizes,
        told.facts,
    )
    # Those that launch first: what is not to be launched yet competes with them, and not they with it.
    return [each for plan in sorted(plans, key=lambda plan: not plan.launches) for each in examine(plan, around)]


def _ask_together(plans: Sequence[ApplicationPlan], facts: Facts) -> None:
    """The instance types of all applications in one question."""
    types = {
        server.launch.instance_type
        for plan in plans
        for server in plan.servers
        if server.launch and server.launch.instance_type
    }
    for question in (facts.instance_types, facts.zones):
        try:
            question(types)
        except AwsError as error:
            if error.retryable:
                raise  # what is refused is told where it is needed


def sizes_of_runs(control: ControlPlane, stack: str | None) -> dict[str, list[int]]:
    """Bytes of each disk as the newest run found it, by server: known where the source is out of reach."""
    return {
        each.job.spec.server: [disk.size for disk in each.disks] for each in control.status(stack=stack) if each.disks
    }


def page(found: Sequence[Finding], applications: int) -> list[Part]:
    """The findings, then how many there are. What is ignored is shown with its reason, last."""
    parts: list[Part] = []
    if found:
        parts.append(
            Columns(("", "application", "servers", "concern", "what", "to do"), [_row(each) for each in found])
        )
    counts = [
        f"[{COLOURS[severity]}]{count} {severity}{'' if count == 1 else 's'}[/]"
        for severity in SEVERITIES
        if (count := sum(each.counts and each.severity == severity for each in found))
    ]
    ignored = sum(not each.counts for each in found)
    counts += [f"{ignored} ignored"] if ignored else []
    of = f"{applications} application{'' if applications == 1 else 's'}"
    parts.append(f"{of}: {', '.join(counts)}" if counts else f"{of}: [green]nothing speaks against it[/]")
    return parts


def _row(each: Finding) -> tuple[str, ...]:
    severity = f"[{COLOURS[each.severity]}]{each.severity}[/]" if each.counts else "[dim]ignored[/]"
    return (
        severity,
        escape(each.application) or "-",
        escape(named(each.servers, 3)) or "-",
        each.id,
        escape(each.message),
        escape(each.remedy if each.counts else f"ignored: {each.ignored}"),
    )


def counts_of(found: Sequence[Finding]) -> dict[str, Any]:
    """How many of each severity, of what is not ignored."""
    return {severity: sum(each.counts and each.severity == severity for each in found) for severity in SEVERITIES}
