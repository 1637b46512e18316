"""Everything a report shows, read from the control plane and the spec at one moment: plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from rehost.control import (
    ActionRecord,
    Connector,
    ControlPlane,
    Delivery,
    EndedRun,
    Image,
    JobStatus,
    PhaseChange,
    Run,
    RunDisk,
    Validation,
    advice,
    is_healthy,
    lag_of,
)
from rehost.control import Application as Standing
from rehost.report._errors import StackUnclear
from rehost.report._waves import WaveView, views
from rehost.spec import Application, Estate, Group, Wave
from rehost.waves import CUT_OVER

_EMPTY = Estate({}, {}, {}, {}, {}, {}, {})

History = Sequence[tuple[Run, Sequence[RunDisk]]]


@dataclass(frozen=True)
class ServerView:
    """One server. `status` is None until `pulumi up` has declared it; `lag` is in seconds."""

    name: str
    application: str | None
    wave: str | None
    source: str
    phase: str | None
    status: JobStatus | None
    lag: float | None = None
    advice: str | None = None
    validations: Sequence[Validation] = ()
    actions: Sequence[ActionRecord] = ()


@dataclass(frozen=True)
class Report:
    """`since`: what the charts and the causes of failures go back to. `spec_problem`: why the spec was not read."""

    stack: str | None
    now: datetime
    since: datetime
    began: datetime  # when the first application entered a phase
    waves: Sequence[WaveView]  # the nameless one has what is in no wave
    servers: Sequence[ServerView]
    phases: Mapping[str, Sequence[PhaseChange]] = field(default_factory=dict)
    first_images: Mapping[str, datetime] = field(default_factory=dict)
    ended: Sequence[EndedRun] = ()
    connectors: Sequence[Connector] = ()
    undelivered: Sequence[Delivery] = ()
    spec_problem: str | None = None

    @property
    def healthy(self) -> list[Connector]:
        return [each for each in self.connectors if is_healthy(each, self.now)]


@dataclass(frozen=True)
class Past:
    """What one server went through. `runs` and `images` are newest first, `phases` of its application oldest first."""

    runs: History = ()
    images: Sequence[Image] = ()


def look(
    control: ControlPlane | None,
    estate: Estate | None,
    *,
    stack: str | None = None,
    days: float = 7,
    spec_problem: str | None = None,
) -> Report:
    """The present state, and the last `days`. Raises `StackUnclear` and `ControlError`; looking again is always safe.

    Without a control plane nothing was begun; without an estate it shows what the control plane knows.
    """
    if control is None:
        now = datetime.now(UTC)
        waves = _waves(estate, (), (), now)
        return Report(None, now, now, now, waves, _servers(estate, (), (), (), {}, now), spec_problem=spec_problem)
    stack = stack or _only_stack(control)
    now = control.now()
    if stack is None:
        waves = _waves(estate, (), (), now)
        servers = _servers(estate, (), (), (), {}, now)
        return Report(
            None, now, now, now, waves, servers, connectors=control.connectors.list(), spec_problem=spec_problem
        )
    since = now - timedelta(days=days)
    statuses, connectors = control.status(stack=stack), control.connectors.list()
    standings = control.applications.list(stack=stack)
    ended, phases = control.timeline.ended_runs(stack, since=since), control.timeline.phases(stack)
    began = min((change.entered_at for each in phases.values() for change in each), default=None)
    first = min((run.started_at or run.ended_at for run in ended), default=now)
    healthy = [each for each in connectors if is_healthy(each, now)]
    servers = _servers(estate, statuses, standings, healthy, _after_launch(control, stack), now)
    return Report(
        stack,
        now,
        max(since, first),
        min(began or first, first),
        _waves(estate, standings, statuses, now),
        servers,
        phases,
        control.timeline.first_images(stack),
        ended,
        connectors,
        control.outbox.waiting(),
        spec_problem,
    )


def past_of(control: ControlPlane | None, servers: Sequence[ServerView], *, limit: int) -> dict[str, Past]:
    """By server, its newest `limit` runs and the images that stand. Raises `ControlError`."""
    if control is None:
        return {}
    ids = {each.status.job.id: each.name for each in servers if each.status}
    runs, images = control.history(list(ids), limit=limit), control.standing_images(list(ids))
    return {name: Past(runs[job_id], images[job_id]) for job_id, name in ids.items()}


def _only_stack(control: ControlPlane) -> str | None:
    known = control.timeline.stacks()
    if len(known) > 1:
        raise StackUnclear(stacks=", ".join(known))
    return known[0] if known else None


_Told = Mapping[str, tuple[list[Validation], list[ActionRecord]]]


def _after_launch(control: ControlPlane, stack: str) -> _Told:
    """By server, its checks and its post-launch actions."""
    found: dict[str, tuple[list[Validation], list[ActionRecord]]] = {}
    for validation in control.validations.latest(stack=stack):
        found.setdefault(validation.server, ([], []))[0].append(validation)
    for action in control.validations.actions(stack=stack):
        found.setdefault(action.server, ([], []))[1].append(action)
    return found


def _servers(
    estate: Estate | None,
    statuses: Sequence[JobStatus],
    standings: Sequence[Standing],
    healthy: Sequence[Connector],
    told: _Told,
    now: datetime,
) -> list[ServerView]:
    """Those of the spec in its order, by wave; then those that the control plane alone knows."""
    declared = estate.servers if estate else {}
    by_server = {each.job.spec.server: each for each in statuses}
    application = {name: each.job.spec.application for name, each in by_server.items()}
    application |= {server: each.name for each in standings for server in each.servers}
    phases = {each.name: str(each.phase) for each in standings}
    waves = {each.name: each.wave for each in standings}
    if estate:
        application |= {server: each.name for each in estate.applications.values() for server in each.servers}
        waves |= {name: wave.name for wave in estate.waves.values() for name in wave.applications}
    found = []
    for name in dict.fromkeys([*declared, *by_server]):
        status, app = by_server.get(name), application.get(name)
        source = declared[name].source.name if name in declared else status.job.spec.source_name if status else ""
        checks, actions = told.get(name, ((), ()))
        found.append(
            ServerView(
                name,
                app,
                waves.get(app or ""),
                source,
                phases.get(app or ""),
                status,
                _lag(status, phases.get(app or ""), now),
                advice(status, healthy, now) if status else None,
                checks,
                actions,
            )
        )
    order = {name: place for place, name in enumerate(estate.waves if estate else ())}
    return sorted(found, key=lambda each: (order.get(each.wave or "", len(order)), each.wave is None))


def _lag(status: JobStatus | None, phase: str | None, now: datetime) -> float | None:
    """None, too, for what is not replicated any more: its last image is all there is to come."""
    if status is None or phase in CUT_OVER or status.job.spec.ended or status.job.held_by is not None:
        return None
    return lag_of(status, now)


def _waves(
    estate: Estate | None,
    standings: Sequence[Standing],
    statuses: Sequence[JobStatus],
    now: datetime,
) -> list[WaveView]:
    """Those of the spec, and what it does not have: applications in no wave, or that the control plane alone knows."""
    waves = dict(estate.waves) if estate else {}
    applications = dict(estate.applications) if estate else {}
    placed = {name for wave in waves.values() for name in wave.applications}
    for each in standings:
        if each.name not in applications:
            applications[each.name] = Application(each.name, str(each.phase), (Group("servers", each.servers, ()),), {})
            if each.name not in placed and each.wave and each.wave not in waves:
                waves[each.wave] = Wave(each.wave, (), None)
            if each.name not in placed and each.wave:
                wave = waves[each.wave]
                waves[each.wave] = Wave(
                    wave.name, (*wave.applications, each.name), wave.window, wave.concurrency, wave.after, wave.owner
                )
                placed.add(each.name)
    loose = tuple(name for name in applications if name not in placed)
    if loose:
        waves[""] = Wave("", loose, None)
    return list(
        views(replace(estate or _EMPTY, waves=waves, applications=applications), standings, statuses, now).values()
    )
