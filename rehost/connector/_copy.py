"""The copy of one frozen disk into its snapshot: which manifest, which extents, and what the control plane hears of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import structlog

from rehost import faults
from rehost.aws import EbsDirect
from rehost.blocks import BLOCK_SIZE
from rehost.control import ControlPlane, RunDisk
from rehost.sources import ChangesUnknown, FrozenDisk
from rehost.transfer import (
    CopyPlan,
    Manifest,
    ManifestInvalid,
    PartialManifest,
    Progress,
    StopSignal,
    Throttle,
    copy_disk,
    open_partial,
    plan_copy,
)

log = structlog.get_logger("rehost.connector")

#: Blocks between two reports to the control plane: 64 MiB, some 0.15 s at the quota's 500 MiB/s.
PIECE_BLOCKS = 128


class Manifests:
    """The folder of manifests of this connector: one file a snapshot."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, snapshot_id: str) -> Path:
        return self.folder / f"{snapshot_id}.manifest"

    def open(self, snapshot_id: str) -> Manifest:
        """The manifest of a completed snapshot. Raises ManifestInvalid where it is missing or not to be trusted."""
        return Manifest.open(self.path(snapshot_id), snapshot_id=snapshot_id)

    def trusted(self, snapshot_id: str) -> bool:
        """Whether the next run can build on this snapshot; one that is damaged is thrown away."""
        try:
            self.open(snapshot_id).close()
        except ManifestInvalid as error:
            log.info("a manifest cannot be used", snapshot=snapshot_id, reason=str(error))
            self.discard(snapshot_id)
            return False
        return True

    def partial(self, disk: RunDisk, stack: ExitStack) -> PartialManifest:
        """The journal of a snapshot that is being written, open until `stack` closes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        parent = stack.enter_context(self.open(disk.parent_snapshot_id)) if disk.parent_snapshot_id else None
        path = self.path(disk.snapshot_id)
        return stack.enter_context(open_partial(path, snapshot_id=disk.snapshot_id, size=disk.size, parent=parent))

    def discard(self, snapshot_id: str) -> None:
        path = self.path(snapshot_id)
        path.unlink(missing_ok=True)
        path.with_name(path.name + ".partial").unlink(missing_ok=True)


def copy_frozen_disk(
    frozen: FrozenDisk,
    disk: RunDisk,
    last: RunDisk | None,
    *,
    ebs: EbsDirect,
    control: ControlPlane,
    run_id: str,
    manifests: Manifests,
    in_flight: int,
    stop: StopSignal,
    throttle: Throttle,
    on_progress: Callable[[Progress], None],
) -> None:
    """Copy what differs from the parent, resuming where an earlier call stopped.

    `last` is the disk of the run that made the parent snapshot. The figures of a resumed copy count all of its parts.
    """
    with ExitStack() as open_files:
        manifest = manifests.partial(disk, open_files)
        plan, full = _plan(frozen, manifest, last)
        allocated = plan.allocated_bytes if full or last is None else max(last.allocated_bytes, plan.allocated_bytes)
        read_before, unchanged_before, zero_before = disk.read_bytes, disk.unchanged_blocks, disk.zero_blocks

        def tell(progress: Progress) -> None:
            control.runs.update_disk(
                run_id,
                disk.index,
                allocated_bytes=allocated,
                read_bytes=read_before + progress.read_bytes,
                sent_bytes=manifest.written_count * BLOCK_SIZE,
                sent_blocks=manifest.written_count,
                unchanged_blocks=unchanged_before + progress.unchanged_blocks,
                zero_blocks=zero_before + progress.zero_blocks,
                blocks_done=progress.blocks_done,
                blocks_total=progress.blocks_total,
            )
            on_progress(progress)
            faults.point("copy-piece")

        sink = ebs.sink(disk.snapshot_id)
        result = copy_disk(
            frozen,
            sink,
            manifest,
            plan,
            in_flight=in_flight,
            piece_blocks=PIECE_BLOCKS,
            stop=stop,
            on_piece=tell,
            throttle=throttle,
        )
        tell(result.progress)


def _plan(frozen: FrozenDisk, manifest: PartialManifest, last: RunDisk | None) -> tuple[CopyPlan, bool]:
    """What to look at: the changes since the parent where the source knows them, else all that is allocated."""
    parent = manifest.parent
    if parent is not None and last is not None and parent.size == frozen.size:
        try:
            return plan_copy(frozen.extents(last.position), manifest, full=False), False
        except ChangesUnknown as unknown:
            log.info("reading the whole disk", disk=frozen.key, reason=str(unknown))
    return plan_copy(frozen.extents(None), manifest, full=True), True
