"""What the preview does to each server and application: its resources, grouped and said for a person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rehost.plan._preview import CREATE, DELETE, REPLACE, SAME, UPDATE, Change, Preview, Resource, together
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

    @property
    def is_away(self) -> bool:
        """Whether its instance is stopped on the way, or another one takes its place."""
        return self.instance is not None and (self.instance.op == REPLACE or _stops(self.instance))

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
    former = base if preview.errors else None  # a preview that failed does not say where everything stands
    servers = {name: _server(name, homes.get(name), found) for name, found in by_server.items()}
    members: dict[str, list[ServerView]] = {}
    alone: list[ServerView] = []
    for name in dict.fromkeys((*head.servers, *servers)):
        home = homes.get(name)
        view = servers.get(name) or ServerView(name, home, STAYS, (), (), None, None)
        (members.setdefault(home, []) if home is not None else alone).append(view)
    names = dict.fromkeys((*head.applications, *by_application, *members))
    waves = _waves(head, base)
    applications = [
        _application(name, waves.get(name), by_application.get(name, []), members.get(name, []), head, former)
        for name in names
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
    by_kind: dict[str, Resource] = {}
    for each in found:
        # A server that moves to another application has another place in the tree: one goes, and another comes.
        by_kind[each.kind] = together(by_kind[each.kind], each) if each.kind in by_kind else each
    whats: set[str] = {STAYS}
    lines: list[str] = []
    changes: list[Change] = []
    for kind in ("ReplicationJob", "MachineImage", "Instance", "PostLaunch"):
        one = by_kind.get(kind)
        if one is None or (kind, one.op) not in _WORDS:
            continue
        what, words = _WORDS[kind, one.op]
        if kind == "ReplicationJob" and one.after.get("ended") and not one.before.get("ended"):
            words = "replication ends"
        if kind == "Instance" and one.op == UPDATE and _stops(one):
            words = "the instance is stopped, changed, and started again"
        because = f", because of {', '.join(one.reasons)}" if one.op == REPLACE and one.reasons else ""
        whats.add(what)
        lines.append(f"{words}{because}")
        if one.op in (UPDATE, REPLACE) and kind in ("ReplicationJob", "Instance"):
            changes += one.changes
    what = min(whats, key=_ORDER.index)
    return ServerView(
        name, application, what, tuple(lines), tuple(changes), by_kind.get("ReplicationJob"), by_kind.get("Instance")
    )


def _stops(instance: Resource) -> bool:
    """Another type takes a stop (docs/launch.md)."""
    return any(each.path == "instanceType" for each in instance.changes)


def _application(
    name: str,
    wave: str | None,
    resources: Iterable[Resource],
    servers: Iterable[ServerView],
    head: Estate,
    former: Estate | None,
) -> ApplicationView:
    found = list(resources)
    phase = next((each for each in found if each.kind == "Phase"), None)
    declared = head.applications.get(name)
    to = declared.phase if declared else None
    before = former.applications.get(name) if former else declared
    came_from = before.phase if before else None
    sentences: tuple[str, ...] = ()
    force, power = declared.force if declared else None, {}
    if phase is not None:
        came_from = str(phase.before["phase"]) if phase.before.get("phase") else None
        to = str(phase.after["phase"]) if phase.after.get("phase") else None
        power = dict(phase.after.get("power") or {})
        if phase.op != SAME:
            sentences = tuple(map(str, phase.after.get("plan") or ()))
    changed = [each for each in found if each.op != SAME and each.kind != "Preflight"]
    owner = declared.owner if declared else None
    return ApplicationView(name, wave, came_from, to, sentences, tuple(servers), tuple(changed), force, owner, power)
