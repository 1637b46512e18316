"""What the preview does to each server and application: its resources, grouped and said for a person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rehost.plan._preview import CREATE, DELETE, REPLACE, SAME, UPDATE, Change, Preview, Resource
from rehost.spec import Estate

STARTS, CHANGES, REPLACED, GOES, STAYS = "starts", "changes", "replaced", "goes", "stays"
#: The gravest first: what is said of a server with several.
_ORDER = (GOES, REPLACED, STARTS, CHANGES, STAYS)
_OF_SERVERS = frozenset({"ReplicationJob", "MachineImage", "Instance", "PostLaunch"})
_OF_APPLICATIONS = frozenset({"Phase", "Readiness", "Cutover", "Milestone", "Validation", "Preflight"})

_WORDS = {
    ("ReplicationJob", CREATE): (STARTS, "replication starts"),
    ("ReplicationJob", UPDATE): (CHANGES, "replication changes"),
    ("ReplicationJob", REPLACE): (REPLACED, "replication begins anew: the former job goes, with its images"),
    ("ReplicationJob", DELETE): (GOES, "replication goes, with its images"),
    ("Instance", CREATE): (STARTS, "an instance starts"),
    ("Instance", UPDATE): (CHANGES, "the instance changes in place"),
    ("Instance", REPLACE): (REPLACED, "the instance is replaced"),
    ("Instance", DELETE): (GOES, "the instance goes"),
    ("MachineImage", REPLACE): (CHANGES, "another image is pinned"),
    ("PostLaunch", CREATE): (CHANGES, "post-launch actions run"),
    ("PostLaunch", UPDATE): (CHANGES, "post-launch actions run again"),
    ("PostLaunch", REPLACE): (CHANGES, "post-launch actions run again"),
}


@dataclass(frozen=True)
class ServerView:
    name: str
    application: str | None
    what: str
    lines: tuple[str, ...]
    changes: tuple[Change, ...]
    job: Resource | None
    instance: Resource | None

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "application": self.application,
            "what": self.what,
            "lines": list(self.lines),
            "changes": [each.as_dict() for each in self.changes],
            "replication": self.job.op if self.job else None,
            "instance": self.instance.op if self.instance else None,
        }


@dataclass(frozen=True)
class ApplicationView:
    """`came_from` None: it is new. `to` None: it goes. `sentences` are the provider's own about a change of phase."""

    name: str
    wave: str | None
    came_from: str | None
    to: str | None
    sentences: tuple[str, ...]
    servers: tuple[ServerView, ...]
    others: tuple[Resource, ...] = ()  # resources of the application itself that change
    force: str | None = None
    owner: str | None = None
    power: Mapping[str, str] = field(default_factory=dict)  # what a cutover does to each source

    @property
    def enters(self) -> str | None:
        """The phase that it comes to by this change."""
        return self.to if self.to != self.came_from else None

    @property
    def is_touched(self) -> bool:
        return (
            bool(self.enters)
            or self.to is None
            or bool(self.others)
            or any(each.what != STAYS for each in self.servers)
        )

    def count(self, kind: str, *ops: str) -> int:
        picked = (each.job if kind == "ReplicationJob" else each.instance for each in self.servers)
        return sum(each is not None and each.op in ops for each in picked)


@dataclass(frozen=True)
class Views:
    applications: tuple[ApplicationView, ...]
    alone: tuple[ServerView, ...]  # servers of no application
    others: tuple[Resource, ...]  # resources that are not of rehost, and change

    @property
    def servers(self) -> dict[str, ServerView]:
        found = [*(server for each in self.applications for server in each.servers), *self.alone]
        return {each.name: each for each in found}


