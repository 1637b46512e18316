"""Undoing what a cutover did to its sources: their power, and the schedules that it held."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

from providers._power import await_power
from providers._provider import ProviderError
from providers._stack import Stack
from rehost.control import Application, Phase


def sources_back(
    here: Stack, stack: str, name: str | None, *, only: str | None = None, keep: Callable[[], object] = lambda: None
) -> None:
    """Give back the sources of an application as its cutover found them. A retry goes on with those that are left.

    Nothing is to be done for one that is complete: its sources were given up. `only`: of this server alone. Raises
    ProviderError with all that could not be powered on again.
    """
    application = here.control.applications.find(stack, name) if name else None
    if application is None or application.phase is Phase.COMPLETE:
        return
    touched = {server: what for server, what in application.sources.items() if only in (None, server)}
    jobs = {server: here.control.jobs.find(what["job"]) for server, what in touched.items()}
    asked = {}
    for server, what in sorted(touched.items()):
        job = jobs[server]
        if what.get("action") and job is not None and job.is_live:
            here.ensure_connector(job.spec.source_name)
            # Another token each time: a request that failed would only say so again.
            asked[server] = here.control.power.request(job.id, "on", token=f"{what['token']}-back-{uuid4().hex}")
    ended = await_power(here, asked, keep=keep)
    problems = {}
    for server, what in sorted(touched.items()):
        request = ended.get(server)
        if request is not None and request.state == "FAILED":
            problems[server] = request.message
            continue
        if request is not None:
            print(f"{server}: its source is {request.result.get('after', 'as it was')} again", flush=True)
        here.control.jobs.release(what["job"])
        here.control.applications.source_restored(stack, application.name, server)
    if problems:
        told = "; ".join(f"{server}: {problem}" for server, problem in problems.items())
        raise ProviderError(
            detail=f"not every source is as its cutover found it ({told}); power them on by hand, then `pulumi up` again"
        )


def has_instances(here: Stack, application: Application) -> bool:
    """Whether anything still runs that was launched from the last runs of its cutover."""
    found = [here.control.images.by_run(run) for run in application.final_runs.values()]
    return bool(here.aws.instances.of_images([image.image_id for image in found if image is not None]))
