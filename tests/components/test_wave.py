"""Waves between the estate and its applications: parents, and the names by which a state without them is recognised."""

from __future__ import annotations

from tests.components.conftest import Asked, Make
from tests.components.test_estate import REPLICATE

WAVES = "waves: {first: {applications: [shop]}}\n"


def test_an_application_stands_below_its_wave(make: Make) -> None:
    made = make(REPLICATE + WAVES)
    assert made["Wave/first"].parent == "Estate/estate"
    assert made["Wave/first"].type == "rehost:index:Wave"
    assert made["Application/shop"].parent == "Wave/first"
    assert made["Server/lone"].parent == "Estate/estate"


def test_an_application_of_no_wave_stands_below_the_estate(make: Make) -> None:
    made = make(REPLICATE)
    assert not [label for label in made if label.startswith("Wave/")]
    assert made["Application/shop"].parent == "Estate/estate"


def test_each_place_names_the_other_as_its_former_one(make: Make) -> None:
    assert make(REPLICATE + WAVES)["Application/shop"].aliases == {"Estate/estate"}
    assert make(REPLICATE)["Application/shop"].aliases == {"Wave/former"}


def test_a_wave_changes_nothing_else(make: Make) -> None:
    def rest(made: dict[str, Asked]) -> dict[str, Asked]:
        return {label: each for label, each in made.items() if each.kind in ("ReplicationJob", "Readiness", "Server")}

    assert rest(make(REPLICATE + WAVES)) == rest(make(REPLICATE))
