"""What the package promises: its names, and errors that survive pickle."""

from __future__ import annotations

import pickle

import pytest

import rehost.transfer as transfer
from rehost.transfer import (
    BlockReadFailed,
    BlockRecordFailed,
    BlockSendFailed,
    BlockWriteFailed,
    CopyStopped,
    ManifestBusy,
    ManifestInvalid,
    TransferError,
)

PUBLIC = """
MOST_IN_FLIGHT NEVER_WRITTEN UNKNOWN_DIGEST ZERO_BLOCK ZERO_DIGEST BlockFailed BlockReadFailed BlockReader BlockRecordFailed BlockSendFailed BlockSet
BlockSink BlockWriteFailed CopyPlan CopyResult CopyStopped Difference Manifest ManifestBusy ManifestInvalid Mismatch PartialManifest
Progress ReadableDisk StopSignal Throttle TransferError VerifyResult copy_disk disk_sha256 open_partial plan_copy read_blocks
restore_blocks verify_against_source verify_snapshot
"""


def test_the_public_names() -> None:
    assert transfer.__all__ == PUBLIC.split()
    assert all(hasattr(transfer, name) for name in transfer.__all__)


ERRORS: list[TransferError] = [
    ManifestInvalid(path="a.manifest", reason="it is damaged"),
    ManifestBusy(path="a.manifest"),
    CopyStopped(disk="sda", watermark=3),
    *(
        kind.at("sda", 3, OSError("no"))
        for kind in (BlockReadFailed, BlockSendFailed, BlockWriteFailed, BlockRecordFailed)
    ),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_survive_pickle(error: TransferError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.attributes) == (str(error), error.attributes)
