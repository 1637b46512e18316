"""Where the applications of a wave stand, from the spec and the control plane: plain data for the table, JSON and the run book."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rehost.control import Application as Standing
from rehost.control import ControlPlane, JobState, JobStatus, RunState, lag_of, progress_of
from rehost.preflight import standings_of
from rehost.spec import Application, Estate, Wave
from rehost.waves import Refusal, refusals

_FAILING = (JobState.FAILING, JobState.PAUSED_ON_FAILURE, JobState.FAILED)


@dataclass(frozen=True)
class Member:
    """One application of a wave. Lengths of time are seconds, sizes bytes; what is not known is None."""

    declared: Application
    standing: Standing | None
    jobs: Sequence[JobStatus]
    now: datetime
    barred: Sequence[Refusal] = field(default_factory=tuple)  # why it may not be cut over now

    @property
    def name(self) -> str:
        return self.declared.name

    @property
    def phase(self) -> str:
        """Where it is by the control plane; nothing where it was never declared to it."""
        return str(self.standing.phase) if self.standing else "-"

    @property
    def is_reached(self) -> bool:
        return self.standing is not None and self.standing.is_reached

    @property
    def is_cut_over(self) -> bool:
        return self.standing is not None and self.standing.phase.is_cut_over and self.is_reached

    @property
    def ready(self) -> int:
        return sum(each.latest_image is not None for each in self.jobs)

    @property
    def failing(self) -> list[JobStatus]:
        return [each for each in self.jobs if each.job.state in _FAILING]

    @property
    def lag(self) -> float | None:
        """Of the server whose newest image is the oldest."""
        return max((lag for each in self.jobs if (lag := lag_of(each, self.now)) is not None), default=None)

    @property
    def progress(self) -> tuple[int, int | None, int | None, float | None]:
        """Bytes done, of how many, bytes a second, and seconds left, of all runs under way."""
        runs = [progress_of(each.disks, self.now) for each in self.jobs if each.open_run]
        total = sum(each.total_bytes or 0 for each in runs) or None
        rate = sum(each.rate or 0 for each in runs) or None
        left = max((each.eta_seconds for each in runs if each.eta_seconds is not None), default=None)
        return sum(each.done_bytes for each in runs), total, rate, left

    @property
    def open_runs(self) -> int:
        return sum(each.open_run is not None for each in self.jobs)

    @property
    def needs_attention(self) -> bool:
        missed = any(each.id == "window-closed" for each in self.barred)
        return bool(self.failing) or missed or (self.standing is not None and self.standing.message is not None)

    @property
    def next(self) -> str:
        """The one step that comes next."""
        servers, declared = len(self.declared.servers), self.declared.phase
        if self.standing is not None and self.standing.message is not None:
            return f"its phase {self.phase} failed: {self.standing.message}; `rehost status`, then `pulumi up` or the phase before"
        if self.failing:
            return f"remove what fails on {self.failing[0].job.spec.server}: `rehost status {self.failing[0].job.spec.server}`"
        if self.standing is None or declared != self.phase:
            return f"`pulumi up`: the spec declares phase {declared}"
        if self.ready < servers and not self.is_cut_over:
            return f"wait for the first images: {servers - self.ready} of {servers} servers have none"
        if not self.is_reached:
            return f"`pulumi up`: phase {self.phase} is not reached yet"
        if self.phase == "replicate":
            return "declare phase: test"
        if self.phase == "test":
            return str(self.barred[0]) if self.barred else "declare phase: cutover"
        return "declare phase: complete" if self.phase == "cutover" else "nothing: it is complete"


@dataclass(frozen=True)
class WaveView:
    wave: Wave
    members: Sequence[Member]
    now: datetime

    @property
    def is_done(self) -> bool:
        return all(each.is_cut_over for each in self.members)

    @property
    def needs_attention(self) -> bool:
        return any(each.needs_attention for each in self.members)


def looked_at(estate: Estate, control: ControlPlane | None, stack: str | None, now: datetime) -> dict[str, WaveView]:
    """Every wave, in the order of the spec. Without a control plane nothing was begun yet."""
    if control is None:
        return views(estate, (), (), now)
    return views(estate, control.applications.list(stack=stack), control.status(stack=stack), now)


def views(
    estate: Estate, applications: Sequence[Standing], statuses: Sequence[JobStatus], now: datetime
) -> dict[str, WaveView]:
    """The same, from what was read already."""
    by_name = {each.name: each for each in applications}
    jobs: dict[str, list[JobStatus]] = {}
    for status in statuses:
        jobs.setdefault(status.job.spec.application or "", []).append(status)
    plans = {name: wave.plan for name, wave in estate.waves.items()}
    standings = standings_of(applications)
    return {
        name: WaveView(
            wave,
            [
                Member(
                    estate.applications[each],
                    by_name.get(each),
                    jobs.get(each, ()),
                    now,
                    refusals(each, plans[name], plans, standings, now),
                )
                for each in wave.applications
            ],
            now,
        )
        for name, wave in estate.waves.items()
    }


def measured_runs(control: ControlPlane | None, members: Sequence[Member]) -> Mapping[str, float]:
    """By server, how long its newest completed run took, in seconds; those that completed none are left out."""
    if control is None:
        return {}
    jobs = {each.job.id: each.job.spec.server for member in members for each in member.jobs}
    found: dict[str, float] = {}
    for job_id, runs in control.history(list(jobs), limit=20).items():
        for run, _disks in runs:
            if run.state is RunState.COMPLETED and run.started_at and run.completed_at:
                found[jobs[job_id]] = (run.completed_at - run.started_at).total_seconds()
                break
    return found
