"""What a cutover does before anything is launched: the sources stand still, and a last run is taken of each.

Whatever fails here leaves the sources as they were found: what was powered off is powered on again, and the schedules go on. A
process that was killed leaves everything where it stood; the next `pulumi up` goes on from there, with the same last runs.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from providers._going_back import sources_back
from providers._holding import Lease
from providers._power import await_power
from providers._provider import Props, ProviderError
from providers._stack import Stack
from providers._windows import closed
from rehost.control import Application, JobState, Phase, Run, RunIsOpen, RunKind, RunState
from rehost.errors import RehostError

POLL_SECONDS = 0.5
SHUTDOWN_SECONDS = 300  # that a guest has before its power is cut, unless the spec says otherwise
CONNECTOR_SECONDS = 120.0  # how long nobody may serve a source before that is a failure


class CuttingOver:
    def __init__(self, here: Stack, props: Props) -> None:
        self.here, self.control = here, here.control
        self.stack, self.name = props["stack"], props["application"]
        self.props = props
        self.jobs: dict[str, str] = props["jobs"]  # job id by server
        self.power: dict[str, str] = props["power"]  # off, quiesce or keep, by server
        self.lease = Lease(self.control, self.stack, self.name)
        self.said: dict[str, str] = {}

    def carry_out(self) -> Application:
        """The application once it is cut; at once where it is already. Raises ProviderError when it is given up."""
        standing = self.control.applications.get(self.stack, self.name)
        if standing.cut_at is not None:
            return standing
        if standing.phase is not Phase.CUTOVER:
            raise ProviderError(
                detail=f"it is in {standing.phase} by now: somebody else moved it; `pulumi refresh`, then `up`"
            )
        self.lease.take()
        standing = self.control.applications.get(self.stack, self.name)  # as the holder before left it
        try:
            if standing.cut_at is None:
                self._cut(standing)
        except RehostError as error:
            raise self._given_up(standing, error) from None
        finally:
            self.lease.release()
        return self.control.applications.get(self.stack, self.name)

    def _cut(self, standing: Application) -> None:
        token = f"cutover-{standing.attempt}"
        if not standing.sources:  # one that was interrupted goes on, whatever the time is
            self._preflight()
        for server, job in self.jobs.items():
            self.control.applications.touch_source(self.stack, self.name, server, job=job, token=token)
            self.control.jobs.hold(job, self.name)
        self._stand_still(token)
        runs = self._last_runs(token)
        frozen = [run.frozen_at for run in runs.values() if run.frozen_at]
        self.control.applications.cut(
            self.stack,
            self.name,
            standing.attempt,
            {server: run.id for server, run in runs.items()},
            frozen_at=min(frozen, default=None),
        )

    def _preflight(self) -> None:
        """What would make everything after it pointless; nothing has been touched yet."""
        shut = closed(self.props.get("window"), datetime.now(UTC))
        if shut:
            raise ProviderError(detail=shut)
        self.here.aws.check_access()
        for server, job_id in self.jobs.items():
            job = self.control.jobs.find(job_id)
            if job is None or not job.is_live:
                raise ProviderError(
                    detail=f"the control plane has no job for {server}; `pulumi refresh`, then `pulumi up`"
                )
            self._await_connector(job.spec.source_name)

    def _await_connector(self, source: str) -> None:
        deadline = time.monotonic() + CONNECTOR_SECONDS
        while not any(each.serves(source) for each in self.control.connectors.healthy()):
            self.here.ensure_connector(source)
            if time.monotonic() > deadline:
                raise ProviderError(
                    detail=f"no connector serves {source}; start one beside it with `rehost connector run`"
                )
            self.lease.keep()
            time.sleep(POLL_SECONDS)

    def _stand_still(self, token: str) -> None:
        asked = {}
        for server, action in self.power.items():
            if action != "keep":
                job = self.jobs[server]
                self.control.applications.touch_source(
                    self.stack, self.name, server, job=job, token=token, action=action
                )
                asked[server] = self.control.power.request(
                    job, action, token=token, shutdown_seconds=self.props.get("shutdownSeconds", SHUTDOWN_SECONDS)
                )
        ended = await_power(self.here, asked, keep=self.lease.keep)
        failed = {server: each.message for server, each in ended.items() if each.state == "FAILED"}
        if failed:
            told = "; ".join(f"{server}: {message}" for server, message in sorted(failed.items()))
            raise ProviderError(detail=f"not every source could be made to stand still ({told})")
        for server, each in ended.items():
            print(f"{server}: its source is {each.result.get('after')}", flush=True)

    def _last_runs(self, token: str) -> dict[str, Run]:
        """By server, its last run, completed. Those that can end do, before the failure of another is said."""
        while True:
            self.lease.keep()
            runs = {server: self._last_run(server, job, token) for server, job in self.jobs.items()}
            for server, run in runs.items():
                self._say(server, run)
            if all(run is not None and run.state.is_terminal for run in runs.values()):
                ended = {server: run for server, run in runs.items() if run is not None}
                failed = {server: run for server, run in ended.items() if run.state is not RunState.COMPLETED}
                if not failed:
                    return ended
                told = "; ".join(f"{server}: {run.message}" for server, run in sorted(failed.items()))
                raise ProviderError(detail=f"the last run of {len(failed)} of {len(runs)} servers failed ({told})")
            time.sleep(POLL_SECONDS)

    def _last_run(self, server: str, job_id: str, token: str) -> Run | None:
        """Asked for, once no other one is open."""
        try:
            run = self.control.runs.request(job_id, kind=RunKind.FINAL, token=token)
        except RunIsOpen as open_run:
            self._tell(server, f"waiting for {open_run.run} to end, before its last run")
            run = None
        if run is None or not run.state.is_terminal:
            job = self.control.jobs.get(job_id)
            if job.state is JobState.DELETED:
                raise ProviderError(detail=f"the job of {server} was ended")
            self.here.ensure_connector(job.spec.source_name)
        return run

    def _say(self, server: str, run: Run | None) -> None:
        if run is not None:
            stage = run.state.lower() if run.state.is_terminal else run.stage or "waiting for a connector"
            self._tell(server, f"last run: {stage}")

    def _tell(self, server: str, text: str) -> None:
        if self.said.get(server) != text:
            self.said[server] = text
            print(f"{server}: {text}", flush=True)

    def _given_up(self, standing: Application, error: RehostError) -> ProviderError:
        """Everything back to where it was, and what to do now."""
        message = f"the cutover was given up: {error}"
        touched: dict[str, Any] = dict(self.control.applications.get(self.stack, self.name).sources)
        stopped = any(what.get("action") for what in touched.values())
        try:
            sources_back(self.here, self.stack, self.name, keep=self.lease.keep)
            message += ". Its sources are as they were before" if stopped else ". Its sources were not touched"
        except RehostError as other:
            message += f". {other}"
        message += (
            ". To go on: remove the cause, then `pulumi up`, which takes another last run. "
            "To go back: revert the change of phase, then `pulumi up`"
        )
        self.control.applications.abandon(self.stack, self.name, standing.attempt, message)
        return ProviderError(detail=message)
