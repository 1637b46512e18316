"""What of a plan cannot be undone, or is lost: it stands at the top of the page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from rehost.plan._preview import DELETE, REPLACE
from rehost.plan._retention import Going
from rehost.plan._views import ApplicationView, ServerView, Views
from rehost.text import named

#: The gravest first: data that only one place has; steps without a way back; what can be made again.
LOST, FINAL, REMOVED = "lost", "final", "removed"
_ORDER = (LOST, FINAL, REMOVED)
#: Phases in which instances do the work of the sources.
SERVING = frozenset({"cutover", "complete"})


@dataclass(frozen=True)
class Risk:
    weight: str
    id: str
    application: str | None
    servers: tuple[str, ...]
    message: str

    def as_dict(self) -> dict[str, Any]:
        return {
            "weight": self.weight,
            "id": self.id,
            "application": self.application,
            "servers": list(self.servers),
            "message": self.message,
        }


def risks(found: Views, gone: Iterable[Going], *, whole: bool) -> list[Risk]:
    """`whole`: nothing of the stack stays."""
    each = [risk for application in found.applications for risk in _of_application(application)]
    each += _of_servers(None, found.alone, frozenset())
    if whole:
        each.append(
            Risk(
                FINAL,
                "everything-goes",
                None,
                (),
                "nothing of the stack stays: every job, image and instance of it goes",
            )
        )
    going = [one for one in gone if one.images]
    if going:
        images, snapshots = (sum(len(getattr(one, key)) for one in going) for key in ("images", "snapshots"))
        servers = tuple(one.server for one in going)
        message = f"{images} image{_s(images)} and {snapshots} snapshot{_s(snapshots)} go, of {named(servers)}; the points in time in them with them"
        each.append(Risk(REMOVED, "images-go", None, servers, message))
    return sorted(each, key=lambda risk: _ORDER.index(risk.weight))


def _of_application(each: ApplicationView) -> Iterator[Risk]:
    servers = tuple(server.name for server in each.servers)
    if each.enters == "complete":
        message = f"{each.name} becomes complete: replication ends, and there is no way back to its sources"
        yield Risk(FINAL, "complete", each.name, servers, message)
    serving = each.came_from in SERVING
    if serving and each.to in ("replicate", "test"):
        stopped = [server for server, what in each.power.items() if what in ("off", "quiesce")]
        back = "; its sources run again as before the cutover" if stopped else ""
        message = f"{each.name} goes back from {each.came_from} to {each.to}: its instances go, with all that was written to them since the cutover{back}"
        yield Risk(LOST, "goes-back", each.name, servers, message)
    elif each.to is None:
        what = " and its instances, with all that was written to them" if serving else ""
        yield Risk(
            LOST if serving else REMOVED,
            "application-goes",
            each.name,
            servers,
            f"{each.name} goes from the stack, its jobs and images{what}",
        )
    if each.enters == "cutover":
        kept = tuple(server for server, what in each.power.items() if what == "keep")
        if kept:
            message = (
                f"sources of {each.name} are left running: what is written to {named(kept)} after the last run is lost"
            )
            yield Risk(LOST, "sources-run-on", each.name, kept, message)
        if each.force:
            yield Risk(
                FINAL,
                "forced",
                each.name,
                servers,
                f"{each.name} is cut over without a test that came to a good end: {each.force}",
            )
    goes_as_a_whole = each.to is None or (serving and each.to in ("replicate", "test"))
    cutting = each.enters == "cutover"  # the test's instances go, which is what a cutover is
    if not (goes_as_a_whole or cutting):
        yield from _of_servers(each, each.servers, SERVING if serving else frozenset())


def _of_servers(
    application: ApplicationView | None, servers: Iterable[ServerView], serving: frozenset[str]
) -> Iterator[Risk]:
    name = application.name if application else None
    jobs = {op: [each.name for each in servers if each.job and each.job.op == op] for op in (DELETE, REPLACE)}
    instances = {
        op: [each.name for each in servers if each.instance and each.instance.op == op] for op in (DELETE, REPLACE)
    }
    for op, words in ((REPLACE, "replaced"), (DELETE, "terminated")):
        if instances[op]:
            these, weight = tuple(instances[op]), LOST if serving else REMOVED
            what = "which serve since the cutover" if serving else "of a test"
            message = f"instances {what} are {words}, and what was written to them is lost: {named(these)}"
            yield Risk(weight, f"instance-{words}", name, these, message)
    for op, words in ((REPLACE, "begins anew"), (DELETE, "ends")):
        if jobs[op]:
            message = f"replication {words}, and the images of the former job go: {named(jobs[op])}"
            yield Risk(
                REMOVED, f"replication-{'replaced' if op == REPLACE else 'ends'}", name, tuple(jobs[op]), message
            )


def _s(count: int) -> str:
    return "" if count == 1 else "s"
