"""A spec in the making: entries by section, of which any can still be taken back, with all that hangs on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rehost.importers._remarks import Kind, Remark

#: In the order in which they are written.
SECTIONS = ("sources", "schedules", "launchConfigs", "servers", "applications", "waves")
_REFERENCES = {"sources": "source", "schedules": "schedule", "launchConfigs": "launchConfig"}


@dataclass
class Entry:
    body: dict[str, Any]
    comments: list[str] = field(default_factory=list)
    refused: str | None = None  # why it is written as a comment


@dataclass
class Draft:
    tool: str
    header: list[str]
    remarks: list[Remark]
    entries: dict[str, dict[str, Entry]] = field(default_factory=lambda: {section: {} for section in SECTIONS})

    def live(self, section: str) -> dict[str, Entry]:
        return {name: each for name, each in self.entries[section].items() if each.refused is None}

    def leave_out(self, section: str, name: str, reason: str) -> None:
        """Make a comment of an entry, and of what cannot stand without it."""
        entry = self.entries[section][name]
        if entry.refused is not None:
            return
        entry.refused = reason
        if section == "sources":
            for server in self._users("source", name):
                self.leave_out("servers", server, f"its source {name} is left out")
        elif section in _REFERENCES:
            key = _REFERENCES[section]
            for server in self._users(key, name):
                del self.entries["servers"][server].body[key]
                self._tell(Kind.NOT_CARRIED, f"{key} {name} is left out: {reason}", server)
            self._tell(Kind.LEFT_OUT, reason, name)
        else:
            self._tell(Kind.LEFT_OUT, reason, name)
        if section == "servers":
            for application in list(self.live("applications")):
                self._without_server(application, name)
        elif section == "applications":
            for wave, each in self.live("waves").items():
                each.body["applications"] = [other for other in each.body["applications"] if other != name]
                if not each.body["applications"]:
                    self.leave_out("waves", wave, "none of its applications is in the spec")

    def _users(self, key: str, name: str) -> Iterator[str]:
        for server, each in list(self.live("servers").items()):
            if each.body.get(key) == name:
                yield server

    def _without_server(self, application: str, server: str) -> None:
        groups = self.entries["applications"][application].body["groups"]
        for group, each in list(groups.items()):
            if server not in each["servers"]:
                continue
            each["servers"] = [other for other in each["servers"] if other != server]
            if not each["servers"]:
                _without_group(groups, group)
        if not groups:
            self.leave_out("applications", application, "none of its servers is in the spec")

    def _tell(self, kind: Kind, reason: str, subject: str) -> None:
        self.remarks.append(Remark(kind, reason, subject))


def _without_group(groups: dict[str, Any], gone: str) -> None:
    """Those that came after it come after what it came after."""
    before = groups.pop(gone).get("after", [])
    for each in groups.values():
        after = each.get("after", [])
        if gone in after:
            kept = list(dict.fromkeys([*(other for other in after if other != gone), *before]))
            each.pop("after")
            if kept:
                each["after"] = kept
