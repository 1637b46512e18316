"""A thousand damaged files, always the same ones; `python -m tests.sources.vhd.fuzz` makes as many as there is time for."""

from __future__ import annotations

import pytest

from tests.sources.vhd import fuzz

CASES = 150  # a shape


@pytest.fixture(scope="module")
def shapes() -> dict[str, fuzz.Shape]:
    return {shape.name: shape for shape in fuzz.shapes()}


@pytest.mark.parametrize(
    "name",
    [
        "vhdx-dynamic",
        "vhdx-fixed",
        "vhdx-child",
        "vhdx-large-sectors",
        "vhdx-log",
        "vhd-dynamic",
        "vhd-fixed",
        "vhd-child",
    ],
)
def test_damage_ends_in_an_error_of_ours_or_in_bytes(shapes: dict[str, fuzz.Shape], name: str) -> None:
    outcome = fuzz.Outcome()
    for seed in range(CASES):
        fuzz.run(shapes[name], seed, outcome, traced=seed % 10 == 0)
    assert outcome.cases == CASES
    assert outcome.errors > CASES // 10, "the damage is too slight to say anything"
    assert outcome.read, "the damage is so heavy that nothing behind the first check is reached"
