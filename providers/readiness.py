"""Readiness: the one place of an application and phase that waits, until each of its jobs has an image to offer."""

from __future__ import annotations

import time

from pulumi.dynamic import CheckResult, CreateResult, DiffResult, ReadResult, UpdateResult

from providers._provider import Props, ProviderError, RehostProvider, diff, plain, said_plainly
from providers._stack import Stack, stack
from rehost.control import JobStatus, Phase, RunState

POLL_SECONDS = 0.5
PROGRESS_SECONDS = 5.0  # Pulumi prints every line again at the end of an update, so they are few
CONNECTOR_SECONDS = 120.0  # how long nobody may serve a source before that is a failure


class ReadinessProvider(RehostProvider):
    def check(self, _olds: Props, news: Props) -> CheckResult:
        return CheckResult(news, [])

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        return diff(olds, news, replaces=("stack", "application", "phase"), updates=("jobs", "wait"))

    def create(self, props: Props) -> CreateResult:
        said_plainly(f"application {props['application']}", lambda: _Watch(stack(), plain(props)).wait())
        phase = Phase(props["phase"])
        if phase is Phase.TEST:  # a cutover's launch begins with its last runs
            stack().control.applications.launching(props["stack"], props["application"], phase)
        return CreateResult(f"{props['stack']}/{props['application']}/{props['phase']}", props)

    def update(self, _id: str, _olds: Props, news: Props) -> UpdateResult:
        said_plainly(f"application {news['application']}", lambda: _Watch(stack(), plain(news)).wait())
        return UpdateResult(news)

    def read(self, id_: str, props: Props) -> ReadResult:
        return ReadResult(id_, props)  # it stands for a moment that has passed; nothing of it can drift

    def delete(self, _id: str, _props: Props) -> None:
        """Nothing exists of it outside the state."""


class _Watch:
    """Looks at the control plane until every job has an image, or one has failed."""

    def __init__(self, here: Stack, props: Props) -> None:
        self.here = here
        self.props = props
        self.jobs: dict[str, str] = props["jobs"]  # job id by server
        self.said: dict[str, tuple[str, float]] = {}
        self.unserved_since: float | None = None

    def wait(self) -> None:
        if self.props["wait"] != "image":
            return
        self._try_again()
        while True:
            statuses = {status.job.id: status for status in self.here.control.status(stack=self.props["stack"])}
            missing = [server for server, job in self.jobs.items() if job not in statuses]
            if missing:
                raise ProviderError(
                    detail=f"the control plane has no job for {', '.join(missing)}; run `pulumi refresh`, then `pulumi up`"
                )
            waiting = {server: statuses[job] for server, job in self.jobs.items() if statuses[job].latest_image is None}
            failed = {server: status for server, status in waiting.items() if _has_failed(status)}
            if waiting.keys() == failed.keys():  # those still running may finish; then all is said at once
                if not failed:
                    return
                lines = "; ".join(f"{server}: {_reason(status)}" for server, status in sorted(failed.items()))
                raise ProviderError(detail=f"{len(failed)} of {len(self.jobs)} servers have no image. {lines}")
            for server, status in waiting.items():
                self._say(server, status)
            self._check_served(waiting)
            time.sleep(POLL_SECONDS)

    def _try_again(self) -> None:
        """Whoever runs `pulumi up` again after a failure wants another run now, not at the next retry."""
        for status in self.here.control.status(stack=self.props["stack"]):
            if status.job.id in self.jobs.values() and status.latest_image is None and _has_failed(status):
                token = f"after {status.last_run.id if status.last_run else 'nothing'}"
                self.here.control.runs.request(status.job.id, token=token)
                self.here.ensure_connector(status.job.spec.source_name)

    def _say(self, server: str, status: JobStatus) -> None:
        run = status.open_run
        text = f"{server}: {run.stage or 'waiting for a connector'}" if run else f"{server}: waiting for its run"
        before, when = self.said.get(server, ("", 0.0))
        if text == before and time.monotonic() - when < PROGRESS_SECONDS:
            return
        self.said[server] = (text, time.monotonic())
        if run and run.message:
            text += f", {run.message}"
        print(text, flush=True)

    def _check_served(self, waiting: dict[str, JobStatus]) -> None:
        """Fail, rather than wait forever, where nobody serves a source."""
        control = self.here.control
        unserved = {
            status.job.spec.source_name
            for status in waiting.values()
            if not control.connectors.live(source=status.job.spec.source_name)
        }
        if not unserved:
            self.unserved_since = None
            return
        for source in unserved:
            self.here.ensure_connector(source)
        self.unserved_since = self.unserved_since or time.monotonic()
        if time.monotonic() - self.unserved_since > CONNECTOR_SECONDS:
            raise ProviderError(
                detail=f"no connector serves {', '.join(sorted(unserved))}; start one beside it with `rehost connector run`, then `pulumi up` again"
            )


def _has_failed(status: JobStatus) -> bool:
    return status.open_run is None and status.last_run is not None and status.last_run.state is RunState.FAILED


def _reason(status: JobStatus) -> str:
    return (status.last_run.message if status.last_run else None) or "no reason was recorded"
