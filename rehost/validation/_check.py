"""What is checked, where, and what comes of it: plain data, and the loop of tries around every kind of check."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rehost.errors import RehostError
from rehost.validation._output import redacted

#: SMS: a validation's timeoutInSeconds is 60 to 28,800 (botocore, service model `sms`); the spec holds it to that.
DEFAULT_SECONDS = 900
DEFAULT_INTERVAL = 10


@dataclass(frozen=True)
class Target:
    """The instance of one server."""

    server: str
    instance_id: str
    private_address: str | None = None
    public_address: str | None = None


@dataclass(frozen=True)
class Check:
    name: str
    kind: str  # http, tcp, ssm, userData, command
    settings: Mapping[str, Any] = field(default_factory=dict)
    server: str | None = None  # None: each server of the group
    timeout: float = DEFAULT_SECONDS  # seconds
    interval: float = DEFAULT_INTERVAL  # seconds between two tries
    attempts: int | None = None  # None: as many as the timeout lets it

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Check:
        """From a resource's inputs."""
        return cls(**values)


@dataclass(frozen=True)
class Tried:
    """One try. `final`: another one would end in the same way."""

    ok: bool
    message: str
    output: str = ""
    final: bool = False


@dataclass(frozen=True)
class Outcome:
    ok: bool
    message: str
    output: str
    attempts: int


Probe = Callable[[Check, Target, float], Tried]
"""One try, of at most so many seconds. It may raise RehostError."""


def attempt(
    check: Check,
    target: Target,
    probe: Probe,
    *,
    say: Callable[[str], object] = lambda _: None,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Try until it holds, its time is over, its tries are used up, or a try says that no other one would help."""
    begun = now()
    tries = 0
    while True:
        tries += 1
        left = max(0.05, check.timeout - (now() - begun))
        try:
            tried = probe(check, target, left)
        except RehostError as error:
            tried = Tried(False, str(error), final=not error.retryable)
        message, output = redacted(tried.message), redacted(tried.output)
        if tried.ok:
            return Outcome(True, message, output, tries)
        spent = now() - begun
        used_up = check.attempts is not None and tries >= check.attempts
        if tried.final or used_up or spent + check.interval >= check.timeout:
            times = "once" if tries == 1 else f"{tries} times"
            return Outcome(False, f"{message} (tried {times} in {spent:.0f} s)", output, tries)
        say(message)
        sleep(check.interval)
