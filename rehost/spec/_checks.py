"""What a schema cannot say: names that lead nowhere, things in two places at once, cycles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rehost.spec import _waves
from rehost.spec._findings import Finding, nearest, short
from rehost.spec._merge import Merged
from rehost.spec._yaml import Path

_REFERENCES = (("source", "sources"), ("schedule", "schedules"), ("launchConfig", "launchConfigs"))
_TOLD = 8  # names of a cycle that are written out


def findings(spec: Merged) -> Iterator[Finding]:
    yield from _references(spec)
    yield from _homes(spec)
    yield from _launches(spec)
    yield from _power(spec)
    yield from _cycles(spec)
    yield from _waves.findings(spec)


def _references(spec: Merged) -> Iterator[Finding]:
    for server in spec.names("servers"):
        for key, section in _REFERENCES:
            name = spec.text("servers", server, key)
            if name is not None:
                yield from dangling(spec, section, name, ("servers", server, key))
    for path, server in members(spec):
        yield from dangling(spec, "servers", server, path)
    for application in spec.names("applications"):
        groups = dict.fromkeys(spec.names("applications", application, "groups"))
        for group in groups:
            for path, other in spec.texts("applications", application, "groups", group, "after"):
                if other not in groups:
                    message = f"application {short(application)} has no group {short(other)}"
                    yield Finding.at(spec.place(*path), "dangling-name", message, nearest(other, groups))
    for wave in spec.names("waves"):
        for path, application in spec.texts("waves", wave, "applications"):
            yield from dangling(spec, "applications", application, path)
        for path, other in spec.texts("waves", wave, "after"):
            yield from dangling(spec, "waves", other, path)


def dangling(spec: Merged, section: str, name: str, path: Path) -> Iterator[Finding]:
    known = spec.entries[section]
    if name not in known and section not in spec.unsure:
        hint = nearest(name, known) if known else f"there are no {section}"
        yield Finding.at(spec.place(*path), "dangling-name", f"{short(name)} is not in {section}", hint)


def members(spec: Merged) -> Iterator[tuple[Path, str]]:
    """Each mention of a server in a group, with its path."""
    for application in spec.names("applications"):
        for group in spec.names("applications", application, "groups"):
            yield from spec.texts("applications", application, "groups", group, "servers")


def _homes(spec: Merged) -> Iterator[Finding]:
    """A server is in one group of one application, an application in one wave."""
    groups: dict[str, str] = {}
    for path, server in members(spec):
        home = f"group {short(str(path[3]))} of application {short(str(path[1]))}"
        if server in groups:
            message = f"server {short(server)} is in {groups[server]} already"
            yield Finding.at(spec.place(*path), "two-homes", message, "a server has one place in the launch order")
        groups.setdefault(server, home)
    if "applications" not in spec.unsure and not any(path[0] == "applications" for path in spec.wrong):
        for server in spec.names("servers"):
            if server not in groups and not spec.is_wrong("servers", server):
                message = f"server {short(server)} is in no application"
                hint = "it replicates, but nothing waits for it or launches it"
                where = spec.place("servers", server)
                yield Finding.at(where, "no-application", message, hint, severity="warning")
    waves: dict[str, str] = {}
    for wave in spec.names("waves"):
        for path, application in spec.texts("waves", wave, "applications"):
            if application in waves:
                message = f"application {short(application)} is in wave {short(waves[application])} already"
                yield Finding.at(spec.place(*path), "two-homes", message)
            waves.setdefault(application, wave)


def _launches(spec: Merged) -> Iterator[Finding]:
    for path, server in members(spec):
        phase = spec.text("applications", path[1], "phase")
        entry = spec.get("servers", server)
        if phase not in (None, "replicate") and isinstance(entry, Mapping) and "launchConfig" not in entry:
            message = f"server {short(server)} has no launchConfig"
            hint = f"application {short(str(path[1]))} is in phase {phase}, which launches it"
            yield Finding.at(spec.place("servers", server), "no-launch-config", message, hint)


def _power(spec: Merged) -> Iterator[Finding]:
    for path, server in members(spec):
        where = ("applications", path[1], "cutover", "power")
        power, source = spec.text(*where), spec.text("servers", server, "source")
        if power in ("off", "quiesce") and source and spec.text("sources", source, "type") == "images":
            message = f"power: {power} cannot be done to server {short(server)}: its source is a folder of images"
            yield Finding.at(spec.place(*where), "no-power", message, "use power: keep, and stop the machine yourself")


def _cycles(spec: Merged) -> Iterator[Finding]:
    for application in spec.names("applications"):
        waits: dict[str, list[str]] = {group: [] for group in spec.names("applications", application, "groups")}
        for group, others in waits.items():
            after = spec.texts("applications", application, "groups", group, "after")
            others.extend(other for _path, other in after if other in waits)
        for cycle in cycles_of(waits):
            where = spec.place("applications", application, "groups", cycle[0], "after")
            message = f"groups of application {short(application)} wait for each other: {_told(cycle)}"
            yield Finding.at(where, "cycle", message)
    follows: dict[str, list[str]] = {wave: [] for wave in spec.names("waves")}
    for wave, earlier in follows.items():
        earlier.extend(other for _path, other in spec.texts("waves", wave, "after") if other in follows)
    for cycle in cycles_of(follows):
        message = f"waves wait for each other: {_told(cycle)}"
        yield Finding.at(spec.place("waves", cycle[0], "after"), "cycle", message)


def _told(cycle: list[str]) -> str:
    return " after ".join([*map(short, cycle[:_TOLD]), *(["..."] if len(cycle) > _TOLD else []), short(cycle[0])])


def cycles_of(waits: Mapping[str, list[str]]) -> Iterator[list[str]]:
    """Names of which each waits for the next, and the last for the first. At least one for each knot of them.

    A walk in depth, in linear time, that does not recurse.
    """
    done: set[str] = set()
    for start in waits:
        trail, ahead = [start], [iter(waits[start])]
        place = {start: 0}  # of each name on the trail
        while start not in done:
            other = next(ahead[-1], None)
            if other is None:
                ahead.pop()
                name = trail.pop()
                del place[name]
                done.add(name)
            elif other in place:
                yield trail[place[other] :]
            elif other not in done:
                place[other] = len(trail)
                trail.append(other)
                ahead.append(iter(waits[other]))
