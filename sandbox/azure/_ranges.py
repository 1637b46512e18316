"""Sets of bytes as sorted ranges. A range is (start, end), its end not in it."""

from __future__ import annotations

from collections.abc import Iterable

Range = tuple[int, int]


def merged(ranges: Iterable[Range]) -> list[Range]:
    """Sorted; what overlaps or touches is one."""
    found: list[Range] = []
    for start, end in sorted(ranges):
        if start >= end:
            continue
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def common(some: list[Range], others: list[Range]) -> list[Range]:
    """What is in both; each is sorted and without overlaps."""
    found: list[Range] = []
    left = right = 0
    while left < len(some) and right < len(others):
        start, end = max(some[left][0], others[right][0]), min(some[left][1], others[right][1])
        if start < end:
            found.append((start, end))
        if some[left][1] < others[right][1]:
            left += 1
        else:
            right += 1
    return found


def without(some: list[Range], others: list[Range]) -> list[Range]:
    """What is in `some` alone; each is sorted and without overlaps."""
    found: list[Range] = []
    right = 0
    for start, end in some:
        while right < len(others) and others[right][1] <= start:
            right += 1
        at = right
        while at < len(others) and others[at][0] < end:
            if start < others[at][0]:
                found.append((start, others[at][0]))
            start = max(start, others[at][1])
            at += 1
        if start < end:
            found.append((start, end))
    return found
