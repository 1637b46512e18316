"""Cutover: the sources of an application stand still, and a last run of each is there. Its deletion is the way back."""

from __future__ import annotations

from pulumi.dynamic import CheckResult, CreateResult, DiffResult, ReadResult, UpdateResult

from providers._cutting_over import CuttingOver
from providers._going_back import sources_back
from providers._provider import Props, RehostProvider, diff, plain, said_plainly
from providers._stack import stack


class CutoverProvider(RehostProvider):
    """The one resource beside Readiness and Milestone that waits; one an application.

    Instances depend on it, so that it is deleted, and the sources powered on again, when they are gone.
    """

    def check(self, _olds: Props, news: Props) -> CheckResult:
        return CheckResult(news, [])

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        # What was done is done: neither another window nor another way to stop a source does it again.
        return diff(olds, news, replaces=("stack", "application"), updates=())

    def create(self, props: Props) -> CreateResult:
        application = said_plainly(
            f"application {props['application']}", lambda: CuttingOver(stack(), plain(props)).carry_out()
        )
        id_ = f"{props['stack']}/{props['application']}/cutover-{application.attempt}"
        return CreateResult(id_, {**props, "runs": dict(application.final_runs)})

    def update(self, _id: str, olds: Props, news: Props) -> UpdateResult:
        return UpdateResult({**olds, **news})

    def read(self, id_: str, props: Props) -> ReadResult:
        return ReadResult(id_, props)  # it stands for moments that have passed

    def delete(self, _id: str, props: Props) -> None:
        here = stack()
        said_plainly(
            f"application {props['application']}",
            lambda: sources_back(here, props["stack"], props["application"]),
        )
