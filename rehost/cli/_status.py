"""`rehost status`: what is replicated, how old its last image is, what goes wrong, and what to do about it."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from rehost.cli import _status_json, _status_text
from rehost.cli._output import Exit, escape, fail, print_json, rendered, show, tell
from rehost.cli._plain import run
from rehost.cli._project import Project, find_project, no_such_server
from rehost.control import (
    ActionRecord,
    Application,
    Connector,
    ControlError,
    ControlPlane,
    Delivery,
    JobStatus,
    Validation,
    is_healthy,
)

WATCH_SECONDS = 2.0


@dataclass(frozen=True)
class Seen:
    """The control plane at one moment."""

    now: datetime
    statuses: Sequence[JobStatus]
    connectors: Sequence[Connector]
    healthy: Sequence[Connector]
    undelivered: Sequence[Delivery]
    applications: Sequence[Application]
    log: str
    validations: Sequence[Validation] = ()
    actions: Sequence[ActionRecord] = ()


_Look = Callable[[], Seen]


HELP = "Show each server's job, present run, last good image and last error, and the connectors with their logs."
_EXAMPLE = "Example: rehost status web-01; rehost status --application shop --watch"


def main(arguments: Sequence[str]) -> int:
    given = _parser().parse_intermixed_args(arguments)
    return run(lambda: _status(given))


def _parser() -> argparse.ArgumentParser:
    about = f"{HELP} With servers, each in detail."
    parser = argparse.ArgumentParser("rehost status", description=about, epilog=_EXAMPLE, allow_abbrev=False)
    parser.add_argument("servers", nargs="*", metavar="SERVER", help="only these servers, each with its history")
    parser.add_argument("--application", metavar="NAME", help="only the servers of this application")
    parser.add_argument("--stack", metavar="NAME", help="only this Pulumi stack")
    parser.add_argument(
        "--database", metavar="URL", help="the control plane's URL; default REHOST_DATABASE, else the project's"
    )
    parser.add_argument("--json", action="store_true", help="print everything known as JSON")
    parser.add_argument("--watch", "-w", action="store_true", help="show it again every 2 s, until Ctrl-C")
    parser.add_argument(
        "--history", type=_history, default=10, metavar="N", help="how many runs of each server the history has (10)"
    )
    return parser


def _history(text: str) -> int:
    if not text.isdigit() or int(text) > 200:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 200")
    return int(text)


def _status(given: argparse.Namespace) -> int:
    project = find_project(given.database)
    control = project.control()

    def look() -> Seen:
        return _look(project, control, given.servers, given.application, given.stack)

    seen = look()
    history = given.history if given.servers else None
    if given.json:
        while given.watch:  # a document a line
            print_json(_status_json.document(control, seen, given.history), indent=None)
            sys.stdout.flush()
            time.sleep(WATCH_SECONDS)
            seen = _looked_again(look, seen)
        print_json(_status_json.document(control, seen, given.history))
    elif given.watch:
        _watch(control, look, seen, history)
    else:
        show(_status_text.page(control, seen, history))
    return Exit.OK


def _look(
    project: Project, control: ControlPlane, servers: list[str], application: str | None, stack: str | None
) -> Seen:
    statuses = control.status(stack=stack, servers=servers or None)
    unknown = set(servers) - {each.job.spec.server for each in statuses}
    if unknown:
        known = {each.job.spec.server for each in control.status(stack=stack)}
        fail(no_such_server(min(unknown), known), Exit.USAGE)
    if application is not None:
        names = sorted({each.job.spec.application for each in statuses if each.job.spec.application})
        statuses = [each for each in statuses if each.job.spec.application == application]
        if not statuses:
            fail(f"no replication job of application {application!r}; known: {', '.join(names) or 'none'}", Exit.USAGE)
    now = control.now()
    connectors = control.connectors.list()
    healthy = [each for each in connectors if is_healthy(each, now)]
    log = str(project.state / "connector.log")
    shown = {(each.job.spec.stack, each.job.spec.application) for each in statuses}
    applications = [
        each
        for each in control.applications.list(stack=stack)
        if (each.stack, each.name) in shown or not (servers or application)
    ]
    machines = {(each.job.spec.stack, each.job.spec.server) for each in statuses}
    validations = [
        each
        for each in control.validations.latest(stack=stack, application=application)
        if (each.stack, each.server) in machines
    ]
    actions = [each for each in control.validations.actions(stack=stack) if (each.stack, each.server) in machines]
    undelivered = control.outbox.waiting()
    return Seen(now, statuses, connectors, healthy, undelivered, applications, log, validations, actions)


def _watch(control: ControlPlane, look: _Look, seen: Seen, history: int | None) -> None:
    if not sys.stdout.isatty():
        fail("--watch needs a terminal; in a pipe use --watch --json", Exit.USAGE)
    from rich.live import Live

    from rehost.cli._output import out

    with Live(
        rendered(_status_text.page(control, seen, history)), console=out, screen=True, auto_refresh=False
    ) as live:
        while True:
            time.sleep(WATCH_SECONDS)
            seen = _looked_again(look, seen)
            live.update(rendered(_status_text.page(control, seen, history)), refresh=True)


def _looked_again(look: _Look, seen: Seen) -> Seen:
    """A database that is away for a while ends no watch."""
    try:
        return look()
    except ControlError as error:
        if not error.retryable:
            raise
        tell(f"[yellow]{escape(str(error))}[/]")
        return seen
