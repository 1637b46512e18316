"""`rehost eject`: what an application became, written down for Pulumi and Terraform."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rehost.aws import Aws, AwsSettings, InstanceDetails
from rehost.cli._output import Exit, err, fail, out
from rehost.cli._project import find_project
from rehost.control import ControlPlane, Job, Phase
from rehost.handover import Piece, pieces_of, pulumi_files, terraform_files


class Format(StrEnum):
    PULUMI = "pulumi"
    TERRAFORM = "terraform"


def eject(
    application: Annotated[str, typer.Argument(help="The application, as the spec names it.")],
    format_: Annotated[
        list[Format] | None, typer.Option("--format", help="What to write; both where it is not given.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="The folder to write into; default handover/APPLICATION.")] = None,
    stack: Annotated[str | None, typer.Option(help="The Pulumi stack, where the control plane knows several.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write it though the application has not reached complete.")
    ] = False,
    database: Annotated[
        str | None, typer.Option(help="The control plane's URL; default REHOST_DATABASE, else the project's.")
    ] = None,
) -> None:
    """Write ordinary Pulumi and Terraform for what an application runs as, once it is complete.

    Nothing in AWS is changed; user data and other secrets are not written. Files that are there already are not replaced.
    Example: [dim]rehost eject shop --format terraform[/]
    """
    formats = list(dict.fromkeys(format_ or Format))
    folder = output or Path("handover") / application
    control = find_project(database).control()
    jobs = _jobs_of(control, application, stack)
    if not force:
        _require_complete(control, jobs[0].spec.stack, application)
    spec = jobs[0].spec  # the settings of AWS are the stack's, so one job's are all jobs'
    aws = Aws(AwsSettings(**{key: spec.aws.get(key) for key in ("region", "profile", "endpoint")}))
    instances = aws.details.of_servers(spec.stack, [job.spec.server for job in jobs])
    _require_all(application, jobs, instances)
    pieces = pieces_of(instances)
    written = _write(folder, _files(formats, application, aws.region, pieces))
    for path in written:
        out.print(str(path), markup=False)
    _say_what_now(application, formats, folder, instances)


def _jobs_of(control: ControlPlane, application: str, stack: str | None) -> list[Job]:
    jobs = [job for job in control.jobs.list(stack=stack) if job.is_live and job.spec.application]
    found = [job for job in jobs if job.spec.application == application]
    stacks = sorted({job.spec.stack for job in found})
    if not found:
        known = ", ".join(sorted({str(job.spec.application) for job in jobs})) or "none"
        fail(f"there is no application {application!r}; known applications: {known}", Exit.USAGE)
    if len(stacks) > 1:
        fail(f"{application} is in several stacks: {', '.join(stacks)}; name one with --stack", Exit.USAGE)
    return found


def _require_complete(control: ControlPlane, stack: str, application: str) -> None:
    known = control.applications.find(stack, application)
    reached = known.reached if known else None
    if reached != Phase.COMPLETE:  # text, as the database has it
        where = f"it has reached {reached}" if reached else "it has reached no phase yet"
        fail(
            f"{application} is not complete: {where}. Its instances may still be replaced, and what would be written would be out of "
            "date. Set `phase: complete` and run `pulumi up` first, or say --force",
            Exit.USAGE,
        )


def _require_all(application: str, jobs: Sequence[Job], instances: Sequence[InstanceDetails]) -> None:
    """One instance a server, each running or stopped: half an application is no hand-over."""
    wanted = [job.spec.server for job in jobs]
    seen = [each.server for each in instances]
    missing = sorted(set(wanted) - set(seen))
    if missing:
        fail(f"{application} has no instance for {', '.join(missing)}; run `pulumi refresh`, then `pulumi up`")
    twice = sorted({server for server in seen if seen.count(server) > 1})
    if twice:
        ids = ", ".join(each.id for each in instances if each.server in twice)
        fail(f"{application} has several instances for {', '.join(twice)}: {ids}; terminate those that do not serve")


def _files(formats: Sequence[Format], application: str, region: str, pieces: Sequence[Piece]) -> dict[str, str]:
    made: dict[str, str] = {}
    for each in formats:
        files = (pulumi_files if each is Format.PULUMI else terraform_files)(application, region, pieces)
        made |= {f"{each}/{name}": text for name, text in files.items()}
    return made


def _write(folder: Path, files: dict[str, str]) -> list[Path]:
    paths = {folder / name: text for name, text in files.items()}
    there = [str(path) for path in paths if path.exists()]
    if there:
        fail(f"{', '.join(there)}: there already, and not replaced; remove it, or name another --output", Exit.USAGE)
    try:
        for path, text in paths.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}")
    return list(paths)


def _say_what_now(
    application: str, formats: Sequence[Format], folder: Path, instances: Sequence[InstanceDetails]
) -> None:
    err.print(f"{len(instances)} instances; user data is left out, for it may hold a secret")
    if Format.PULUMI in formats:
        err.print(
            f"Pulumi: in {folder}/pulumi, `pulumi import --file import.json --generate-code=false --yes`, then `pulumi preview`"
        )
    if Format.TERRAFORM in formats:
        err.print(f"Terraform: in {folder}/terraform, `terraform init`, `terraform plan`, `terraform apply`")
    err.print(
        f"Use one of them. Then let rehost forget {application}, which removes nothing: docs/hand-over.md says how"
    )
