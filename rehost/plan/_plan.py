"""A plan: plain data, made by `make_plan`. Renderers only lay it out; `as_dict` is what `--format json` prints and policies see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from rehost.plan._cost import Cost, Monthly
from rehost.plan._differences import EntryChange
from rehost.plan._movement import Movement
from rehost.plan._policies import Verdict
from rehost.plan._preview import Preview
from rehost.plan._retention import Going
from rehost.plan._risks import Risk
from rehost.plan._views import ApplicationView, ServerView, Views
from rehost.spec import Estate, Wave

VERSION = "rehost.plan/v1"
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True)
class Concern:
    severity: str  # error, warning
    message: str
    application: str | None = None
    id: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return {"severity": self.severity, "id": self.id, "application": self.application, "message": self.message}


@dataclass(frozen=True)
class Outage:
    """Of one application that this change cuts over, or whose serving instances it restarts. Seconds; None where something of it was never measured."""

    application: str
    wave: str | None
    opens: datetime | None
    closes: datetime | None
    seconds: float | None
    told: str  # the estimate in words, with what it is made of
    owner: str | None = None

    @property
    def days(self) -> list[str]:
        """Of the week, that its window touches, in the time zone in which it is declared."""
        if self.opens is None or self.closes is None:
            return []
        day, last = self.opens.date(), self.closes.astimezone(self.opens.tzinfo).date()
        found: list[str] = []
        while day <= last and len(found) < 7:
            found.append(_DAYS[day.weekday()])
            day += timedelta(days=1)
        return found

    @property
    def fits(self) -> bool | None:
        """Whether the estimate is shorter than the window; None where one of them is not known."""
        if self.seconds is None or self.opens is None or self.closes is None:
            return None
        return self.seconds <= (self.closes - self.opens).total_seconds()

    def as_dict(self) -> dict[str, Any]:
        return {
            "application": self.application,
            "wave": self.wave,
            "opens": _moment(self.opens),
            "closes": _moment(self.closes),
            "days": self.days,
            "seconds": self.seconds,
            "told": self.told,
            "fits": self.fits,
            "owner": self.owner,
        }


@dataclass(frozen=True)
class Plan:
    made_at: datetime
    stack: str
    region: str | None
    base: str | None
    preview: Preview
    estate: Estate
    views: Views
    movement: Movement
    going: tuple[Going, ...]
    cost: Cost
    risks: tuple[Risk, ...]
    outages: tuple[Outage, ...]
    concerns: tuple[Concern, ...]
    spec_changes: tuple[EntryChange, ...] | None  # None without a base
    notes: tuple[str, ...] = ()  # about the plan itself: what it was made from does not go together
    missing: tuple[str, ...] = ()  # what it could not know, and why
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # of each server, as the spec has them
    verdicts: tuple[Verdict, ...] = ()

    @property
    def is_refused(self) -> bool:
        return any(each.refuses for each in self.verdicts)

    @property
    def has_failed(self) -> bool:
        """Whether the preview itself did."""
        return bool(self.preview.errors)

    @property
    def waves(self) -> list[tuple[Wave | None, str, list[ApplicationView]]]:
        """In the order of the spec; applications of none, and of waves that are gone, last."""
        found: dict[str, list[ApplicationView]] = {name: [] for name in self.estate.waves}
        for each in self.views.applications:
            found.setdefault(each.wave or "", []).append(each)
        last = found.pop("", [])
        listed = [(self.estate.waves.get(name), name, each) for name, each in found.items()]
        return [*listed, (None, "", last)] if last else listed

    def as_dict(self) -> dict[str, Any]:
        """Moments are RFC 3339, lengths of time seconds, sizes bytes, money in `cost.currency`."""
        outages = {each.application: each for each in self.outages}
        return {
            "version": VERSION,
            "made_at": _moment(self.made_at),
            "stack": self.stack,
            "region": self.region,
            "base": self.base,
            "failed": self.has_failed,
            "refused": self.is_refused,
            "resources": self.preview.counts(),
            "irreversible": [each.as_dict() for each in self.risks],
            "waves": [_wave(wave, name, each) for wave, name, each in self.waves],
            "applications": [self._application(each, outages.get(each.name)) for each in self.views.applications],
            "servers": [self._server(each) for each in self.views.servers.values()],
            "other_resources": [{"urn": each.urn, "op": each.op} for each in self.views.others],
            "movement": self.movement.as_dict(),
            "retention": [each.as_dict() for each in self.going],
            "cost": self.cost.as_dict(),
            "outages": [each.as_dict() for each in self.outages],
            "concerns": [each.as_dict() for each in self.concerns],
            "spec_changes": None if self.spec_changes is None else [each.as_dict() for each in self.spec_changes],
            "policies": [each.as_dict() for each in self.verdicts],
            "notes": list(self.notes),
            "missing": list(self.missing),
        }

    def _application(self, each: ApplicationView, outage: Outage | None) -> dict[str, Any]:
        servers = [server.name for server in each.servers]
        once, before, after = self.cost.of(servers)
        window = self._window(each)
        return {
            "name": each.name,
            "wave": each.wave,
            "owner": each.owner,
            "from": each.came_from,
            "phase": each.to,
            "enters": each.enters,
            "force": each.force,
            "touched": each.is_touched,
            "window": window,
            "outage_seconds": outage.seconds if outage else None,
            "servers": servers,
            "plan": list(each.sentences),
            "movement_bytes": self.movement.of(servers).known_bytes,
            "cost": _costs(once, before, after),
        }

    def _window(self, each: ApplicationView) -> dict[str, Any] | None:
        wave = self.estate.waves.get(each.wave or "")
        if wave is None or wave.window is None:
            return None
        window = Outage(each.name, wave.name, wave.window.opens, wave.window.closes, None, "")
        return {"opens": _moment(window.opens), "closes": _moment(window.closes), "days": window.days}

    def _server(self, each: ServerView) -> dict[str, Any]:
        once, before, after = self.cost.of([each.name])
        return {**each.as_dict(), **self.settings.get(each.name, {}), "cost": _costs(once, before, after)}


def _wave(wave: Wave | None, name: str, applications: list[ApplicationView]) -> dict[str, Any]:
    window = wave.window if wave else None
    return {
        "name": name,
        "opens": _moment(window.opens if window else None),
        "closes": _moment(window.closes if window else None),
        "concurrency": wave.concurrency if wave else None,
        "after": list(wave.after) if wave else [],
        "owner": wave.owner if wave else None,
        "touched": any(each.is_touched for each in applications),
        "applications": [each.name for each in applications],
    }


def _costs(once: float, before: Monthly, after: Monthly) -> dict[str, float]:
    return {
        "once": round(once, 2),
        "monthly_before": round(before.total, 2),
        "monthly_after": round(after.total, 2),
    }


def _moment(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at is not None else None
