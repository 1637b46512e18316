"""Sets of bytes, held to Python's own sets."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sandbox.azure._ranges import Range, common, merged, without

ranges = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8)


def units(found: list[Range]) -> set[int]:
    return {unit for start, end in found for unit in range(start, end)}


@given(ranges, ranges)
def test_they_are_sets(some: list[Range], others: list[Range]) -> None:
    left, right = merged(some), merged(others)
    assert units(left) == units(some)
    assert units(common(left, right)) == units(left) & units(right)
    assert units(without(left, right)) == units(left) - units(right)
    for found in (left, common(left, right), without(left, right)):
        assert all(before[1] <= after[0] for before, after in pairwise(found))
        assert all(start < end for start, end in found)
