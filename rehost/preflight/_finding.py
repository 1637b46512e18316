"""What was found of one application, and what of it is ignored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from rehost.concerns import ERROR, KINDS, SEVERITIES, WARNING
from rehost.text import named

#: Concerns of these parts come from a source: an error there refuses the server, whatever anybody ignores.
_OF_SOURCES = frozenset({"source", "images", "qemu", "vsphere", "hyperv", "azure"})


@dataclass(frozen=True)
class Finding:
    """A concern at hand. `servers` have it, all of them alike; it is about the whole application where they are none."""

    id: str
    severity: str
    application: str
    servers: tuple[str, ...]
    message: str
    remedy: str
    ignored: str | None = None  # the reason that the spec gives

    @property
    def counts(self) -> bool:
        return self.ignored is None

    @property
    def is_error(self) -> bool:
        return self.counts and self.severity == ERROR

    def __str__(self) -> str:
        whom = f"{named(self.servers)}: " if self.servers else ""
        return f"{whom}{self.message}; {self.remedy} [{self.id}]"

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "servers": list(self.servers)}


@dataclass(frozen=True)
class Raw:
    """A concern of one server, or of the application, before it is known how it weighs."""

    id: str
    message: str
    server: str | None = None
    severity: str | None = None  # None: as it usually is
    remedy: str | None = None


def weighed(raw: Raw, application: str, *, launches: bool, ignore: Mapping[str, str]) -> Finding:
    """What speaks against a launch is a warning as long as the phase launches nothing."""
    kind = KINDS[raw.id]
    severity = raw.severity or kind.severity
    if severity == ERROR and kind.about in ("launch", "quota") and not launches:
        severity = WARNING
    reason = ignore.get(raw.id)
    message, remedy = raw.message, raw.remedy or kind.remedy
    if reason is not None and severity == ERROR and (not kind.ignorable or kind.about in _OF_SOURCES):
        message, reason = f"{message} (ignoring it does not help: it fails all the same)", None
    servers = (raw.server,) if raw.server else ()
    return Finding(raw.id, severity, application, servers, message, remedy, reason)


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """The same concern of several servers once, the gravest first, then by application and id."""
    together: dict[Finding, list[str]] = {}
    for each in findings:
        together.setdefault(replace(each, servers=()), []).extend(each.servers)
    found = [replace(each, servers=tuple(dict.fromkeys(servers))) for each, servers in together.items()]
    return sorted(found, key=lambda each: (not each.counts, SEVERITIES.index(each.severity), each.application, each.id))
