"""Post-launch actions: in order, each once an instance."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from rehost.aws import Aws
from rehost.control import ControlPlane, ValidationState
from rehost.errors import RehostError
from rehost.validation._check import Target, Tried
from rehost.validation._errors import ActionFailed
from rehost.validation._managed import run_managed, wait_for_agent
from rehost.validation._output import capped, redacted
from rehost.validation._steps import Action, Step, steps


def post_launch(
    stack: str,
    target: Target,
    actions: Sequence[Action],
    *,
    control: ControlPlane,
    aws: Aws,
    say: Callable[[str], object],
) -> None:
    """Do what has not been done on this instance yet, in order. Raises ActionFailed at the first that must succeed and has not.

    A retry goes on where it stopped: it follows the command of an action that was interrupted, does anew what failed or was
    changed, and leaves alone what succeeded.
    """
    store = control.validations
    for place, action in enumerate(actions):
        fingerprint = fingerprint_of(action, target.server)
        known = store.action(target.instance_id, action.name)
        if known and known.state is ValidationState.SUCCEEDED and known.fingerprint == fingerprint:
            continue
        number = store.begin_action(
            target.instance_id, action.name, stack=stack, server=target.server, place=place, fingerprint=fingerprint,
            must_succeed=action.mustSucceed,
        )  # fmt: skip
        said = f"{target.server}: {action.name}"
        say(f"{said}: begun")
        token = f"rehost {fingerprint[:16]} {number}"
        try:
            tried = _do(aws, target, action, token, lambda line, said=said: say(f"{said}: {line}"))  # type: ignore[misc]
        except RehostError as error:
            tried = Tried(False, str(error))
        message = redacted(tried.message)
        store.end_action(
            target.instance_id, action.name, succeeded=tried.ok, message=message, output=capped(redacted(tried.output))
        )
        if tried.ok:
            say(f"{said}: {message}")
        elif action.mustSucceed:
            reason = " ".join(message.split())
            raise ActionFailed(action=action.name, instance=target.instance_id, reason=reason)
        else:
            say(f"{said}: FAILED, and need not succeed: {message}")


def fingerprint_of(action: Action, server: str) -> str:
    """Of what is done, on every platform: another script of the same action is another thing to do; another timeout is not."""
    done = [
        [platform, step.document, sorted(step.parameters.items())]
        for platform in ("Linux", "Windows")
        for step in _steps_or_none(replace(action, timeout=0), platform, server)
    ]
    return hashlib.sha256(json.dumps(done).encode()).hexdigest()


def _steps_or_none(action: Action, platform: str, server: str) -> list[Step]:
    try:
        return steps(action, platform, server)
    except RehostError:
        return []


def _do(aws: Aws, target: Target, action: Action, token: str, say: Callable[[str], object]) -> Tried:
    """One action, all of its steps; what its timeout leaves is theirs together. Raises RehostError."""
    deadline = time.monotonic() + action.timeout
    node = wait_for_agent(aws.commands, target.instance_id, action.timeout, say=say)
    # Without a node, the step itself says what is missing.
    platform = node.platform if node is not None else "Linux"
    output = ""
    tried = Tried(True, "nothing to do")
    for number, step in enumerate(steps(action, platform, target.server)):
        tried = run_managed(
            aws.commands, target.instance_id, step.document, step.parameters, max(1.0, deadline - time.monotonic()),
            comment=f"{token} {number}", again=True, say=say,
        )  # fmt: skip
        output += tried.output
        if not tried.ok:
            break
    return Tried(tried.ok, tried.message, output)
