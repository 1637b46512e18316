"""The part of `rehost status` that is about the time after a launch: checks and post-launch actions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rehost.cli._output import Columns, Part, escape, span
from rehost.control import ActionRecord, Validation, ValidationState

if TYPE_CHECKING:
    from rehost.cli._status import Seen

_COLOURS = {ValidationState.SUCCEEDED: "green", ValidationState.FAILED: "red", ValidationState.IN_PROGRESS: "yellow"}


def after_launch(seen: Seen, *, detailed: bool) -> Iterator[Part]:
    """A table of each where there are any; the output of what failed, and with `detailed` of everything."""
    if seen.actions:
        yield ""
        actions = ("post-launch action", "server", "instance", "state", "took", "message")
        yield Columns(actions, [_action(seen.now, each) for each in seen.actions])
        yield from _outputs(seen.actions, detailed)
    if seen.validations:
        yield ""
        checks = ("validation", "check", "server", "state", "tries", "took", "message")
        yield Columns(checks, [_validation(seen.now, each) for each in seen.validations])
        yield from _outputs(seen.validations, detailed)


def _validation(now: datetime, each: Validation) -> tuple[str, ...]:
    return (
        escape(f"{each.application}/{each.group}"),
        escape(each.check),
        escape(each.server),
        _state(each.state),
        str(each.attempts or "-"),
        _took(now, each),
        _line(each),
    )


def _action(now: datetime, each: ActionRecord) -> tuple[str, ...]:
    state = _state(each.state) + ("" if each.must_succeed else ", need not")
    return (escape(each.action), escape(each.server), each.instance_id, state, _took(now, each), _line(each))


def _state(state: ValidationState) -> str:
    colour = _COLOURS.get(state)
    return f"[{colour}]{state.value}[/]" if colour else state.value


def _took(now: datetime, each: Validation | ActionRecord) -> str:
    if each.started_at is None:
        return "-"
    return span(((each.ended_at or now) - each.started_at).total_seconds())


def _line(each: Validation | ActionRecord) -> str:
    return escape(" ".join((each.message or "").split()))


def _outputs(records: Sequence[Validation | ActionRecord], detailed: bool) -> Iterator[Part]:
    for each in records:
        if each.output and each.output.strip() and (detailed or each.state is ValidationState.FAILED):
            name = each.check if isinstance(each, Validation) else each.action
            yield f"output of {escape(name)} on {escape(each.server)}:"
            yield from (f"  {escape(line)}" for line in each.output.rstrip().splitlines())
