"""What the control plane keeps of checks and of post-launch actions; on both databases."""

from __future__ import annotations

import pytest

from rehost.control import ControlPlane, Planned, ValidationState
from rehost.control import _validations as store

from .conftest import TestClock


def plan(*checks: str, server: str = "web-01") -> list[Planned]:
    return [Planned(check, "http", server, "i-1") for check in checks]


def test_a_round_from_its_plan_to_its_results(control: ControlPlane, clock: TestClock) -> None:
    kept = control.validations
    opened = kept.open("dev", "shop", "web", "test", plan("port", "page"))
    assert [(each.check, each.state) for each in opened] == [
        ("port", ValidationState.READY_FOR_VALIDATION),
        ("page", ValidationState.READY_FOR_VALIDATION),
    ]
    port, page = (each.id for each in opened)
    kept.wait([port, page])
    kept.begin(port)
    clock.advance(seconds=5)
    assert kept.end(port, succeeded=True, message="connected", output="", attempts=2)
    assert not kept.end(port, succeeded=False, message="late", output="", attempts=3), "it has ended"
    found = {each.check: each for each in kept.latest(stack="dev")}
    assert (found["port"].state, found["port"].message, found["port"].attempts) == (
        ValidationState.SUCCEEDED,
        "connected",
        2,
    )
    assert found["port"].started_at is not None
    assert found["port"].ended_at is not None
    assert (found["port"].ended_at - found["port"].started_at).total_seconds() == 5
    assert found["page"].state is ValidationState.PENDING


def test_a_new_round_ends_what_an_interrupted_one_left(control: ControlPlane, clock: TestClock) -> None:
    kept = control.validations
    (first,) = kept.open("dev", "shop", "web", "test", plan("port"))
    kept.begin(first.id)
    clock.advance(minutes=1)
    (second,) = kept.open("dev", "shop", "web", "cutover", plan("port"))
    assert [each.id for each in kept.latest()] == [second.id]
    assert not kept.end(first.id, succeeded=True, message="", output="", attempts=1), "its place is taken"
    kept.begin(second.id)
    assert kept.end(second.id, succeeded=False, message="refused", output="\N{SNOWMAN}" * 10, attempts=1)
    (found,) = kept.latest(application="shop")
    assert (found.state, found.phase, found.output) == (ValidationState.FAILED, "cutover", "\N{SNOWMAN}" * 10)


def test_the_newest_round_of_each_group_and_no_more_than_are_kept(control: ControlPlane, clock: TestClock) -> None:
    kept = control.validations
    for _ in range(store.ROUNDS_KEPT + 3):
        clock.advance(minutes=1)
        web = kept.open("dev", "shop", "web", "test", plan("port", "page"))
    data = kept.open("dev", "shop", "data", "test", plan("sql", server="db-01"))
    kept.open("prod", "shop", "web", "test", plan("port"))
    assert {each.id for each in kept.latest(stack="dev")} == {each.id for each in (*web, *data)}
    kept.forget("dev", "shop", "web")
    assert {each.id for each in kept.latest(stack="dev")} == {each.id for each in data}
    assert len(kept.latest(stack="prod")) == 1


def begin(control: ControlPlane, fingerprint: str = "a", instance: str = "i-1") -> int:
    return control.validations.begin_action(
        instance, "hostname", stack="dev", server="web-01", place=0, fingerprint=fingerprint, must_succeed=True
    )


def test_tries_of_an_action_are_counted_and_an_interrupted_one_goes_on(control: ControlPlane) -> None:
    kept = control.validations
    assert kept.action("i-1", "hostname") is None
    assert [begin(control), begin(control)] == [1, 1], "the first was interrupted: its command is found by its number"
    kept.end_action("i-1", "hostname", succeeded=False, message="exit code 1", output="no")
    assert begin(control) == 2
    kept.end_action("i-1", "hostname", succeeded=True, message="", output="yes")
    found = kept.action("i-1", "hostname")
    assert found is not None
    assert (found.state, found.output, found.attempts) == (ValidationState.SUCCEEDED, "yes", 2)
    assert begin(control, "b") == 1, "something else is to be done"


@pytest.mark.parametrize("instance", ["i-1", "i-2"])
def test_actions_are_forgotten_with_their_instance(control: ControlPlane, instance: str) -> None:
    begin(control, instance="i-1")
    begin(control, instance="i-2")
    control.validations.forget_actions([instance])
    assert {each.instance_id for each in control.validations.actions(stack="dev")} == {"i-1", "i-2"} - {instance}
    control.validations.forget_actions([])
    assert len(control.validations.actions()) == 1
