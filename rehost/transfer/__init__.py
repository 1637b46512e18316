"""The block pipeline: plan, read, hash, skip, send, verify.

A run of one disk, in the order of its calls:

    parent = Manifest.open(parent_path, snapshot_id=..., size=...)       # or None
    manifest = open_partial(path, snapshot_id=..., size=disk.size, parent=parent)
    plan = plan_copy(disk.extents(since), manifest, full=False)          # ChangesUnknown: extents(None), full=True
    result = copy_disk(disk, sink, manifest, plan, on_piece=...)         # repeated after a crash, it resumes
    ...complete the snapshot with result.written_blocks and result.checksum...
    manifest.finish()

Disks and sinks come in through the protocols `ReadableDisk` and `BlockSink`.
"""

from rehost.transfer._blockset import BlockSet
from rehost.transfer._copy import CopyResult, Progress, copy_disk
from rehost.transfer._errors import (
    BlockFailed,
    BlockReadFailed,
    BlockRecordFailed,
    BlockSendFailed,
    BlockWriteFailed,
    CopyStopped,
    ManifestBusy,
    ManifestInvalid,
    TransferError,
)
from rehost.transfer._manifest import NEVER_WRITTEN, UNKNOWN_DIGEST, ZERO_BLOCK, ZERO_DIGEST, Manifest
from rehost.transfer._partial import PartialManifest, open_partial
from rehost.transfer._plan import CopyPlan, plan_copy
from rehost.transfer._protocol import BlockReader, BlockSink, ReadableDisk, StopSignal, Throttle
from rehost.transfer._restore import restore_blocks
from rehost.transfer._verify import (
    Difference,
    Mismatch,
    VerifyResult,
    disk_sha256,
    read_blocks,
    verify_against_source,
    verify_snapshot,
)
from rehost.transfer._window import MOST_IN_FLIGHT

__all__ = [
    "MOST_IN_FLIGHT",
    "NEVER_WRITTEN",
    "UNKNOWN_DIGEST",
    "ZERO_BLOCK",
    "ZERO_DIGEST",
    "BlockFailed",
    "BlockReadFailed",
    "BlockReader",
    "BlockRecordFailed",
    "BlockSendFailed",
    "BlockSet",
    "BlockSink",
    "BlockWriteFailed",
    "CopyPlan",
    "CopyResult",
    "CopyStopped",
    "Difference",
    "Manifest",
    "ManifestBusy",
    "ManifestInvalid",
    "Mismatch",
    "PartialManifest",
    "Progress",
    "ReadableDisk",
    "StopSignal",
    "Throttle",
    "TransferError",
    "VerifyResult",
    "copy_disk",
    "disk_sha256",
    "open_partial",
    "plan_copy",
    "read_blocks",
    "restore_blocks",
    "verify_against_source",
    "verify_snapshot",
]
