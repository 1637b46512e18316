"""ReplicationJob: the standing order to replicate one server, in the control plane."""

from __future__ import annotations

from collections.abc import Mapping

from pulumi.dynamic import CheckFailure, CheckResult, CreateResult, DiffResult, ReadResult, UpdateResult

from providers._full_copy import full_copy
from providers._going_back import sources_back
from providers._provider import Props, RehostProvider, changed, diff, failure, plain, said_plainly
from providers._stack import Stack, stack
from rehost.aws import AwsError
from rehost.connector import end_replication, forget_base, remove_job, settle
from rehost.control import JobSpec, JobState
from rehost.sources import DiscoveredServer, Severity, SourceError, open_source

#: Another machine is another job; everything else changes in place and keeps the blocks that were copied.
REPLACES = ("stack", "server", "sourceName", "locator")
UPDATES = (
    "application",
    "source",
    "schedule",
    "image",
    "tags",
    "quiesce",
    "throttle",
    "region",
    "endpoint",
    "maxConcurrentRuns",
    "notify",
    "ended",
)


class ReplicationJobProvider(RehostProvider):
    """Nothing waits in here: the process that hosts providers serves four calls at once. `Readiness` waits."""

    def check(self, olds: Props, news: Props) -> CheckResult:
        here = stack()
        before = plain(olds)
        # What the stack's settings resolve to belongs to the job: a change of region shows in the preview.
        news = {**news, **{key: value for key, value in here.job_aws().items() if key != "profile"}}
        failures, sizes = _inspected(here, plain(news))
        if here.access_problem:
            failures.append(failure("region", here.access_problem))
            return CheckResult(news, failures)
        failures += _image_failures(here, before, plain(news), sizes)
        # Not an input of anybody's: it stands here so that the preview says it before anyone approves.
        news["fullCopy"] = full_copy(before, plain(news), same_key=here.is_same_key)
        return CheckResult(news, failures)

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        return diff(olds, news, replaces=REPLACES, updates=UPDATES)

    def create(self, props: Props) -> CreateResult:
        job_id = said_plainly(f"server {props['server']}", lambda: _put(stack(), plain(props)))
        return CreateResult(job_id, {**props, "jobId": job_id})

    def update(self, id: str, olds: Props, news: Props) -> UpdateResult:  # noqa: A002 - Pulumi's name
        def put() -> str:
            here = stack()
            job_id = _put(here, plain(news))
            if _spreads_otherwise(plain(olds), plain(news)):
                # Whom an image is shared with is not left to the next run, which may be days away.
                for line in settle(here.control, here.aws, here.control.jobs.get(job_id)):
                    print(f"{news['server']}: {line}", flush=True)
            return job_id

        return UpdateResult({**news, "jobId": said_plainly(f"server {news['server']}", put)})

    def read(self, id_: str, props: Props) -> ReadResult:
        job = stack().control.jobs.find(id_)
        if job is None or job.state is JobState.DELETED:
            return ReadResult("", {})
        return ReadResult(id_, props)

    def delete(self, id: str, props: Props) -> None:  # noqa: A002 - Pulumi's name
        here = stack()

        def remove() -> None:
            sources_back(here, props["stack"], props.get("application"), only=props["server"])
            remove_job(
                here.control, here.aws, id, on_progress=lambda line: print(f"{props['server']}: {line}", flush=True)
            )
            _forget(here, id)

        said_plainly(f"server {props['server']}", remove)


def _forget(here: Stack, job_id: str) -> None:
    """Let the source go of what it keeps for a next run. Connectors of their own do it themselves, where they reach it."""
    job = here.control.jobs.find(job_id)
    if here.embedded and job is not None and (trouble := forget_base(here.control, job, base=here.settings.root)):
        print(f"{job.spec.server}: {trouble}", flush=True)


def _inspected(here: Stack, props: Props) -> tuple[list[CheckFailure], list[int]]:
    """What the source itself says of this server, and the sizes of its disks in bytes.

    Only an embedded connector reads what this machine sees.
    """
    if not here.embedded or props.get("ended"):
        return [], []
    try:
        source = open_source(props["source"], base=here.settings.root)
        try:
            found = source.inspect(props["locator"])
            _warn(props["server"], found, props.get("ignore", {}))
            return [], [disk.size for disk in found.disks]
        finally:
            source.close()
    except SourceError as error:
        if here.control.jobs.is_held(props["stack"], props["server"]):
            return [], []  # a machine that a cutover powered off need not answer
        return [failure("locator", error)], []


def _image_failures(here: Stack, olds: Props, news: Props, sizes: list[int]) -> list[CheckFailure]:
    """What AWS can be asked of an image beforehand. Unchanged settings were checked before, and are again by each run."""
    if olds and not changed(olds, news, ("image", "region", "locator", "source")):
        return []
    try:
        return [failure(each.field, each.message) for each in here.image_problems(news["image"], sizes)]
    except AwsError as error:
        return [failure("image", error)]


def _spreads_otherwise(olds: Props, news: Props) -> bool:
    before, after = olds.get("image", {}), news.get("image", {})
    return any(before.get(key) != after.get(key) for key in ("copies", "shareWith"))


def _warn(server: str, found: DiscoveredServer, ignore: Mapping[str, str]) -> None:
    """What is printed appears in the preview. Errors have been refused by then."""
    for concern in found.concerns:
        if concern.severity is Severity.WARNING and concern.id not in ignore:
            print(f"{server}: {concern.id}: {concern.message}; {concern.remedy}", flush=True)


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
        max_concurrent_runs=props.get("maxConcurrentRuns"),
        notify=tuple(props.get("notify", ())),
        throttle=props.get("throttle"),
        ended=bool(props.get("ended")),
    )
    job = here.control.jobs.put(spec)
    if spec.ended:
        gone = end_replication(here.control, here.aws, job.id, on_progress=lambda line: print(f"{spec.server}: {line}"))
        print(f"{spec.server}: replication has ended; {len(gone)} superseded images went", flush=True)
        _forget(here, job.id)
    else:
        here.ensure_connector(spec.source_name)
    return job.id
