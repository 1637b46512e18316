"""What a schema cannot say: names that lead nowhere, cycles, things that cannot go together."""

from __future__ import annotations

import graphlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from rehost.spec._findings import Finding, Position, nearest

Entry = Mapping[str, Any]


class Merged:
    """The collections of all files, with a position for everything in them."""

    def __init__(self) -> None:
        self.entries: dict[str, dict[str, Entry]] = {}
        self.where: dict[tuple[str | int, ...], Position] = {}
        self.broken: set[tuple[str, str]] = set()  # entries that the schema refuses: names that exist, and no more

    def of(self, collection: str) -> dict[str, Entry]:
        return self.entries.get(collection, {})

    def sound(self, collection: str) -> Iterator[tuple[str, Any]]:
        """The entries whose shape can be relied on."""
        for name, entry in self.of(collection).items():
            if (collection, name) not in self.broken and isinstance(entry, Mapping):
                yield name, entry

    def place(self, *path: str | int) -> Position:
        while path not in self.where:
            path = path[:-1]
        return self.where[path]


def findings(spec: Merged) -> Iterator[Finding]:
    yield from _references(spec)
    yield from _belonging(spec)
    yield from _cycles(spec)
    yield from _windows(spec)
    yield from _images(spec)


def _references(spec: Merged) -> Iterator[Finding]:
    servers = dict(spec.sound("servers"))
    for name, server in spec.of("servers").items():
        for key, collection in (("source", "sources"), ("schedule", "schedules"), ("launchConfig", "launchConfigs")):
            if isinstance(server, Mapping) and isinstance(server.get(key), str):
                yield from _dangling(spec, collection, server[key], ("servers", name, key))
    for name, application in spec.sound("applications"):
        groups = application["groups"]
        for group, entry in groups.items():
            path = ("applications", name, "groups", group)
            for number, server in enumerate(entry["servers"]):
                yield from _dangling(spec, "servers", server, (*path, "servers", number))
                launched = application.get("phase", "replicate") != "replicate"
                if launched and server in servers and "launchConfig" not in servers[server]:
                    yield Finding(
                        spec.place("servers", server),
                        f"server {server} has no launchConfig, but application {name} is in phase {application['phase']}",
                        "no-launch-config",
                        nearest("", spec.of("launchConfigs")),
                    )
            for number, other in enumerate(entry.get("after", ())):
                if other not in groups:
                    where = spec.place(*path, "after", number)
                    yield Finding(
                        where, f"application {name} has no group {other!r}", "dangling-name", nearest(other, groups)
                    )
    for name, wave in spec.sound("waves"):
        for number, application_name in enumerate(wave["applications"]):
            yield from _dangling(spec, "applications", application_name, ("waves", name, "applications", number))


def _dangling(spec: Merged, collection: str, name: str, path: tuple[str | int, ...]) -> Iterator[Finding]:
    if name not in spec.of(collection):
        known = spec.of(collection)
        hint = nearest(name, known) if known else f"there are no {collection}"
        yield Finding(spec.place(*path), f"there is no {name!r} in {collection}", "dangling-name", hint)


def _belonging(spec: Merged) -> Iterator[Finding]:
    """A server is in one group of one application, an application in one wave."""
    home: dict[str, str] = {}
    for name, application in spec.sound("applications"):
        for group, entry in application["groups"].items():
            for number, server in enumerate(entry["servers"]):
                place = f"group {group} of application {name}"
                if server in home:
                    where = spec.place("applications", name, "groups", group, "servers", number)
                    yield Finding(where, f"server {server} is in {home[server]} already", "two-homes")
                home.setdefault(server, place)
    sound = all(("applications", name) not in spec.broken for name in spec.of("applications"))
    for server in spec.of("servers") if sound else ():
        if server not in home:
            where = spec.place("servers", server)
            yield Finding(
                where,
                f"server {server} is in no application: it replicates, but nothing waits for it or launches it",
                "no-application",
                severity="warning",
            )
    waves: dict[str, str] = {}
    for name, wave in spec.sound("waves"):
        for number, application_name in enumerate(wave["applications"]):
            if application_name in waves:
                where = spec.place("waves", name, "applications", number)
                yield Finding(
                    where, f"application {application_name} is in wave {waves[application_name]} already", "two-homes"
                )
            waves.setdefault(application_name, name)


def _cycles(spec: Merged) -> Iterator[Finding]:
    for name, application in spec.sound("applications"):
        groups = application["groups"]
        graph = {group: [each for each in entry.get("after", ()) if each in groups] for group, entry in groups.items()}
        try:
            graphlib.TopologicalSorter(graph).prepare()
        except graphlib.CycleError as error:
            cycle = list(reversed(error.args[1]))
            where = spec.place("applications", name, "groups", cycle[0], "after")
            yield Finding(
                where, f"the groups of application {name} wait for each other: {' after '.join(cycle)}", "cycle"
            )


def _windows(spec: Merged) -> Iterator[Finding]:
    for name, wave in spec.sound("waves"):
        window = wave.get("window")
        if not window:
            continue
        moments = {}
        for key in ("opens", "closes"):
            moment = moment_of(window[key])
            if moment is None:
                where = spec.place("waves", name, "window", key)
                yield Finding(
                    where,
                    f"{window[key]!r} is not a moment with a time zone",
                    "wrong-value",
                    "for example 2026-12-05T22:00:00Z",
                )
            else:
                moments[key] = moment
        if len(moments) == 2 and moments["closes"] <= moments["opens"]:
            yield Finding(
                spec.place("waves", name, "window", "closes"),
                f"the window of wave {name} closes before it opens",
                "window",
            )


def moment_of(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _images(spec: Merged) -> Iterator[Finding]:
    """What AWS would refuse hours later."""
    for name, server in spec.sound("servers"):
        image = server.get("image", {})
        imports = image.get("conversion", "import") == "import"
        if imports and image.get("architecture") == "arm64":
            yield Finding(
                spec.place("servers", name, "image", "architecture"),
                "VM import takes no arm64 machines",
                "import-limit",
                "conversion: register",
            )
        if "kmsKey" in image and not image.get("encrypt"):
            yield Finding(
                spec.place("servers", name, "image", "kmsKey"),
                "kmsKey without encrypt: true would be ignored",
                "key-without-encryption",
                "add encrypt: true",
            )
        for key in ("license", "role"):
            if not imports and image.get(key, "auto") != "auto":
                yield Finding(
                    spec.place("servers", name, "image", key), f"{key} belongs to conversion: import", "import-only"
                )
        if imports and len(server["locator"].get("disks", ())) > 21:
            yield Finding(
                spec.place("servers", name, "locator", "disks"),
                "VM import takes at most 21 disks",
                "import-limit",
                "conversion: register",
            )
