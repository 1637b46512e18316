"""Commands on an instance through Systems Manager: wait for its agent, send, follow to the end, cancel what takes too long."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from rehost.aws import AwsError, Commands, ManagedNode
from rehost.validation._check import Check, Target, Tried
from rehost.validation._documents import document_of
from rehost.validation._output import line_of

_LONGEST_PAUSE = 5.0
_NOT_READY = "InvalidInstanceId"  # the agent is away: SendCommand's own word

Say = Callable[[str], object]
Sleep = Callable[[float], None]


def wait_for_agent(
    commands: Commands, instance_id: str, seconds: float, *, say: Say = lambda _: None, sleep: Sleep = time.sleep
) -> ManagedNode | None:
    """The node once its agent is online; None after so many seconds. Raises AwsError."""
    deadline = time.monotonic() + seconds
    pause, told = 0.5, False
    while True:
        node = commands.node(instance_id)
        if node is not None and node.is_online:
            return node
        if not told:
            say(f"waiting for the SSM agent of {instance_id}")
            told = True
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        sleep(min(pause, left))
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def run_managed(
    commands: Commands,
    instance_id: str,
    document: str,
    parameters: Mapping[str, Sequence[str]],
    seconds: float,
    *,
    comment: str,
    again: bool = False,
    say: Say = lambda _: None,
    sleep: Sleep = time.sleep,
) -> Tried:
    """Run a document on an instance, to its end or for so many seconds; then it is cancelled. Raises AwsError.

    With `again`, a command of the instance with the same `comment` is followed instead of sending a second one.
    """
    deadline = time.monotonic() + seconds
    if wait_for_agent(commands, instance_id, seconds, say=say, sleep=sleep) is None:
        return _no_agent(instance_id, seconds)
    command_id = commands.find(instance_id, comment) if again else None
    pause = 0.5
    while command_id is None:
        left = deadline - time.monotonic()
        try:
            command_id = commands.send(instance_id, document, parameters, comment=comment, seconds=left)
        except AwsError as error:
            if getattr(error, "code", "") != _NOT_READY:
                raise
            if left <= pause:
                return _no_agent(instance_id, seconds)
            sleep(pause)
    while True:
        seen = commands.look(command_id, instance_id, sleep=sleep)
        if seen.has_ended:
            break
        if time.monotonic() >= deadline:
            commands.cancel(command_id)
            output = seen.output + seen.error
            message = f"{document} was {seen.detail} after {seconds:.0f} s and was cancelled (command {command_id})"
            return Tried(False, message, output, final=True)
        sleep(min(pause, max(0.05, deadline - time.monotonic())))
        pause = min(pause * 1.5, _LONGEST_PAUSE)
    output = seen.output + (f"\n{seen.error}" if seen.error else "")
    if seen.has_succeeded:
        return Tried(True, f"{document} succeeded", output)
    said = line_of(seen.error) or line_of(seen.output)
    code = f" with exit code {seen.code}" if seen.code > 0 else ""
    return Tried(False, f"{document} ended as {seen.detail}{code}" + (f": {said}" if said else ""), output)


def managed(check: Check, target: Target, seconds: float, *, commands: Commands) -> Tried:
    document, parameters = document_of(check.settings, seconds)
    comment = f"rehost validation {check.name} of {target.server}"
    return run_managed(commands, target.instance_id, document, parameters, seconds, comment=comment)


def _no_agent(instance_id: str, seconds: float) -> Tried:
    message = (
        f"the SSM agent of {instance_id} was not online within {seconds:.0f} s: it has to be installed, the instance "
        "needs a role with AmazonSSMManagedInstanceCore, and a way to the endpoints of Systems Manager"
    )
    return Tried(False, message, final=True)
