"""Runs carried out in this process, without DBOS: the same steps in the same order, for what needs no process of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rehost.connector import workflow
from rehost.connector._patience import Patience
from rehost.connector._settings import ConnectorSettings
from rehost.connector._steps import RunSteps
from rehost.control import Job, Run

from .conftest import Site


@dataclass
class FastPatience:
    """Patience whose pauses take no time, on a clock that they move."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def patience(self, **limits: float) -> Patience:
        return Patience(clock=lambda: self.now, sleep=self.sleep, **limits)


class Worker:
    """A connector's steps, bound to a site."""

    def __init__(self, site: Site, patience: Patience | None = None, **settings: Any) -> None:
        self.site = site
        self.settings = ConnectorSettings(
            database=site.database,
            state=site.folder / "state",
            base=site.folder,
            patience=patience or FastPatience().patience(),
            **settings,
        )
        self.steps = RunSteps(site.control, self.settings)

    def carry_out(self, job: Job, token: str | None = None) -> Run:
        """Request a run (or take the scheduled one) and carry it to its end."""
        control = self.site.control
        if token is not None:
            control.runs.request(job.id, token=token)
        else:
            control.runs.schedule_due(None)
        run = control.runs.claim("in-process", None, lease_seconds=600)
        assert run is not None
        return self.go_on(run)

    def go_on(self, run: Run) -> Run:
        """What a connector does with a run that is its own, from the first step or after a crash."""
        workflow.serve(self.steps)
        self.steps.enter(run.id)
        plain: Any = workflow.replication_run
        plain.__wrapped__(run.id)
        return self.site.control.runs.get(run.id)
