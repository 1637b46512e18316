"""Preflight: what speaks against an application, weighed while it is previewed. It makes nothing, and nothing of it can drift."""

from __future__ import annotations

from collections.abc import Sequence

from pulumi.dynamic import CheckFailure, CheckResult, CreateResult, DiffResult, ReadResult, UpdateResult

from providers._provider import Props, RehostProvider, failure, plain
from providers._stack import Stack, stack
from rehost.aws import AwsError
from rehost.concerns import INFO
from rehost.control import Phase
from rehost.preflight import ApplicationPlan, Finding, examine

#: Warnings of one application that are written out; `rehost preflight` shows the others.
TOLD = 10


class PreflightProvider(RehostProvider):
    """The first resource of an application. An error keeps everything of it from being touched, unless the spec ignores it."""

    def check(self, olds: Props, news: Props) -> CheckResult:
        here = stack()
        if here.access_problem:
            return CheckResult(news, [failure("application", here.access_problem)])
        plan = ApplicationPlan.from_inputs(plain(news))
        try:
            found = examine(plan, here.surroundings(news["stack"]))
        except AwsError as error:
            return CheckResult(news, [failure("application", f"application {plan.name}: {error}")])
        # What has not changed was weighed before, and the way back is not barred by what speaks against going on.
        binding = plain(olds) != plain(news) and not _goes_back(here, news["stack"], plan)
        return CheckResult(news, _told(plan.name, found, binding=binding))

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        """Never a difference: what it looks at shows in the resources that come of it."""
        other = plain(olds).get("application") != plain(news)["application"]
        return DiffResult(changes=other, replaces=["application"] if other else [])

    def create(self, props: Props) -> CreateResult:
        return CreateResult(f"{props['stack']}/{props['application']}", props)

    def update(self, _id: str, _olds: Props, news: Props) -> UpdateResult:
        return UpdateResult(news)

    def read(self, id_: str, props: Props) -> ReadResult:
        return ReadResult(id_, props)

    def delete(self, _id: str, _props: Props) -> None:
        """Nothing exists of it outside the state."""


def _goes_back(here: Stack, stack_name: str, plan: ApplicationPlan) -> bool:
    standing = here.control.applications.find(stack_name, plan.name)
    order = list(Phase)
    return standing is not None and order.index(Phase(plan.phase)) < order.index(standing.phase)


def _told(application: str, found: Sequence[Finding], *, binding: bool) -> list[CheckFailure]:
    """Errors as failures where they bind; warnings, and what is ignored with its reason, as lines of the preview."""
    failures = [each for each in found if each.is_error and binding]
    lines = [
        f"{application}: {each}" if each.counts else f"{application}: {each.id} is ignored: {each.ignored}"
        for each in found
        if each not in failures and not (each.counts and each.severity == INFO)
    ]
    for line in lines[:TOLD]:
        print(line, flush=True)
    if len(lines) > TOLD:
        print(f"{application}: {len(lines) - TOLD} more; `rehost preflight {application}` shows them all", flush=True)
    return [failure("application", f"application {application}: {each}") for each in failures]
