"""What an inventory says, before it becomes entries of a spec: the same for every tool that it may come from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rehost.importers._errors import InventoryWrong
from rehost.importers._remarks import Kind, Remark
from rehost.importers._values import fitting, is_tag_key, shown

#: Of one import; ten times the largest estate that a stack holds.
MAX_MACHINES = 50_000
_TOLD = 100
#: Columns and fields whose values are not repeated anywhere.
_SECRET = re.compile(r"passw|secret|token|credential|api.?key|kennwort|\bpw\b|\bpwd\b", re.IGNORECASE)


@dataclass(frozen=True)
class Options:
    """What the caller decides because no inventory can: `source` is the name of a source that the spec has already."""

    now: datetime
    source: str | None = None
    source_type: str | None = None  # that of `source`
    encoding: str = "utf-8"
    delimiter: str | None = None  # found by the header without it
    region: str | None = None
    account: str | None = None
    everything: bool = False  # also servers that nobody meant to move
    columns: Mapping[str, str] = field(default_factory=dict)  # a key of the spec -> a column of a table
    ignored: frozenset[str] = frozenset()  # columns that nobody needs to be told of


@dataclass
class SourceFound:
    """A place servers live, as far as the inventory tells."""

    wanted: str
    settings: dict[str, Any]
    comments: list[str] = field(default_factory=list)


@dataclass
class Machine:
    """One server. `locators` has every way to find it, the best first; which of them is used depends on the source's type."""

    name: str
    where: str
    source: str
    locators: dict[str, Any]
    schedule: dict[str, Any] = field(default_factory=dict)
    image: dict[str, Any] = field(default_factory=dict)
    launch: dict[str, Any] = field(default_factory=dict)
    server: dict[str, Any] = field(default_factory=dict)  # throttle, quiesce, and names that the spec has already
    tags: dict[str, str] = field(default_factory=dict)
    application: str | None = None  # a key of `applications`
    group: str = ""
    comments: list[str] = field(default_factory=list)
    refused: str | None = None  # why its entry is a comment only


@dataclass
class ApplicationFound:
    wanted: str
    wave: str | None = None  # a key of `waves`
    owner: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    order: dict[str, int] = field(default_factory=dict)  # of its groups; those with a greater one come later
    comments: list[str] = field(default_factory=list)
    refused: str | None = None


@dataclass
class WaveFound:
    wanted: str
    comments: list[str] = field(default_factory=list)
    refused: str | None = None


class Inventory:
    """All of it, with the remarks on the way."""

    def __init__(self, tool: str) -> None:
        self.tool = tool
        self.sources: dict[str, SourceFound] = {}
        self.machines: list[Machine] = []
        self.applications: dict[str, ApplicationFound] = {}
        self.waves: dict[str, WaveFound] = {}
        self.remarks: list[Remark] = []
        self.problems: list[str] = []

    def tell(
        self, kind: Kind, reason: str, subject: str = "", *, field: str = "", value: Any = "", where: str = ""
    ) -> None:
        text = "" if value == "" or _SECRET.search(field) else shown(value)
        self.remarks.append(Remark(kind, reason, shown(subject), shown(field), text, where))

    def add(self, machine: Machine) -> None:
        """Raises InventoryWrong for more than MAX_MACHINES."""
        if len(self.machines) >= MAX_MACHINES:
            raise InventoryWrong([f"{machine.where}: there are more than {MAX_MACHINES} servers; import them in parts"])
        self.machines.append(machine)
        if machine.refused is not None:
            self.tell(Kind.LEFT_OUT, machine.refused, machine.name, where=machine.where)

    def carry(self, machine: Machine, section: str, path: str, value: Any, *, field: str) -> bool:
        """Put a value into a machine's image, launch or server keys if the spec takes it there; remark on it if not."""
        if value is None or value == "" or value == []:
            return False
        made, problem = fitting(section, path, value)
        if problem:
            self.tell(Kind.NOT_CARRIED, problem, machine.name, field=field, value=value, where=machine.where)
            return False
        place = {"image": machine.image, "launchConfig": machine.launch, "server": machine.server}[section]
        *outer, last = path.split(".")
        for each in outer:
            place = place.setdefault(each, {})
        place[last] = made
        return True

    def tag(
        self, machine: Machine | ApplicationFound, name: str, key: str, value: str, *, where: str, field: str
    ) -> None:
        """The same for a tag."""
        made, problem = fitting("tags", "x", value)
        if made is None and not value:
            return
        if problem or not is_tag_key(key):
            reason = problem or f"{shown(key)} cannot be a tag's key: those of aws: and rehost: are taken"
            self.tell(Kind.NOT_CARRIED, reason, name, field=field, value=value, where=where)
            return
        machine.tags[key] = made

    def application(self, key: str) -> ApplicationFound:
        return self.applications.setdefault(key, ApplicationFound(key))

    def join_wave(self, application: ApplicationFound, wave: str, where: str) -> None:
        """An application is in one wave: another one than its first is told of."""
        self.waves.setdefault(wave, WaveFound(wave))
        if application.wave is None:
            application.wave = wave
        elif application.wave != wave:
            reason = f"an application is in one wave; {shown(application.wave)} came first"
            self.tell(Kind.NOT_CARRIED, reason, application.wanted, field="wave", value=wave, where=where)

    def finish(self) -> Inventory:
        """Raises InventoryWrong with all problems that were met."""
        if self.problems:
            told = self.problems[:_TOLD]
            if len(self.problems) > _TOLD:
                told.append(f"... and {len(self.problems) - _TOLD} more")
            raise InventoryWrong(told)
        return self
