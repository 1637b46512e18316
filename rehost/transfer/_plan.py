"""Which blocks of a disk a run has to look at, decided before the first of them is read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rehost.blocks import Extent
from rehost.transfer._blockset import BlockSet
from rehost.transfer._partial import PartialManifest


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """Made by `plan_copy`. Two bits a block of the disk, however many extents there are."""

    blocks: BlockSet  # every block of the plan
    cleared: BlockSet  # those of them that are holes now and were data before: sent as zeros without being read
    allocated_bytes: int  # sum of the extents, clipped to the disk

    @property
    def blocks_total(self) -> int:
        return len(self.blocks)


def plan_copy(extents: Iterable[Extent], manifest: PartialManifest, *, full: bool) -> CopyPlan:
    """The plan for the snapshot of `manifest`.

    `full`: the extents are all that is allocated, and what lies outside reads as zeros: a first run, or one whose
    source cannot say what changed. Then blocks outside that hold data in the parent become zeros. Otherwise the
    extents are what may differ from the parent, and what lies outside is as it was there.

    The extents must ascend by offset. They are walked here, once: what their iterator raises (`ChangesUnknown`) is
    raised before anything is sent.
    """
    parent = manifest.parent
    if not full and (parent is None or parent.size != manifest.size):
        message = "changed extents need a parent of the same size; pass what is allocated, with full=True"
        raise ValueError(message)
    blocks, allocated = _touched(extents, manifest)
    cleared = BlockSet(manifest.block_count)
    if full and parent is not None:
        for index in parent.data_blocks():
            if index not in blocks:
                cleared.add(index)
        for start, stop in cleared.runs():
            blocks.add_range(start, stop)
    return CopyPlan(blocks, cleared, allocated)


def _touched(extents: Iterable[Extent], manifest: PartialManifest) -> tuple[BlockSet, int]:
    blocks = BlockSet(manifest.block_count)
    allocated = following = 0
    for extent in extents:
        start, end = max(following, extent.offset), min(extent.end, manifest.size)
        if start < end:
            blocks.add_extent(Extent(start, end - start))
            allocated += end - start
            following = end
    return blocks, allocated
