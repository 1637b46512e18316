"""Whom `rehost plan` asks: the control plane, the sources and AWS. Who cannot be asked is named in the plan, and does not end it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from rehost.aws import Aws, AwsError, AwsSettings
from rehost.cli._log import log_to_standard_error
from rehost.cli._project import Project
from rehost.connector import database_path, is_embedded, resolve_from_aws
from rehost.control import ControlError, ControlPlane
from rehost.plan import Known, KnownServer, Preview, ask_control, candidates, full_copies, nothing_known
from rehost.preflight import ask
from rehost.spec import Estate
from rehost.text import named


def known_of(project: Project, preview: Preview, estate: Estate) -> Known:
    """What the control plane tells; that it cannot be asked is part of the plan, not the end of it."""
    if is_embedded(project.database) and not database_path(project.database, project.root).exists():
        return nothing_known("there is no control plane here (REHOST_DATABASE names another one)")
    try:
        control = ControlPlane.open(project.database)
        try:
            return ask_control(control, preview.stack, estate)
        finally:
            control.close()
    except ControlError as error:
        return nothing_known(str(error))


def sources_are_near(project: Project, wanted: bool | None) -> bool:
    """As the providers have it: with the embedded control plane, this machine is the one beside the sources."""
    return is_embedded(project.database) if wanted is None else wanted


def with_sizes(known: Known, preview: Preview, estate: Estate, root: Path, missing: list[str]) -> Known:
    """The sizes of what is to be copied whole and that neither a run nor a catalog has seen, from the sources themselves."""
    wanted = [name for name in full_copies(preview) if name in estate.servers and known.of(name).size is None]
    if not wanted:
        return known
    log_to_standard_error()
    resolve_from_aws(_aws_settings(preview))
    told = ask(estate, wanted, root)
    found = {
        name: KnownServer(disks=tuple(sizes), full_bytes=told.allocated.get(name)) for name, sizes in told.sizes.items()
    }
    if away := [name for name in wanted if name not in found]:
        why = next((each.message for name in away for each in told.raws.get(name, ())), "it says nothing")
        missing.append(f"what the sources know of {named(away)}: {why}")
    return replace(
        known, servers={**known.servers, **{name: _sized(known, name, each) for name, each in found.items()}}
    )


def _sized(known: Known, name: str, found: KnownServer) -> KnownServer:
    return replace(known.of(name), disks=found.disks, full_bytes=found.full_bytes)


def used_images(preview: Preview, known: Known, missing: list[str]) -> Collection[str] | None:
    """Those of the images that go which an instance uses; None where AWS did not say."""
    images = candidates(preview, known)
    if not images:
        return set()
    try:
        return set(Aws(_aws_settings(preview)).images.in_use(images))
    except AwsError as error:
        missing.append(f"AWS could not be asked: {error}")
        return None


def _aws_settings(preview: Preview) -> AwsSettings:
    """Those of the stack: its configuration stands in the preview."""
    config = {
        key.rsplit(":", 1)[-1]: value for key, value in preview.config.items() if key.startswith(f"{preview.project}:")
    }
    return AwsSettings(region=config.get("region"), profile=config.get("profile"), endpoint=config.get("endpoint"))
