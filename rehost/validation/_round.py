"""A round: all checks of a group, side by side, with their results in the control plane."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rehost.aws import Aws
from rehost.control import ControlPlane, Planned
from rehost.validation._check import Check, Outcome, Probe, Target, attempt
from rehost.validation._errors import ChecksFailed
from rehost.validation._local import local_command
from rehost.validation._managed import managed
from rehost.validation._network import http_get, tcp
from rehost.validation._output import capped
from rehost.validation._reported import reported

#: Checks that run at once.
AT_ONCE = 32
#: Pulumi prints every line again at the end of an update, so they are few.
SAY_SECONDS = 15.0


@dataclass(frozen=True)
class Scene:
    """Where a round takes place."""

    stack: str
    application: str
    group: str
    phase: str
    root: Path  # the project's folder, in which local commands run
    region: str


def validate(
    scene: Scene,
    checks: Sequence[Check],
    targets: Sequence[Target],
    *,
    control: ControlPlane,
    aws: Aws,
    say: Callable[[str], object],
) -> None:
    """Run every check on every server that it is for. Raises ChecksFailed with the reasons of all that failed.

    May be repeated: it is another round. What a killed one left open is recorded as failed then.
    """
    pairs = [(check, target) for check in checks for target in targets if check.server in (None, target.server)]
    store = control.validations
    planned = [Planned(check.name, check.kind, target.server, target.instance_id) for check, target in pairs]
    rows = store.open(scene.stack, scene.application, scene.group, scene.phase, planned)
    store.wait([row.id for row in rows])
    probes = _probes(scene, aws)

    def run(number: int) -> Outcome:
        (check, target), row = pairs[number], rows[number]
        store.begin(row.id)
        told = _Few(lambda line: say(f"{target.server}: {check.name}: {line}"))
        outcome = attempt(check, target, probes[check.kind], say=told)
        store.end(
            row.id, succeeded=outcome.ok, message=outcome.message, output=capped(outcome.output),
            attempts=outcome.attempts,
        )  # fmt: skip
        say(f"{target.server}: {check.name}: {'' if outcome.ok else 'FAILED: '}{outcome.message}")
        return outcome

    with ThreadPoolExecutor(max_workers=max(1, min(AT_ONCE, len(pairs))), thread_name_prefix="check") as pool:
        outcomes = list(pool.map(run, range(len(pairs))))
    failed = [
        f"{target.server} {check.name}: {outcome.message}"
        for (check, target), outcome in zip(pairs, outcomes, strict=True)
        if not outcome.ok
    ]
    if failed:
        reasons = "; ".join(" ".join(reason.split()) for reason in failed)
        raise ChecksFailed(failed=len(failed), total=len(pairs), group=scene.group, reasons=reasons)


def _probes(scene: Scene, aws: Aws) -> dict[str, Probe]:
    context = {
        "REHOST_STACK": scene.stack,
        "REHOST_APPLICATION": scene.application,
        "REHOST_GROUP": scene.group,
        "REHOST_PHASE": scene.phase,
        "REHOST_REGION": scene.region,
    }
    return {
        "http": http_get,
        "tcp": tcp,
        "ssm": partial(managed, commands=aws.commands),
        "userData": partial(reported, commands=aws.commands, instances=aws.instances),
        "command": partial(local_command, root=scene.root, context=context),
    }


class _Few:
    """Says a line when it is a new one, and an old one now and then."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._last = ("", 0.0)
        self._lock = threading.Lock()

    def __call__(self, line: str) -> None:
        with self._lock:
            text, when = self._last
            if line == text and time.monotonic() - when < SAY_SECONDS:
                return
            self._last = (line, time.monotonic())
        self._say(line)
