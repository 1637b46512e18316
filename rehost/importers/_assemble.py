"""From what an inventory says to the entries of a spec."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rehost import spec
from rehost.importers._comments import annotate
from rehost.importers._draft import SECTIONS, Draft, Entry
from rehost.importers._errors import InventoryWrong
from rehost.importers._inventory import ApplicationFound, Inventory, Machine, Options, SourceFound
from rehost.importers._names import Names
from rehost.importers._remarks import Kind, Remark
from rehost.importers._values import fitting, shown

#: By type of source: the keys of a locator that it understands.
_LOCATORS = {
    "vsphere": ("uuid", "path", "moref", "name"),
    "hyperv": ("uuid", "name"),
    "azure": ("id", "name"),
    "images": ("name", "path", "disks"),
    "qemu": ("name",),
}
_AUTO = "no instance type is given: auto is the smallest that has the CPUs and memory of the source"


@dataclass(frozen=True)
class Existing:
    """What the spec has already that the import is for: names by section, machines, and the settings of its sources."""

    names: Mapping[str, frozenset[str]] = field(default_factory=dict)
    machines: frozenset[tuple[str, str]] = frozenset()
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def existing_in(folder: Path, *, replaced: Callable[[str], bool]) -> Existing:
    """Of the spec in `folder`, empty where there is none, without what stands in files that are `replaced`.

    Raises InventoryWrong where it has errors.
    """
    if not folder.is_dir() or not any(folder.rglob("*.y*ml")):
        return Existing()
    estate, findings = spec.check(folder)
    if estate is None:
        errors = [str(each) for each in findings if each.is_error]
        raise InventoryWrong(
            [*errors[:20], f"put the spec in {folder} right first, or write into another folder: --output"]
        )
    sections = (
        estate.sources,
        estate.schedules,
        estate.launch_configs,
        estate.servers,
        estate.applications,
        estate.waves,
    )

    def kept(section: str, entries: Iterable[str]) -> list[str]:
        return [each for each in entries if not replaced(Path(estate.position(section, each).path).name)]

    names = {section: frozenset(kept(section, entries)) for section, entries in zip(SECTIONS, sections, strict=True)}
    return Existing(
        names=names,
        machines=frozenset(
            _machine(estate.servers[each].source.name, estate.servers[each].locator) for each in names["servers"]
        ),
        sources={each: estate.sources[each].config for each in names["sources"]},
    )


def _place(config: Mapping[str, Any]) -> object:
    return config.get("endpoint") or config.get("scvmm", {}).get("endpoint")


def _machine(source: str, locator: Mapping[str, Any]) -> tuple[str, str]:
    return source, json.dumps(dict(locator), sort_keys=True)


def draft_of(inventory: Inventory, options: Options, existing: Existing) -> Draft:
    """Entries under names of their own. Nothing is lost on the way: what is not in an entry is a remark, or a comment."""
    return _Assembly(inventory, options, existing).draft()


class _Assembly:
    def __init__(self, inventory: Inventory, options: Options, existing: Existing) -> None:
        self.inventory = inventory
        self.options = options
        self.existing = existing
        self.names = {section: Names(existing.names.get(section, ())) for section in SECTIONS}
        self.made = Draft(inventory.tool, [], inventory.remarks)
        self.sources: dict[str, tuple[str, str]] = {}  # by key: name and type
        self.schedules: dict[str, str] = {}
        self.configs: dict[str, str] = {}
        self.machines = dict.fromkeys(existing.machines, "")
        self.servers: dict[int, str] = {}  # the name of each machine that is in the spec
        self.subjects: dict[str, list[Entry]] = {}  # by what the remarks call them

    def draft(self) -> Draft:
        used = {each.source for each in self.inventory.machines if each.refused is None}
        for key, found in self.inventory.sources.items():
            if self.options.source is not None:
                self.sources[key] = (self.options.source, self.options.source_type or "")
                self._forget(found)
            elif key in used and (known := self._known(found)) is not None:
                self.sources[key] = (known, str(found.settings["type"]))
                self._forget(found)
            elif key in used:
                name = self.names["sources"].give(found.wanted, otherwise="source")
                self.sources[key] = (name, str(found.settings["type"]))
                self.made.entries["sources"][name] = Entry(dict(found.settings), found.comments)
        applications = {
            key: self.names["applications"].give(each.wanted, otherwise="application")
            for key, each in self.inventory.applications.items()
        }
        for machine in self.inventory.machines:
            self._server(machine, applications.get(machine.application or ""))
        for key, found_application in self.inventory.applications.items():
            self._application(key, applications[key], found_application)
        for key, found_wave in self.inventory.waves.items():
            name = self.names["waves"].give(found_wave.wanted, otherwise="wave")
            members = [applications[each] for each, found in self.inventory.applications.items() if found.wave == key]
            members = [each for each in members if each in self.made.live("applications")]
            self._renamed("wave", found_wave.wanted, name)
            entry = self.made.entries["waves"][name] = Entry({"applications": members}, found_wave.comments)
            self.subjects.setdefault(shown(found_wave.wanted), []).append(entry)
            if found_wave.refused or not members:
                reason = found_wave.refused or "none of its applications is in the spec"
                self.made.leave_out("waves", name, reason)
        annotate(self.made, self.subjects)
        return self.made

    def _known(self, found: SourceFound) -> str | None:
        """The same vCenter, host, or folder, among the sources that the spec has."""
        for name, config in self.existing.sources.items():
            if config["type"] != found.settings["type"]:
                continue
            if name == found.wanted if config["type"] == "images" else _place(config) == _place(found.settings):
                return name
        return None

    def _forget(self, found: SourceFound) -> None:
        """What a source that is not written would have assumed is of no interest."""
        fields = ("credentials", "endpoint", "source")
        self.made.remarks[:] = [
            each
            for each in self.made.remarks
            if not (each.kind is Kind.ASSUMED and each.field in fields and each.subject == found.wanted)
        ]

    def _server(self, machine: Machine, application: str | None) -> None:
        source, kind = self.sources.get(machine.source, (machine.source, ""))
        locator, refused = self._locator(machine, kind)
        refused = machine.refused or refused
        if refused is None:
            identity = _machine(source, locator)
            other = self.machines.get(identity)
            if other == "":
                self._tell(Kind.LEFT_OUT, "the spec has this machine already", machine.name, where=machine.where)
                return
            if other is not None:
                refused = f"it is the same machine as {other}"
        name = self.names["servers"].give(machine.name, otherwise="server")
        body: dict[str, Any] = {**({"source": source} if source else {}), "locator": locator}
        if machine.schedule:
            body["schedule"] = self._schedule(machine.schedule)
        if machine.launch and refused is None:
            body["launchConfig"] = self._launch_config(machine, application, name)
        body |= machine.server
        if machine.image:
            body["image"] = machine.image
        if machine.tags:
            body["tags"] = machine.tags
        comments = [*machine.comments]
        if name != machine.name and refused is None:
            comments.insert(0, f"called {shown(machine.name)} there")
            self._renamed("server", machine.name, name)
        entry = self.made.entries["servers"][name] = Entry(body, comments, refused)
        self.subjects.setdefault(shown(machine.name), []).append(entry)
        if refused is None:
            self.machines[identity] = name
            self.servers[id(machine)] = name
        elif machine.refused is None:
            self._tell(Kind.LEFT_OUT, refused, machine.name, where=machine.where)

    def _locator(self, machine: Machine, kind: str) -> tuple[dict[str, Any], str | None]:
        for key, value in machine.locators.items():
            if key in _LOCATORS.get(kind, ()):
                made, problem = fitting("locator", key, value)
                if not problem:
                    return {key: made}, None
        ways = ", ".join(machine.locators) or "nothing"
        return dict(
            list(machine.locators.items())[:1]
        ), f"a source of type {kind or 'unknown'} cannot find it by what the inventory has: {ways}"

    def _schedule(self, settings: Mapping[str, Any]) -> str:
        key = json.dumps(settings, sort_keys=True)
        if key not in self.schedules:
            parts = [
                "once" if "runOnce" in settings else "continuous" if "continuous" in settings else "",
                f"every-{settings['every']}" if "every" in settings else "",
                f"keep-{settings['keepImages']}" if "keepImages" in settings else "",
                f"from-{settings['seedTime'][:10]}" if "seedTime" in settings else "",
            ]
            name = self.names["schedules"].give("-".join(filter(None, parts)), otherwise="schedule")
            self.schedules[key] = name
            self.made.entries["schedules"][name] = Entry(dict(settings))
        return self.schedules[key]

    def _launch_config(self, machine: Machine, application: str | None, server: str) -> str:
        launch = machine.launch
        if "instanceType" not in launch:
            launch = {"instanceType": "auto", **launch}
            self._tell(Kind.ASSUMED, _AUTO, server, field="instanceType", where=machine.where)
        own = "privateIp" in launch and launch["privateIp"] != "copy"
        key = json.dumps([launch, server if own else application], sort_keys=True)
        if key not in self.configs:
            wanted = server if own else f"{application or self.inventory.tool}-{launch['instanceType']}"
            name = self.names["launchConfigs"].give(wanted, otherwise="launch")
            self.configs[key] = name
            self.made.entries["launchConfigs"][name] = Entry(dict(launch))
        return self.configs[key]

    def _application(self, key: str, name: str, found: ApplicationFound) -> None:
        members: dict[str, list[str]] = {}
        for machine in self.inventory.machines:
            if machine.application == key and id(machine) in self.servers:
                members.setdefault(machine.group, []).append(self.servers[id(machine)])
        self._renamed("application", found.wanted, name)
        given = Names()
        groups = {group: given.give(group or "servers", otherwise="servers") for group in members}
        for group, called in groups.items():
            if group and called != group:
                self._renamed(f"group of {name}", group, called)
        body: dict[str, Any] = {"phase": "replicate"}
        if found.owner:
            body["owner"] = found.owner
        body["groups"] = {}
        for group, servers in members.items():
            after = [groups[other] for other in _before(group, members, found.order)]
            body["groups"][groups[group]] = {"servers": servers, **({"after": after} if after else {})}
        if found.tags:
            body["tags"] = found.tags
        entry = self.made.entries["applications"][name] = Entry(body, found.comments)
        self.subjects.setdefault(shown(found.wanted), []).append(entry)
        if found.refused or not members:
            self.made.leave_out("applications", name, found.refused or "none of its servers is in the spec")

    def _renamed(self, what: str, wanted: str, name: str) -> None:
        if name != wanted:
            reason = f"the {what} is called {name} in the spec: a name has letters, digits, `.`, `-` and `_`, and is there once"
            self._tell(Kind.CHANGED, reason, wanted, field="name")

    def _tell(self, kind: Kind, reason: str, subject: str, *, field: str = "", where: str = "") -> None:
        self.made.remarks.append(Remark(kind, reason, shown(subject), field, "", where))


def _before(group: str, groups: Mapping[str, Any], order: Mapping[str, int]) -> list[str]:
    """The groups of the nearest lower launch order."""
    if group not in order:
        return []
    lower = [order[each] for each in groups if each in order and order[each] < order[group]]
    return [each for each in groups if lower and order.get(each) == max(lower)]