def views(preview: Preview, head: Estate, base: Estate | None) -> Views:
    """In the order of the spec; what is no longer in it comes last."""
    by_server: dict[str, list[Resource]] = {}
    by_application: dict[str, list[Resource]] = {}
    others: list[Resource] = []
    for each in preview.resources:
        if each.kind in _OF_SERVERS:
            by_server.setdefault(str(each.inputs.get("server", each.name)), []).append(each)
        elif each.kind in _OF_APPLICATIONS:
            by_application.setdefault(str(each.inputs.get("application", each.name)), []).append(each)
        elif each.op != SAME and not each.kind.startswith(("rehost:index:", "pulumi:")):
            others.append(each)
    homes = _homes(head, base, by_server)
    servers = {name: _server(name, homes.get(name), found) for name, found in by_server.items()}
    order = [*head.servers, *(each for each in servers if each not in head.servers)]
    members: dict[str, list[ServerView]] = {}
    alone = []
    for name in order:
        if name in servers:
            home = homes.get(name)
            (members.setdefault(home, []) if home is not None else alone).append(servers[name])
    names = dict.fromkeys((*head.applications, *by_application, *members))
    waves = _waves(head, base)
    applications = [
        _application(name, waves.get(name), by_application.get(name, []), members.get(name, []), head)
        for name in names
        if name in by_application or name in members
    ]
    return Views(tuple(applications), tuple(alone), tuple(others))


def _homes(head: Estate, base: Estate | None, by_server: Mapping[str, list[Resource]]) -> dict[str, str]:
    """By server, its application: by the spec, else by the version before, else by its job."""
    found: dict[str, str] = {}
    for server, resources in by_server.items():
        job = next((each for each in resources if each.kind == "ReplicationJob"), None)
        if job is not None and job.inputs.get("application"):
            found[server] = str(job.inputs["application"])
    for estate in filter(None, (base, head)):
        found |= {server: each.name for each in estate.applications.values() for server in each.servers}
    alone = head.servers.keys() - {server for each in head.applications.values() for server in each.servers}
    return {server: name for server, name in found.items() if server not in alone}


def _waves(head: Estate, base: Estate | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for estate in filter(None, (base, head)):
        found |= {
            application: wave.name
            for wave in estate.waves.values()
            for application in wave.applications
            if estate is head or application not in head.applications
        }
    return found


def _server(name: str, application: str | None, found: Iterable[Resource]) -> ServerView:
    by_kind = {each.kind: each for each in found}
    whats, lines, changes = {STAYS}, [], []
    for kind in ("ReplicationJob", "MachineImage", "Instance", "PostLaunch"):
        each = by_kind.get(kind)
        if each is None or (kind, each.op) not in _WORDS:
            continue
        what, words = _WORDS[kind, each.op]
        if kind == "ReplicationJob" and each.after.get("ended") and not each.before.get("ended"):
            words = "replication ends"
        if kind == "Instance" and each.op == UPDATE and _stops(each):
            words = "the instance is stopped, changed, and started again"
        because = f", because of {', '.join(each.reasons)}" if each.op == REPLACE and each.reasons else ""
        whats.add(what)
        lines.append(f"{words}{because}")
        if each.op in (UPDATE, REPLACE):
            changes += each.changes
    what = min(whats, key=_ORDER.index)
    return ServerView(
        name, application, what, tuple(lines), tuple(changes), by_kind.get("ReplicationJob"), by_kind.get("Instance")
    )


def _stops(instance: Resource) -> bool:
    """Another type takes a stop (docs/launch.md)."""
    return any(each.path == "instanceType" for each in instance.changes)


def _application(
    name: str, wave: str | None, resources: Iterable[Resource], servers: Iterable[ServerView], head: Estate
) -> ApplicationView:
    found = list(resources)
    phase = next((each for each in found if each.kind == "Phase"), None)
    declared = head.applications.get(name)
    to = declared.phase if declared else None
    came_from = to
    sentences: tuple[str, ...] = ()
    force, power = declared.force if declared else None, {}
    if phase is not None:
        came_from = str(phase.before["phase"]) if phase.before.get("phase") else None
        to = str(phase.after["phase"]) if phase.after.get("phase") else None
        power = dict(phase.after.get("power") or {})
        if phase.op != SAME:
            sentences = tuple(map(str, phase.after.get("plan") or ()))
    changed = [each for each in found if each.op != SAME and each.kind not in ("Phase", "Preflight")]
    owner = declared.owner if declared else None
    return ApplicationView(name, wave, came_from, to, sentences, tuple(servers), tuple(changed), force, owner, power)
