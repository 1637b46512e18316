from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rehost.blocks import BLOCK_SIZE, Extent
from rehost.transfer import BlockSet

CAPACITY = 200
ranges = st.lists(st.tuples(st.integers(0, CAPACITY), st.integers(0, CAPACITY)), max_size=8)


def filled(pairs: list[tuple[int, int]]) -> tuple[BlockSet, set[int]]:
    blocks, model = BlockSet(CAPACITY), set[int]()
    for start, stop in pairs:
        blocks.add_range(start, stop)
        model |= set(range(start, stop))
    return blocks, model


@given(ranges, st.sets(st.integers(0, CAPACITY - 1), max_size=20), st.integers(0, CAPACITY))
def test_a_block_set_is_a_set(pairs: list[tuple[int, int]], single: set[int], index: int) -> None:
    blocks, model = filled(pairs)
    for one in single:
        assert blocks.add(one) == blocks.bits[one // 8]
    model |= single
    assert list(blocks) == sorted(model)
    assert len(blocks) == len(model)
    assert list(blocks.iter_from(index)) == sorted(one for one in model if one >= index)
    assert blocks.count_below(index) == sum(one < index for one in model)
    assert [one in blocks for one in range(CAPACITY)] == [one in model for one in range(CAPACITY)]


@given(ranges)
def test_runs_are_as_long_as_they_can_be(pairs: list[tuple[int, int]]) -> None:
    blocks, model = filled(pairs)
    runs = list(blocks.runs())
    assert [index for start, stop in runs for index in range(start, stop)] == sorted(model)
    assert all(stop < following for (_, stop), (following, _) in pairwise(runs))


@given(ranges, st.integers(0, CAPACITY))
def test_discard_from_keeps_what_is_below(pairs: list[tuple[int, int]], index: int) -> None:
    blocks, model = filled(pairs)
    blocks.discard_from(index)
    assert list(blocks) == sorted(one for one in model if one < index)


def test_an_extent_covers_the_blocks_it_touches_within_the_disk() -> None:
    blocks = BlockSet(4)
    blocks.add_extent(Extent(BLOCK_SIZE - 1, 2))
    blocks.add_extent(Extent(3 * BLOCK_SIZE, 10 * BLOCK_SIZE))
    blocks.add_extent(Extent(2 * BLOCK_SIZE, 0))
    assert list(blocks) == [0, 1, 3]
