"""ReplicationJob: the standing order to replicate one server, in the control plane."""

from __future__ import annotations

from pulumi.dynamic import CheckFailure, CheckResult, CreateResult, DiffResult, ReadResult, UpdateResult

from providers._provider import Props, RehostProvider, diff, failure, plain, said_plainly
from providers._stack import Stack, stack
from rehost.connector import remove_job
from rehost.control import JobSpec, JobState
from rehost.sources import SourceError, open_source

#: Another machine is another job; everything else changes in place and keeps the blocks that were copied.
REPLACES = ("stack", "server", "sourceName", "locator")
UPDATES = ("application", "source", "schedule", "image", "tags", "quiesce", "throttle", "region", "endpoint")


class ReplicationJobProvider(RehostProvider):
    """Nothing waits in here: the process that hosts providers serves four calls at once. `Readiness` waits."""

    def check(self, _olds: Props, news: Props) -> CheckResult:
        here = stack()
        # What the stack's settings resolve to belongs to the job: a change of region shows in the preview.
        news = {**news, **{key: value for key, value in here.job_aws().items() if key != "profile"}}
        failures = [*_source_failures(here, plain(news))]
        if here.access_problem:
            failures.append(failure("region", here.access_problem))
        return CheckResult(news, failures)

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        return diff(olds, news, replaces=REPLACES, updates=UPDATES)

    def create(self, props: Props) -> CreateResult:
        job_id = said_plainly(f"server {props['server']}", lambda: _put(stack(), plain(props)))
        return CreateResult(job_id, {**props, "jobId": job_id})

    def update(self, id: str, _olds: Props, news: Props) -> UpdateResult:  # noqa: A002 - Pulumi's name
        job_id = said_plainly(f"server {news['server']}", lambda: _put(stack(), plain(news)))
        return UpdateResult({**news, "jobId": job_id})

    def read(self, id_: str, props: Props) -> ReadResult:
        job = stack().control.jobs.find(id_)
        if job is None or job.state is JobState.DELETED:
            return ReadResult("", {})
        return ReadResult(id_, props)

    def delete(self, id: str, props: Props) -> None:  # noqa: A002 - Pulumi's name
        here = stack()

        def remove() -> None:
            remove_job(
                here.control, here.aws, id, on_progress=lambda line: print(f"{props['server']}: {line}", flush=True)
            )

        said_plainly(f"server {props['server']}", remove)


def _source_failures(here: Stack, props: Props) -> list[CheckFailure]:
    """What the source itself says of this server. Only an embedded connector reads what this machine sees."""
    if not here.embedded:
        return []
    try:
        source = open_source(props["source"], base=here.settings.root)
        try:
            source.inspect(props["locator"])
        finally:
            source.close()
    except SourceError as error:
        return [failure("locator", error)]
    return []


def _put(here: Stack, props: Props) -> str:
    spec = JobSpec(
        stack=props["stack"],
        server=props["server"],
        application=props.get("application"),
        source_name=props["sourceName"],
        source=props["source"],
        locator=props["locator"],
        schedule=props["schedule"],
        image=props["image"],
        tags=props.get("tags", {}),
        aws=here.job_aws(),
        quiesce=props.get("quiesce", "try"),
        throttle=props.get("throttle"),
    )
    job = here.control.jobs.put(spec)
    here.ensure_connector(spec.source_name)
    return job.id
