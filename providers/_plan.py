"""What a change of phase means, in sentences for whoever reviews it: they are shown by `pulumi preview --diff`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from providers._provider import Props
from providers._stack import Stack
from providers._windows import closed
from rehost.control import Application, ControlPlane, JobStatus, Phase
from rehost.text import duration


def plan(here: Stack, standing: Application | None, props: Props) -> list[str]:
    """The sentences, in the order in which things happen. Figures are of now; what nobody measured yet says so."""
    to, servers = Phase(props["phase"]), list(props["servers"])
    came_from = standing.phase if standing else None
    told = []
    if to is Phase.REPLICATE:
        told += _back(standing) if came_from else [f"{_these(servers)} replicated; nothing is launched"]
    elif to is Phase.TEST:
        told += _back(standing)
        told += [
            f"test instances appear, of the newest images: {_images(here.control, props)}",
            *([] if came_from is Phase.CUTOVER else ["sources are not touched; replication goes on"]),
        ]
    elif to is Phase.CUTOVER:
        told += _forward(here, standing, props)
    elif came_from is not Phase.COMPLETE:
        told += [
            "replication ends; superseded images and snapshots go, those in use stay",
            f"instances are protected against termination: {', '.join(servers)}",
            "sources stay as they are; there is no way back from here",
        ]
    return told


def _back(standing: Application | None) -> list[str]:
    """What the way back takes away."""
    if standing is None or not standing.phase.is_launched:
        return []
    if standing.phase is Phase.TEST:
        return [f"test instances go: {', '.join(standing.servers)}", "sources are not touched; replication goes on"]
    stopped = sorted(server for server, what in standing.sources.items() if what.get("action"))
    told = [f"instances go, with all that was written to them since the cutover: {', '.join(standing.servers)}"]
    if stopped:
        told.append(f"sources run again as before the cutover, once the instances are gone: {', '.join(stopped)}")
    else:
        told.append("sources were left running and are not touched")
    return [*told, "replication goes on, with a run at once"]


def _forward(here: Stack, standing: Application | None, props: Props) -> list[str]:
    told = []
    if props.get("force"):
        told.append(f"forced: it need not have been tested, because: {props['force']}")
    shut = closed(props.get("window"), datetime.now(UTC))
    if shut:
        told.append(shut)
    words = {
        "off": "sources are powered off",
        "quiesce": "sources are made to stand still",
        "keep": "sources are left running; what is written to them after the last run is lost",
    }
    for action, what in words.items():
        these = [server for server in props["servers"] if props["power"].get(server) == action]
        if these:
            told.append(f"{what}: {', '.join(these)}")
    told.append(f"a last run is taken of each; for now the newest images are: {_images(here.control, props)}")
    if standing is not None and standing.phase is Phase.TEST:
        told.append("test instances go when the last runs are there, and instances of those take their place")
    else:
        told.append("instances of the last runs appear")
    return [*told, f"the outage is estimated to be {_outage(here.control, standing, props)}"]


def _images(control: ControlPlane, props: Props) -> str:
    """How old the newest image of each server is."""
    now, known = control.now(), _statuses(control, props)
    ages = []
    for server in props["servers"]:
        status = known.get(server)
        since = status.age_from if status else None
        ages.append(f"{server} {duration((now - since).total_seconds())} old" if since else f"{server} has none yet")
    return ", ".join(ages)


def _outage(control: ControlPlane, standing: Application | None, props: Props) -> str:
    """From what was measured: each server's last run, and the launch of the test."""
    runs = []
    for server in props["servers"]:
        status = _statuses(control, props).get(server)
        run = control.runs.last_completed(status.job.id) if status else None
        if run is None or run.started_at is None or run.completed_at is None:
            return "unknown: not every server has a run that was measured"
        runs.append((run.completed_at - run.started_at).total_seconds())
    longest = f"the longest last run took {duration(max(runs))}"
    if standing is None or standing.launch_seconds is None:
        return f"at least {duration(max(runs))}: {longest}, launch and validation were not measured yet"
    total = max(runs) + standing.launch_seconds
    where = f"launch and validation {duration(standing.launch_seconds)} in {standing.launched_phase}"
    return f"{duration(total)}: {longest}, {where}"


def _statuses(control: ControlPlane, props: Props) -> Mapping[str, JobStatus]:
    found = control.status(stack=props["stack"], servers=props["servers"])
    return {each.job.spec.server: each for each in found}


def _these(servers: list[str]) -> str:
    return f"{', '.join(servers)} {'is' if len(servers) == 1 else 'are'}"
